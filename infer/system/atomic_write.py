"""What the files of a run are called, and how they come to be: whole, or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infer.errors import OutputError

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


def partial_path(path: Path) -> Path:
    """Return the name that a file has while it is written."""
    return path.with_name(f".{path.name}.partial")


def make_folder(folder: Path) -> None:
    """Make a folder for results unless it is there; raises OutputError when it cannot be made, or written into."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(f"{folder}: it cannot be written into ({error.strerror}); give another with -o.") from error


def remove_partial(target: Path) -> None:
    """Remove what a run that was killed while it wrote the labels ``target`` has left; kept maps stay.

    Raises OutputError when it cannot be removed.
    """
    for path in (target, full_path(target)):
        with _refused(path):
            try:
                partial_path(path).unlink(missing_ok=True)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:  # a file with such a name cannot be there
                    raise


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give the name of a file to write, which takes the place of ``path`` once it is written and on the disk.

    Nothing is left when writing fails; raises OutputError when the system refuses it.
    """
    partial = partial_path(path)
    with _refused(path):
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        remedy = (
            "give the image a shorter name" if error.errno == errno.ENAMETOOLONG else "check the folder and its space"
        )
        raise OutputError(f"{path}: it cannot be written ({error.strerror or error}); {remedy}.") from error
