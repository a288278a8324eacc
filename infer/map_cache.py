"""Finished rows of maps on disk, so that an interrupted run continues after the last of them.

The network takes most of the time, so its maps are cached; labelling runs again over the cached rows. The file is a
sequence of records: length of the payload (8 bytes), checksum (4 bytes), payload. The first payload is JSON
{"origin", "diameter"}, the others are maps (channels, n, X) float32. Records are only appended, so a kill can damage
only the last one.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import OutputError
from .labels.provenance import Origin
from .tiles.blend import Array

Payload = npt.NDArray[np.uint8]
PREFIX = struct.Struct("=QI")


def discard(path: Path) -> None:
    """Remove a file of maps where there is one; raises OutputError when that fails."""
    with _refused(path):
        path.unlink(missing_ok=True)


class MapCache:
    """The finished rows of one image's maps, from the top down, in a file that outlives the run; a context manager.

    Rows that the file holds already are used if they were made from ``origin``, and deleted otherwise. Read `parts` to
    its end first, then `append`. Raises OutputError when the file cannot be read or written.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        self._path, self._origin = path, origin
        self.diameter: float | None = None
        """The diameter in px that the cached rows were made with; None when there are none."""
        with _refused(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            self._file = os.fdopen(os.open(path, flags, 0o666), "a+b")
            self._file.seek(0)
            head = self._read()
            known = json.loads(head.tobytes()) if head is not None else None
            if known and known.get("origin") == origin:
                self.diameter = known["diameter"]
            else:
                self._cut(0)

    def __enter__(self) -> MapCache:
        return self

    def __exit__(self, *_: object) -> None:
        with _refused(self._path):
            self._file.close()

    def begin(self, diameter: float) -> None:
        """Record the diameter of the rows to come; only if `diameter` is None."""
        self.diameter = diameter
        self._write(np.frombuffer(json.dumps({"origin": self._origin, "diameter": diameter}).encode(), np.uint8))

    def parts(self, width: int, channels: int) -> Iterator[Array]:
        """Yield the cached rows (channels, n, width) float32; cut the file at the first torn or damaged record."""
        while True:
            with _refused(self._path):
                payload = self._read()
            if payload is None:
                return
            yield payload.view(np.float32).reshape(channels, -1, width)

    def append(self, part: Array) -> None:
        """Add rows (channels, n, X) below."""
        self._write(np.ascontiguousarray(part).reshape(-1).view(np.uint8))

    def _write(self, payload: Payload) -> None:
        with _refused(self._path):
            self._file.write(PREFIX.pack(payload.nbytes, _checksum(payload)))
            self._file.write(payload.data)
            self._file.flush()

    def _read(self) -> Payload | None:
        """Return the next payload. If none follows that is complete, cut the file there and return None."""
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
    """Return the CRC-32 of the length and the payload: zeros, as a crash may leave them, are no record."""
    return zlib.crc32(payload.data, zlib.crc32(payload.nbytes.to_bytes(8, "little")))


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: it cannot be kept for --resume ({error.strerror}); check the folder and its space."
        ) from error
