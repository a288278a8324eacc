"""The label files: what the challenge asks for, and all the cells where that cannot hold them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from infer.errors import OutputError
from infer.ids import INT16_CELLS, needs_reuse, reused_ids
from infer.store import STRIP, LabelStore, Width, pack

LABEL_SUFFIX = "_label.tiff"
FULL_SUFFIX = "_label_int32.tiff"
log = logging.getLogger(__name__)


def label_path(folder: Path, name: str, suffix: str = LABEL_SUFFIX) -> Path:
    """Return ``folder/NAME_label.tiff``, NAME being the file name up to its first dot, as the challenge reads it."""
    return folder / f"{name.split('.')[0]}{suffix}"


def write_labels(path: Path, store: LabelStore, ids: str) -> None:
    """Write the labels of an image: int16, or int32 when there are more cells than int16 counts.

    With ``ids`` "challenge" such an image of 25 Mpx and more becomes int16 with ids used again where the challenge's
    scoring cannot confuse them, and NAME_label_int32.tiff beside it holds every cell under its own. Raises
    OutputError when the folder cannot be written.
    """
    if store.cells <= INT16_CELLS:
        write_strips(path, store.strips(np.int16), store.shape, np.int16)
    elif ids == "challenge" and needs_reuse(store.shape, store.cells):
        reused = reused_ids(store.boxes, store.shape)
        if reused is None:
            log.warning("%s: a patch holds more cells than int16 counts, so the labels are int32.", path)
            write_strips(path, store.strips(np.int32), store.shape, np.int32)
            return
        full = path.with_name(path.name.replace(LABEL_SUFFIX, FULL_SUFFIX))
        write_strips(full, store.strips(np.int32), store.shape, np.int32)
        log.warning("%s: %d cells do not fit int16: ids are used again, %s has them all.", path, store.cells, full.name)
        write_strips(path, (pack(reused[rows], np.int16) for rows in store.rows()), store.shape, np.int16)
    else:
        log.warning("%s: %d cells do not fit int16, so the labels are int32.", path, store.cells)
        write_strips(path, store.strips(np.int32), store.shape, np.int32)


def write_strips(path: Path, strips: Iterator[bytes], shape: tuple[int, int], dtype: Width) -> None:
    """Write labels of ``shape``, given as strips that `pack` compressed, as TIFF of ``dtype``; BigTIFF when needed.

    The file appears whole or not at all; what a killed run leaves has a name of its own, which the next one takes.
    Raises OutputError when it cannot be written.
    """
    import tifffile

    partial = path.with_name(f".{path.name}.partial")
    big = shape[0] * shape[1] * np.dtype(dtype).itemsize > 2**31
    try:
        try:
            with tifffile.TiffWriter(partial, bigtiff=big, byteorder="<") as file:
                file.write(
                    strips, shape=shape, dtype=dtype, compression="zlib", photometric="minisblack", rowsperstrip=STRIP
                )
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: it cannot be written ({error.strerror or error}); check the folder and its space."
        ) from error
