"""Cache the finished rows of maps on disk, so that an interrupted run continues after the last cached row.

The network takes most of the time, so only its maps are cached; the cached rows are labelled again. The file is a
sequence of records: length of the payload (8 bytes), checksum (4 bytes), payload. The first payload is JSON
{"origin", "diameter"}, the others are maps (channels, n, X) float32. Records are only appended, so an
interrupted run can damage the last record only.
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

import numpy as np
import numpy.typing as npt

from .labels.provenance import Origin
from .system.atomic_write import lock
from .system.write_errors import output_error
from .tiles.blend import Array

Payload = npt.NDArray[np.uint8]
PATIENCE = 2.0
"""Seconds to wait for another process to close a cache file."""
PREFIX = struct.Struct("=QI")


def discard(path: Path) -> None:
    """Remove a cache file if it exists. Raises OutputError when that fails.

    >>> discard(Path(".missing_label.tiff.maps"))
    """
    with _as_output_error(path):
        path.unlink(missing_ok=True)


def _lock_patiently(file: int) -> bool:
    """Lock an open file, waiting up to `PATIENCE` seconds: the worker of a killed run ends in that time."""
    end = time.monotonic() + PATIENCE
    while not lock(file):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class CacheInUse(Exception):
    """Another live process writes the cache file, which happens if two runs process the same image."""


class MapCache:
    """A file with the finished rows of the maps of one image, from the top down. Use it as a context manager.

    First read `parts` to its end, then call `append`. All methods raise OutputError when the file cannot be read or
    written.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        """Open the file or create it. Its rows are deleted unless they have the same ``origin``.

        origin: everything that decides the maps, such as the image, the network and the options. Raises CacheInUse if
        another live process has the file open.
        """
        self._path, self._origin = path, origin
        self.diameter: float | None = None
        """The cell diameter in image px that the cached rows were computed with; None if there are no rows."""
        with _as_output_error(path):
            system = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)  # O_BINARY is Windows'
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | system
            self._file = os.fdopen(os.open(path, flags, 0o666), "a+b")
            if not _lock_patiently(self._file.fileno()):
                self._file.close()
                raise CacheInUse(str(path))
            self._file.seek(0)
            first = self._read()
            header = json.loads(first.tobytes()) if first is not None else None
            if header and header.get("origin") == origin:
                self.diameter = header["diameter"]
            else:
                self._cut(0)

    def __enter__(self) -> MapCache:
        return self

    def __exit__(self, *_: object) -> None:
        with _as_output_error(self._path):
            self._file.close()

    def begin(self, diameter: float) -> None:
        """Write the diameter in image px for the rows that follow. Call this only if `diameter` is None."""
        self.diameter = diameter
        self._write(np.frombuffer(json.dumps({"origin": self._origin, "diameter": diameter}).encode(), np.uint8))

    def parts(self, width: int, channels: int) -> Iterator[Array]:
        """Yield the cached rows (channels, n, width) float32; cut the file at the first damaged record."""
        while True:
            with _as_output_error(self._path):
                payload = self._read()
            if payload is None:
                return
            yield payload.view(np.float32).reshape(channels, -1, width)

    def append(self, part: Array) -> None:
        """Write the next rows (channels, n, X) float32."""
        self._write(np.ascontiguousarray(part).reshape(-1).view(np.uint8))

    def _write(self, payload: Payload) -> None:
        with _as_output_error(self._path):
            self._file.write(PREFIX.pack(payload.nbytes, _checksum(payload)))
            self._file.write(payload.data)
            self._file.flush()

    def _read(self) -> Payload | None:
        """Return the next payload. If it is incomplete or damaged, cut the file before it and return None."""
        start = self._file.tell()
        prefix = self._file.read(PREFIX.size)
        if len(prefix) == PREFIX.size:
            size, checksum = PREFIX.unpack(prefix)
            if size <= os.fstat(self._file.fileno()).st_size - self._file.tell():
                payload = np.empty(size, np.uint8)
                self._file.readinto(payload.data)
                if _checksum(payload) == checksum:
                    return payload
        self._cut(start)
        return None

    def _cut(self, size: int) -> None:
        self._file.truncate(size)
        self._file.seek(size)


def _checksum(payload: Payload) -> int:
    """Return the CRC-32 of length and payload. Because of the length, zeros left by a crash are not a valid record."""
    return zlib.crc32(payload.data, zlib.crc32(payload.nbytes.to_bytes(8, "little")))


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError that names ``path`` and a remedy."""
    try:
        yield
    except OSError as error:
        raise output_error(path, path.parent, error, "the cached maps cannot be read or written") from error
