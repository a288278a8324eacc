"""Names of the label files of an image and of the hidden files beside them."""

from __future__ import annotations

from pathlib import Path

from ..system.atomic_write import remove_partial

LABEL_SUFFIX = "_label.tiff"
FULL_SUFFIX = "_label_int32.tiff"


def label_path(folder: Path, name: str) -> Path:
    """Return the label file of an image with this file name, in ``folder``.

    The challenge's evaluation cuts a file name at its first dot, so this function does the same.

    >>> label_path(Path("out"), "cells.ome.tiff").as_posix()
    'out/cells_label.tiff'
    """
    return folder / f"{name.split('.')[0]}{LABEL_SUFFIX}"


def full_path(target: Path) -> Path:
    """Return the int32 file beside the label file ``target``; it is written if int16 cannot number all cells.

    >>> full_path(Path("out/cells_label.tiff")).as_posix()
    'out/cells_label_int32.tiff'
    """
    return target.with_name(target.name.removesuffix(LABEL_SUFFIX) + FULL_SUFFIX)


def maps_path(target: Path) -> Path:
    """Return the hidden file that caches the network's output until the label file ``target`` is finished.

    >>> maps_path(Path("out/cells_label.tiff")).as_posix()
    'out/.cells_label.tiff.maps'
    """
    return target.with_name(f".{target.name}.maps")


def remove_partials(target: Path) -> None:
    """Remove the partial files that an interrupted run left beside the label file ``target``; cached maps stay.

    Raises OutputError if a partial file cannot be removed.
    """
    for path in (target, full_path(target)):
        remove_partial(path)
