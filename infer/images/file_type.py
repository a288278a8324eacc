"""What a file is, by its contents: names mislead."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..errors import InputError

WHOLE, END = 4 * 2**20, 2**20
"""Bytes up to which a file is read whole for its fingerprint, and bytes read at either end of a larger one."""
HEAD = 16
"""Bytes from which a format is known."""
KINDS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
}
"""The formats that are read."""
OTHERS = {
    b"GIF8": "GIF",
    b"RIFF": "WebP or AVI",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"ZISRAWFILE": "Zeiss CZI",
    b"\xda\xce\xbe\x0a": "Nikon ND2",
    b"\x70\0\0\0": "Leica LIF",
    b"\xd0\xcf\x11\xe0": "Microsoft compound document, as Olympus OIB and Zeiss ZVI are",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "NumPy",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
}
"""Formats that people try, so that they are told what they have."""


def kind_of(head: bytes) -> str | None:
    """Return the format of a file that begins with ``head``, one of `KINDS`, or None for any other."""
    return next((kind for magic, kind in KINDS.items() if head.startswith(magic)), None)


def read_kind(path: Path) -> str | None:
    """Return the format of a file as `kind_of` does; raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return kind_of(file.read(HEAD))


def other_kind(head: bytes) -> str | None:
    """Return the name of a format that is known and not read, if ``head`` begins such a file."""
    return next((name for magic, name in OTHERS.items() if head.startswith(magic)), None)


def fingerprint(path: Path) -> str:
    """Return a SHA-256 that tells an image file from others without reading all of a large one.

    Up to `WHOLE` bytes it is that of the contents. Of a larger file it covers the size, the time of the last change
    and the first and last `END` bytes: a copy may count as another file, a changed file never as the same one.
    Raises InputError when the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size <= WHOLE:
                return hashlib.file_digest(file, "sha256").hexdigest()
            found = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode())
            found.update(file.read(END))
            file.seek(-END, os.SEEK_END)
            found.update(file.read(END))
            return found.hexdigest()
    except OSError as error:
        raise InputError(f"{path}: it cannot be read ({error.strerror}); check the file.") from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's contents in hexadecimal digits; raises InputError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: it cannot be read ({error.strerror}); check the file.") from error
