"""The label file that the challenge asks for."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from infer.errors import OutputError
from infer.flows import Labels

LABEL_SUFFIX = "_label.tiff"
INT16_CELLS = 32_767
log = logging.getLogger(__name__)


def label_path(folder: Path, name: str) -> Path:
    """Return ``folder/NAME_label.tiff``, NAME being the file name up to its first dot, as the challenge reads it."""
    return folder / f"{name.split('.')[0]}{LABEL_SUFFIX}"


def write_labels(path: Path, labels: Labels, cells: int) -> None:
    """Write labels (Y, X) as zlib-compressed TIFF: int16, or int32 when there are more cells than int16 counts.

    The file appears whole or not at all. Raises OutputError when the folder cannot be written.
    """
    import tifffile

    if cells > INT16_CELLS:
        log.warning("%s: %d cells do not fit int16, so the labels are int32.", path, cells)
    dtype = np.int16 if cells <= INT16_CELLS else np.int32
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            tifffile.imwrite(partial, labels.astype(dtype), compression="zlib", photometric="minisblack")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: it cannot be written ({error.strerror or error}); check the folder and its space."
        ) from error
