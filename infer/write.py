"""The label files: what the challenge asks for, and all the cells where that cannot hold them."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infer.errors import OutputError
from infer.ids import INT16_CELLS, needs_reuse, reused_ids
from infer.store import LabelStore

Integers = npt.NDArray[np.signedinteger]
LABEL_SUFFIX = "_label.tiff"
FULL_SUFFIX = "_label_int32.tiff"
STRIP = 64
"""Rows that are compressed together."""
LEVEL = 6
log = logging.getLogger(__name__)


def label_path(folder: Path, name: str, suffix: str = LABEL_SUFFIX) -> Path:
    """Return ``folder/NAME_label.tiff``, NAME being the file name up to its first dot, as the challenge reads it."""
    return folder / f"{name.split('.')[0]}{suffix}"


def write_labels(path: Path, store: LabelStore, shape: tuple[int, int], ids: str) -> None:
    """Write the labels of an image of ``shape``: int16, or int32 when there are more cells than int16 counts.

    With ``ids`` "challenge" such an image of 25 Mpx and more becomes int16 with ids used again where the challenge's
    scoring cannot confuse them, and NAME_label_int32.tiff beside it holds every cell under its own. Raises
    OutputError when the folder cannot be written.
    """
    if store.cells <= INT16_CELLS:
        write_rows(path, store.rows(), shape, np.int16)
    elif ids == "challenge" and needs_reuse(shape, store.cells):
        full = path.with_name(path.name.replace(LABEL_SUFFIX, FULL_SUFFIX))
        log.warning("%s: %d cells do not fit int16: ids are used again, %s has them all.", path, store.cells, full.name)
        reused = reused_ids(store.boxes, shape)
        write_rows(full, store.rows(), shape, np.int32)
        write_rows(path, (reused[rows] for rows in store.rows()), shape, np.int16)
    else:
        log.warning("%s: %d cells do not fit int16, so the labels are int32.", path, store.cells)
        write_rows(path, store.rows(), shape, np.int32)


def write_rows(path: Path, rows: Iterable[Integers], shape: tuple[int, int], dtype: type[np.signedinteger]) -> None:
    """Write labels, given as (n, X) from the top down, as zlib-compressed TIFF of ``dtype`` in strips.

    BigTIFF when it needs to be. The file appears whole or not at all; what a killed run leaves has a name of its own,
    which the next one takes. Raises OutputError when it cannot be written.
    """
    import tifffile

    partial = path.with_name(f".{path.name}.partial")
    strips = (
        zlib.compress(strip.astype(np.dtype(dtype).newbyteorder("<")).tobytes(), LEVEL) for strip in _strips(rows)
    )
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


def _strips(rows: Iterable[Integers]) -> Iterator[Integers]:
    """Cut rows that come in any number into arrays of `STRIP` rows, the last one of what is left."""
    waiting: list[Integers] = []
    count = 0
    for part in rows:
        waiting.append(part)
        count += len(part)
        if count >= STRIP:
            joined = np.concatenate(waiting)
            whole = count - count % STRIP
            yield from (joined[top : top + STRIP] for top in range(0, whole, STRIP))
            waiting, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(waiting)
