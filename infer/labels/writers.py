"""Label files: TIFF with int16 labels, or with int32 labels if int16 cannot number all cells."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..system.atomic_write import atomic_write
from .labels import INT16_CELLS
from .paths import full_path
from .store import STRIP, LabelStore, Width, pack

log = logging.getLogger(__name__)


def write_labels(path: Path, store: LabelStore, ids: str, about: str | None = None) -> list[Path]:
    """Write the labels of an image and return the paths of the files: one, or two with reused ids.

    Up to 32,767 cells are written as int16, more cells as int32. With ``ids`` "challenge", an image of 25 Mpx or more
    with more cells gets two files: an int16 file with reused ids (see `flowmask.labels.challenge`) and, beside it, the
    int32 file NAME_label_int32.tiff, in which every cell has its own id. ``about`` is the description tag of the
    files. Raises OutputError if a file cannot be written.
    """
    if store.cells <= INT16_CELLS:
        write_strips(path, store.strips(np.int16), store.shape, np.int16, about)
        return [path]
    from .challenge import needs_reuse, reused_ids

    reused = (
        reused_ids(store.boxes, store.shape) if ids == "challenge" and needs_reuse(store.shape, store.cells) else None
    )
    if reused is None:
        log.warning("%s: int16 cannot number %d cells, so the labels are int32.", path, store.cells)
        write_strips(path, store.strips(np.int32), store.shape, np.int32, about)
        return [path]
    full = full_path(path)
    log.warning(
        "%s: int16 cannot number %d cells, so some cells share an id; %s has one id for each cell.",
        path,
        store.cells,
        full.name,
    )
    write_strips(full, store.strips(np.int32), store.shape, np.int32, about)
    write_strips(path, (pack(reused[rows], np.int16) for rows in store.rows()), store.shape, np.int16, about)
    return [path, full]


def write_strips(
    path: Path, strips: Iterator[bytes], shape: tuple[int, int], dtype: Width, about: str | None = None
) -> None:
    """Write a label image of ``shape`` (Y, X) and ``dtype`` as TIFF, or BigTIFF above 2 GiB.

    strips: the rows from the top down, compressed by `pack` with the same ``dtype``; about: the description tag, in
    ASCII. The file appears complete or not at all. Raises OutputError if it cannot be written.
    """
    import tifffile

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
        )
