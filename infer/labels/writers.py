"""The label files: what the challenge asks for, and all the cells where that cannot hold them."""

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
    """Write the labels of an image: int16, or int32 when there are more cells than int16 counts.

    With ``ids`` "challenge" such an image of 25 Mpx and more becomes int16 with ids used again where the challenge's
    scoring cannot confuse them, and NAME_label_int32.tiff beside it holds every cell under its own. ``about`` becomes
    the description of the files. Returns the paths of what was written; raises OutputError when the folder cannot be
    written.
    """
    if store.cells <= INT16_CELLS:
        write_strips(path, store.strips(np.int16), store.shape, np.int16, about)
        return [path]
    from .challenge import needs_reuse, reused_ids

    reused = (
        reused_ids(store.boxes, store.shape) if ids == "challenge" and needs_reuse(store.shape, store.cells) else None
    )
    if reused is None:
        log.warning("%s: %d cells do not fit int16, so the labels are int32.", path, store.cells)
        write_strips(path, store.strips(np.int32), store.shape, np.int32, about)
        return [path]
    full = full_path(path)
    log.warning("%s: %d cells do not fit int16: ids are used again, %s has them all.", path, store.cells, full.name)
    write_strips(full, store.strips(np.int32), store.shape, np.int32, about)
    write_strips(path, (pack(reused[rows], np.int16) for rows in store.rows()), store.shape, np.int16, about)
    return [path, full]


def write_strips(
    path: Path, strips: Iterator[bytes], shape: tuple[int, int], dtype: Width, about: str | None = None
) -> None:
    """Write labels of ``shape``, given as strips that `pack` compressed, as TIFF of ``dtype``; BigTIFF when needed.

    The file appears whole or not at all; ``about`` (ASCII) becomes its description. Raises OutputError when it cannot
    be written.
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
