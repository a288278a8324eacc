"""Files that appear complete or not at all, and the folder that they go into."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError


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


def remove_partial(path: Path) -> None:
    """Remove the partial file that a killed run left while it wrote ``path``. Raises OutputError when that fails."""
    with _refused(path):
        try:
            partial_path(path).unlink(missing_ok=True)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # a file with such a name cannot exist
                raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
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
