"""Names of the label files of an image, and of the files beside them."""

from __future__ import annotations

from pathlib import Path

from ..system.atomic_write import remove_partial

LABEL_SUFFIX = "_label.tiff"
FULL_SUFFIX = "_label_int32.tiff"


def label_path(folder: Path, name: str) -> Path:
    """Return ``folder/NAME_label.tiff``, NAME being the file name up to its first dot, as the challenge reads it."""
    return folder / f"{name.split('.')[0]}{LABEL_SUFFIX}"


def full_path(target: Path) -> Path:
    """Return the file of all cells beside ``target``, which `label_path` gave and which cannot number them all."""
    return target.with_name(target.name.removesuffix(LABEL_SUFFIX) + FULL_SUFFIX)


def maps_path(target: Path) -> Path:
    """Return where the maps are kept while the labels ``target`` are made."""
    return target.with_name(f".{target.name}.maps")


def remove_partials(target: Path) -> None:
    """Remove the partial files that a killed run left while it wrote the labels ``target``; cached maps stay.

    Raises OutputError when one cannot be removed.
    """
    for path in (target, full_path(target)):
        remove_partial(path)
