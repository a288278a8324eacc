"""Finished rows of maps kept on disk, so that a run that was killed goes on after the last of them.

The network is what costs time; the dynamics run again over the kept rows. A file is a row of records, each of them
its payload's length (8 bytes), a checksum (4) and the payload: first JSON {"origin", "diameter"}, then maps
(3, n, X) float32. Records are only ever appended, so a kill can tear the last one and no other.
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
from .network.contract import MAPS
from .tiles.blend import Array

Payload = npt.NDArray[np.uint8]
PREFIX = struct.Struct("=QI")


def discard(path: Path) -> None:
    """Remove a file of maps where there is one; raises OutputError when that fails."""
    with _refused(path):
        path.unlink(missing_ok=True)


class MapsFile:
    """The finished rows of one image's maps, from the top down, in a file that outlives the run; a context manager.

    What the file holds already is taken over if its origin is ``origin``, and dropped otherwise. Use `parts` to its
    end first, `append` after that. Raises OutputError when the file cannot be read or written.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        self._path, self._origin = path, origin
        self.diameter: float | None = None
        """The diameter in px that the kept rows were made with; None when there is nothing to take over."""
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

    def __enter__(self) -> MapsFile:
        return self

    def __exit__(self, *_: object) -> None:
        with _refused(self._path):
            self._file.close()

    def begin(self, diameter: float) -> None:
        """Say the diameter that the rows to come are made with; only where `diameter` is None."""
        self.diameter = diameter
        self._write(np.frombuffer(json.dumps({"origin": self._origin, "diameter": diameter}).encode(), np.uint8))

    def parts(self, width: int) -> Iterator[Array]:
        """Yield the kept rows (3, n, width) float32; the file is cut at the first that is torn or damaged."""
        while True:
            with _refused(self._path):
                payload = self._read()
            if payload is None:
                return
            yield payload.view(np.float32).reshape(MAPS, -1, width)

    def append(self, part: Array) -> None:
        """Add rows (3, n, X) below."""
        self._write(np.ascontiguousarray(part).reshape(-1).view(np.uint8))

    def _write(self, payload: Payload) -> None:
        with _refused(self._path):
            self._file.write(PREFIX.pack(payload.nbytes, _checksum(payload)))
            self._file.write(payload.data)
            self._file.flush()

    def _read(self) -> Payload | None:
        """Return the next payload; where none follows that is whole, cut the file and return None."""
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
