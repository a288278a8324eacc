"""Write a file completely or not at all, and make the folder that it goes into."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError


def partial_path(path: Path) -> Path:
    """Return the hidden name under which a file is written until it is complete.

    >>> partial_path(Path("a_label.tiff")).name
    '.a_label.tiff.partial'
    """
    return path.with_name(f".{path.name}.partial")


def make_folder(folder: Path) -> None:
    """Make an output folder if it does not exist. Raises OutputError when that fails or the folder is read-only."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(
            f"{folder}: it cannot be written to ({error.strerror}); give another folder with -o."
        ) from error


def remove_partial(path: Path) -> None:
    """Remove the partial file of ``path`` that an interrupted run left. Raises OutputError when that fails."""
    with _as_output_error(path):
        try:
            partial_path(path).unlink(missing_ok=True)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # a file with such a name cannot exist
                raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give the name of a partial file; when the context ends, the file is synced to disk and renamed to ``path``.

    If the context raises an exception, the partial file is removed and ``path`` is left as it was. Raises OutputError
    when the file cannot be written.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.txt")
    ...     with atomic_write(path) as partial:
    ...         _ = partial.write_text("complete")
    ...     path.read_text(), partial.exists()
    ('complete', False)
    """
    partial = partial_path(path)
    with _as_output_error(path):
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
def _as_output_error(path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError that names ``path`` and a remedy."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        too_long = error.errno == errno.ENAMETOOLONG
        remedy = "give the image a shorter name" if too_long else "check the folder and the free disk space"
        raise OutputError(f"{path}: it cannot be written ({error.strerror or error}); {remedy}.") from error
