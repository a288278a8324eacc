"""A file of records that are only appended, so that an interrupted process can damage the last one only.

A record is the length of its payload (8 bytes), a checksum (4 bytes) and the payload. The first payload is JSON:
"origin", everything that decides what the others hold, and perhaps more.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .labels.provenance import Origin
from .system.atomic_write import lock
from .system.write_errors import output_error

Payload = npt.NDArray[np.uint8]
PATIENCE = 2.0
"""Seconds to wait for another process to close a file."""
PREFIX = struct.Struct("=QI")


class FileInUse(Exception):
    """Another live process writes the file, which happens if two runs process the same image."""


class RecordFile:
    """A file of records that one process reads and then extends. Use it as a context manager.

    First read `payloads` to its end, then call `add`. All methods raise OutputError when the file cannot be read or
    written.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        """Open the file or create it. Its records are deleted unless they have the same ``origin``.

        Raises FileInUse if another live process has the file open.
        """
        self._path, self._origin = path, origin
        self.about: dict[str, Any] | None = None
        """The first payload; None if the file has no records."""
        with as_output_error(path):
            system = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)  # O_BINARY is Windows'
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | system
            self._file = os.fdopen(os.open(path, flags, 0o666), "a+b")
            if not _lock_patiently(self._file.fileno()):
                self._file.close()
                raise FileInUse(str(path))
            self._file.seek(0)
            self.about = _about(self._next(), origin)
            if self.about is None:
                self._cut(0)

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        with as_output_error(self._path):
            self._file.close()

    def begin(self, **more: Any) -> None:
        """Write the first record. more: values for JSON. Call this only if `about` is None."""
        self.about = {"origin": self._origin, **more}
        self.add(np.frombuffer(json.dumps(self.about).encode(), np.uint8))

    def add(self, payload: Payload) -> None:
        """Write the next record."""
        with as_output_error(self._path):
            self._append(payload)

    def payloads(self) -> Iterator[Payload]:
        """Yield the payloads after the first; cut the file at the first damaged record."""
        while True:
            with as_output_error(self._path):
                payload = self._next()
            if payload is None:
                return
            yield payload

    def _append(self, payload: Payload) -> None:
        self._file.write(PREFIX.pack(payload.nbytes, _checksum(payload)))
        self._file.write(payload.data)
        self._file.flush()

    def _next(self) -> Payload | None:
        """Return the next payload. If it is incomplete or damaged, cut the file before it and return None."""
        start = self._file.tell()
        payload = _read(self._file)
        if payload is None:
            self._cut(start)
        return payload

    def _cut(self, size: int) -> None:
        self._file.truncate(size)
        self._file.seek(size)


def read_records(path: Path, origin: Origin) -> Iterator[Payload]:
    """Yield the payloads after the first of a file that is complete; several processes can do it at once.

    Ends before the first damaged record, and at once if the origin is another one. Raises OSError.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with RecordFile(Path(folder, "a"), {"image": "a1"}) as file:
    ...         file.begin()
    ...         file.add(np.array([3, 4], np.uint8))
    ...     list(read_records(Path(folder, "a"), {"image": "a1"})), list(read_records(Path(folder, "a"), {}))
    ([array([3, 4], dtype=uint8)], [])
    """
    with open(path, "rb") as file:
        if _about(_read(file), origin) is None:
            return
        while (payload := _read(file)) is not None:
            yield payload


def _about(payload: Payload | None, origin: Origin) -> dict[str, Any] | None:
    """Return the first payload of a file of this origin, None of any other."""
    about: dict[str, Any] = json.loads(payload.tobytes()) if payload is not None else {}
    return about if about.get("origin") == origin else None


def _read(file: BinaryIO) -> Payload | None:
    """Return the next payload, None if it is incomplete or damaged."""
    prefix = file.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    size, checksum = PREFIX.unpack(prefix)
    if size > os.fstat(file.fileno()).st_size - file.tell():
        return None
    payload = np.empty(size, np.uint8)
    file.readinto(payload.data)  # type: ignore[attr-defined]
    return payload if _checksum(payload) == checksum else None


def _lock_patiently(file: int) -> bool:
    """Lock an open file, waiting up to `PATIENCE` seconds: the worker of a killed run ends in that time."""
    end = time.monotonic() + PATIENCE
    while not lock(file):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _checksum(payload: Payload) -> int:
    """Return the CRC-32 of length and payload. Because of the length, zeros left by a crash are not a valid record."""
    return zlib.crc32(payload.data, zlib.crc32(payload.nbytes.to_bytes(8, "little")))


@contextmanager
def as_output_error(path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError that names ``path`` and a remedy.

    >>> with as_output_error(Path("a.maps")):
    ...     raise OSError(5, "Input/output error")
    Traceback (most recent call last):
    ...
    flowmask.errors.OutputError: a.maps: the cached maps cannot be read or written (Input/output error); check the \
folder and the free disk space.
    """
    try:
        yield
    except OSError as error:
        raise output_error(path, path.parent, error, "the cached maps cannot be read or written") from error
