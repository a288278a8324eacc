"""Errors of the system while a result is written, as errors of the family."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from ..errors import FolderError, OutputError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The errors of a disk that is full, and of a user's share of it that is used up."""
REMEDIES = {
    errno.ENAMETOOLONG: "give the image a shorter name",
    errno.EFBIG: "the disk or the system allows no file of this size, so choose an output folder on another disk",
}
"""What to do about errors that concern one file."""


def output_error(path: Path, folder: Path, error: OSError, what: str = "it cannot be written") -> OutputError:
    """Return the error for a result that could not be written; a FolderError if no other result could be written.

    path: what was being written, and ``folder`` the one that it is in. what: what could not be done with it.

    >>> output_error(Path("a.csv"), Path("."), OSError(errno.EFBIG, "File too large"), "it cannot be changed").args[0]
    ... # doctest: +ELLIPSIS
    'a.csv: it cannot be changed (File too large); the disk or the system allows no file of this size, so ...'
    >>> type(output_error(Path("a.csv"), Path("."), OSError(errno.ENOSPC, "No space left on device"))).__name__
    'FolderError'
    """
    begin = f"{path}: {what} ({error.strerror or error}); "
    if error.errno in FULL:
        return FolderError(f"{begin}make room on this disk, or choose another output folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        return FolderError(f"{begin}nothing more can be written into {folder}, so check this folder and its disk.")
    return OutputError(f"{begin}{REMEDIES.get(error.errno or 0, 'check the folder and the free disk space')}.")


def no_temporary_room(error: OSError) -> OutputError:
    """Return the error for a temporary file that could not be written.

    >>> no_temporary_room(OSError(errno.ENOSPC, "No space left on device")).args[0]  # doctest: +ELLIPSIS
    'the folder for temporary files, ..., cannot be written (No space left on device); set TMPDIR to a folder with ...'
    """
    return OutputError(
        f"the folder for temporary files, {tempfile.gettempdir()}, cannot be written ({error.strerror or error}); set "
        "TMPDIR to a folder with more space."
    )
