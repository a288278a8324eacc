"""Write a file, or a folder of files, completely or not at all, and make the folder that it goes into."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import OutputError
from .write_errors import output_error

MOST_WRITERS = 16
"""Processes that can write the same file at the same time."""


def partial_path(path: Path, writer: int = 0) -> Path:
    """Return the hidden name under which a file is written until it is complete.

    ``writer``: above 0 for each further process that writes the same file at the same time.

    >>> partial_path(Path("a_label.tiff")).name, partial_path(Path("a_label.tiff"), 2).name
    ('.a_label.tiff.partial', '.a_label.tiff.2.partial')
    """
    return path.with_name(f".{path.name}.{writer}.partial" if writer else f".{path.name}.partial")


LOCKED_WHILE_OPEN = os.name == "nt"
"""Whether the system refuses to remove or rename an open file, as Windows does, which has no `fcntl`."""


def _unlink(partial: Path) -> bool:
    """Remove a partial file if it exists; return False if the system refuses because a live process has it open."""
    try:
        partial.unlink(missing_ok=True)
    except PermissionError:
        return False
    return True


def lock(file: int) -> bool:
    """Lock an open file for this process; return False if another live process has it locked.

    A system without such locks (Windows, some network folders) counts as free.

    >>> with tempfile.TemporaryFile() as file:
    ...     lock(file.fileno())
    True
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def _is_at(file: int, path: Path) -> bool:
    """Return whether an open file still has this name: another process may have renamed or removed it."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _claim(path: Path) -> tuple[Path, int]:
    """Open and lock a partial file of ``path`` that no live process writes; return its name and descriptor."""
    for writer in range(MOST_WRITERS):
        partial = partial_path(path, writer)
        if LOCKED_WHILE_OPEN and not _unlink(partial):
            continue
        file = os.open(partial, os.O_RDWR | os.O_CREAT, 0o666)
        if lock(file) and _is_at(file, partial):
            os.ftruncate(file, 0)
            return partial, file
        os.close(file)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def make_folder(folder: Path) -> None:
    """Make an output folder if it does not exist. Raises OutputError when that fails or the folder is read-only.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make_folder(Path(folder, "a", "b"))
    ...     Path(folder, "a", "b").is_dir()
    True
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(
            f"{folder}: it cannot be written to ({error.strerror}); choose another output folder."
        ) from error


def remove_partial(path: Path) -> None:
    """Remove the partial files and folders of ``path`` that interrupted runs left, and none of a live process.

    Raises OutputError when that fails.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, ".a.txt.partial").touch()
    ...     remove_partial(Path(folder, "a.txt"))
    ...     list(Path(folder).iterdir())
    []
    """
    with _as_output_error(path):
        for writer in range(MOST_WRITERS):
            partial = partial_path(path, writer)
            if LOCKED_WHILE_OPEN:
                if _unlink(partial):
                    _remove_folders(partial)
                continue
            try:
                file = os.open(partial, os.O_RDWR)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:  # a file with such a name cannot exist
                    return
                raise
            if lock(file):
                _remove_folders(partial)
                partial.unlink(missing_ok=True)
            os.close(file)


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
    with _as_output_error(path):
        partial, file = _claim(path)
        with ExitStack() as closing:
            closing.callback(os.close, file)
            try:
                yield partial
                os.fsync(file)
                if LOCKED_WHILE_OPEN:
                    closing.close()
                os.replace(partial, path)
                _sync_folder(path.parent)
            except BaseException:
                if LOCKED_WHILE_OPEN:
                    closing.close()
                partial.unlink(missing_ok=True)
                raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give the name of an empty folder; when the context ends, its files are synced to disk and it becomes ``path``.

    It replaces a folder that is there. No system can exchange two folders in one step everywhere, so for a moment
    there is none, but never an incomplete one. While it is written its partial file, as in `atomic_write`, is the lock.
    If the context raises an exception, the new folder is removed and ``path`` is left as it was. Raises OutputError
    when the folder cannot be written.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.zarr")
    ...     with atomic_folder(path) as partial:
    ...         _ = Path(partial, "zarr.json").write_text("{}")
    ...     [entry.name for entry in Path(folder).rglob("*")]
    ['a.zarr', 'zarr.json']
    """
    with _as_output_error(path):
        partial, file = _claim(path)
        try:
            _remove_folders(partial)
            new, old = _folders(partial)
            new.mkdir()
            yield new
            for entry in (new, *new.rglob("*")):
                _sync_folder(entry) if entry.is_dir() else _sync_file(entry)
            _replace_folder(new, path, old)
            _sync_folder(path.parent)
        finally:
            _remove_folders(partial)
            with ExitStack() as closing:
                closing.callback(os.close, file)
                if LOCKED_WHILE_OPEN:
                    closing.close()
                partial.unlink(missing_ok=True)


def _replace_folder(new: Path, path: Path, old: Path) -> None:
    """Rename a folder to ``path``, and the one that is there to ``old``."""
    replaces = path.is_dir()
    if replaces:
        os.rename(path, old)
    try:
        os.rename(new, path)
    except OSError:
        if replaces:
            os.rename(old, path)
        raise


def _folders(partial: Path) -> tuple[Path, Path]:
    """Return the names of the new folder while it is written, and of the one that it replaces."""
    return partial.with_name(f"{partial.name}.new"), partial.with_name(f"{partial.name}.old")


def _remove_folders(partial: Path) -> None:
    """Remove the folders of a partial file, which the process must have locked."""
    for folder in _folders(partial):
        if folder.exists():
            shutil.rmtree(folder)


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file)


def _sync_folder(folder: Path) -> None:
    """Write the names in a folder to disk, on systems that can do so."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError that names ``path`` and a remedy."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise output_error(path, path.parent, error) from error
