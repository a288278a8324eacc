"""Label files: TIFF of the smallest integer type that numbers all cells, or the challenge's int16."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..system.atomic_write import atomic_write
from .labels import INT16_CELLS, label_type
from .paths import full_path
from .store import STRIP, LabelStore, Width, pack

UM_PER_CM = 10_000
PixelSize: TypeAlias = float | tuple[float, float] | None
"""The side of a pixel in micrometres, or its height and width; None if unknown."""
log = logging.getLogger(__name__)


def write_labels(
    path: Path, store: LabelStore, ids: str, about: str | None = None, pixel_size_um: PixelSize = None
) -> list[Path]:
    """Write the labels of an image and return the paths of the files: one, or two with reused ids.

    Up to 65,535 cells are written as uint16, more cells as int32: ImageJ and napari open both as labels. With ``ids``
    "challenge", up to 32,767 cells are int16, and an image of 25 Mpx or more with more cells gets two files: an int16
    file with reused ids (see `flowmask.labels.reused_ids`) and, beside it, the int32 file NAME_label_int32.tiff, in
    which every cell has its own id. ``about`` is the description tag of the files, ``pixel_size_um`` the side of a
    pixel in micrometres, or its height and width, kept in the resolution tags. Raises OutputError if a file cannot be
    written.

    >>> import tifffile
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name, LabelStore(Path(name), (1, 3)) as store:
    ...     store.append(np.array([[0, 1, 2]], np.int32))
    ...     (path,) = write_labels(Path(name, "a_label.tiff"), store, "int32")
    ...     tifffile.imread(path)
    array([[0, 1, 2]], dtype=uint16)
    """
    write = partial(write_strips, shape=store.shape, about=about, pixel_size_um=pixel_size_um)
    if ids != "challenge":
        dtype = label_type(store.cells)
        write(path, store.strips(dtype), dtype=dtype)
        return [path]
    if store.cells <= INT16_CELLS:
        write(path, store.strips(np.int16), dtype=np.int16)
        return [path]
    from .reused_ids import needs_reuse, reused_ids

    reused = reused_ids(store.boxes(), store.shape) if needs_reuse(store.shape, store.cells) else None
    if reused is None:
        log.warning("%s: int16 cannot number %d cells, so the labels are int32.", path, store.cells)
        write(path, store.strips(np.int32), dtype=np.int32)
        return [path]
    full = full_path(path)
    log.warning(
        "%s: int16 cannot number %d cells, so some cells share an id; %s has one id for each cell.",
        path,
        store.cells,
        full.name,
    )
    write(full, store.strips(np.int32), dtype=np.int32)
    write(path, (pack(reused[rows], np.int16) for rows in store.rows()), dtype=np.int16)
    return [path, full]


def write_strips(
    path: Path,
    strips: Iterator[bytes],
    shape: tuple[int, int],
    dtype: Width,
    about: str | None = None,
    pixel_size_um: PixelSize = None,
) -> None:
    """Write a label image of ``shape`` (Y, X) and ``dtype`` as TIFF, or BigTIFF above 2 GiB.

    strips: the rows from the top down, compressed by `pack` with the same ``dtype``; about: the description tag, in
    ASCII; pixel_size_um: as in `write_labels`. The file appears complete or not at all. Raises
    OutputError if it cannot be written.

    >>> import tifffile
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     write_strips(Path(name, "a.tif"), iter([pack(np.array([[0, 7]]), np.int16)]), (1, 2), np.int16)
    ...     tifffile.imread(Path(name, "a.tif"))
    array([[0, 7]], dtype=int16)
    """
    import tifffile

    height, width = pixel_size_um if isinstance(pixel_size_um, tuple) else (pixel_size_um, pixel_size_um)
    big = shape[0] * shape[1] * np.dtype(dtype).itemsize > 2**31
    with atomic_write(path) as partial, tifffile.TiffWriter(partial, bigtiff=big, byteorder="<") as file:
        file.write(
            strips,
            shape=shape,
            dtype=dtype,
            compression="zlib",
            photometric="minisblack",
            rowsperstrip=STRIP,
            description=about,
            metadata=None,
            resolution=(UM_PER_CM / width, UM_PER_CM / height) if width and height else None,
            resolutionunit="CENTIMETER" if pixel_size_um else None,
        )
