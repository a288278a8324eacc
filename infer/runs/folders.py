"""What is in a folder: image files, other files, outputs of Flowmask, and images in subfolders, which are not read."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..errors import InputError
from ..images.file_type import FORMATS, IMAGE_SUFFIXES, ZARR_SUFFIX, is_zarr
from ..labels.paths import ENDINGS, LABEL_SUFFIX

SIDE_FILES = ("thumbs.db", "desktop.ini")
"""Names, in lower case, of files that file managers write into folders."""
MARK, BEGINNING = b'{"flowmask": "', 2048
"""How the description of a label file begins (`flowmask.labels.provenance`), and within how many bytes."""
MOST_ENTRIES = 1000
"""How many entries of a folder and its subfolders are looked at, in search of images in subfolders."""


def files_of(path: Path, output: Path | None) -> list[Path]:
    """Return the path itself if it is a file or a Zarr folder, or the files in a folder, sorted by name.

    Of a folder, without hidden files, `SIDE_FILES` and outputs; ``output``: the folder in which every file is an output
    that is named as one. Raises InputError if the path does not exist or cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("b.png", "a.txt", ".hidden"):
    ...         Path(folder, name).touch()
    ...     [path.name for path in files_of(Path(folder), None)]
    ['a.txt', 'b.png']
    """
    try:
        if path.is_file() or is_zarr(path):
            return [path]
        exists = path.is_dir()
        found = sorted(p for p in path.iterdir() if _is_file(p) or is_zarr(p)) if exists else []
    except OSError as error:
        raise InputError(
            f"{path}: it cannot be read ({error.strerror}); check its name and its permissions."
        ) from error
    if not exists:
        raise InputError(f"{path}: there is no such file or folder; give the folder of the images.")
    found = [p for p in found if not p.name.startswith(".") and p.name.lower() not in SIDE_FILES]
    every = output is not None and path.resolve() == output.resolve()
    return [p for p in found if not (p.name.endswith(ENDINGS) and (every or _is_result(p)))]


def _is_result(path: Path) -> bool:
    """Return whether a file whose name has one of `ENDINGS` belongs to labels that Flowmask wrote beside it.

    Their description is at the beginning of the file. It is not read with tifffile, because this process forks and must
    not load NumPy.
    """
    ending = max((ending for ending in ENDINGS if path.name.endswith(ending)), key=len)
    try:
        with path.with_name(path.name.removesuffix(ending) + LABEL_SUFFIX).open("rb") as file:
            return MARK in file.read(BEGINNING)
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    """Return whether an entry of a folder is a file; True for a broken link or an unreadable entry."""
    try:
        return path.is_file() or (path.is_symlink() and not path.exists())
    except OSError:
        return True


@dataclass(frozen=True)
class Below:
    """Images in the subfolders of a folder."""

    count: str
    """How many images there are, in how many subfolders."""
    give: str
    """How to give these subfolders to the command."""


def images_below(folder: Path, taken: Collection[Path] = ()) -> Below | None:
    """Return what images there are one level below a folder, judged by their names, or None if there are none.

    taken: resolved paths of files and folders that do not count. At most `MOST_ENTRIES` entries are looked at.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("well1", "well2", "notes"):
    ...         Path(folder, name).mkdir()
    ...     for name in ("well1/a.tif", "well1/b.tif", "well2/a.tif", "notes/a.txt"):
    ...         Path(folder, name).touch()
    ...     images_below(Path(folder)).count
    '3 images in 2 subfolders'
    """
    images, holders, left = 0, [], MOST_ENTRIES
    for subfolder in _subfolders(folder):
        if subfolder.resolve() in taken:
            continue
        entries = _entries(subfolder, left)
        left -= len(entries)
        found = sum(_counts(entry) and entry.resolve() not in taken for entry in entries)
        images += found
        holders += [subfolder] if found else []
    if not holders:
        return None
    count = f"{images} image{'s' * (images > 1)} in {len(holders)} subfolder{'s' * (len(holders) > 1)}"
    if left <= 0:
        return Below(f"at least {count}", f"{folder}/*/")
    return Below(count, f"{folder}/*/" if len(holders) > 1 else str(holders[0]))


def where_images_are(folder: Path) -> str:
    """Return what to do about a folder without images, as the end of a sentence.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     where_images_are(Path(folder))
    'put TIFF, PNG, JPEG, BMP, CZI, ND2 or LIF images into it.'
    """
    below = images_below(folder)
    if below:
        return f"give {below.give}, with {below.count}."
    subfolders = _subfolders(folder)
    if subfolders:
        return f"give one of them, such as {subfolders[0]}."
    return f"put {FORMATS} images into it."


def _subfolders(folder: Path) -> list[Path]:
    """Return the subfolders, sorted, without hidden ones and those that are Zarr images."""
    found = (path for path in folder.iterdir() if os.path.isdir(path) and not path.name.startswith("."))
    return sorted(path for path in found if not is_zarr(path))


def _entries(folder: Path, most: int) -> list[Path]:
    """Return at most so many entries of a folder, in any order; none if the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in islice(entries, most)]
    except OSError:
        return []


def _counts(path: Path) -> bool:
    """Return whether an entry of a subfolder has the name of an image and is no output."""
    is_image = path.suffix.lower() in IMAGE_SUFFIXES or ZARR_SUFFIX.search(path.name)
    return bool(is_image) and not path.name.startswith(".") and not (path.name.endswith(ENDINGS) and _is_result(path))
