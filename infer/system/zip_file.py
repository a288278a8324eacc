"""Write zip files of very many small files, which takes `zipfile` longer than their contents take.

The files are stored as they are: to compress each of them takes longer than everything else about it. The bytes are
those that `zipfile.ZipFile.writestr` gives. The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

DATE = 1 << 5 | 1
"""1 January 1980, the date of all files, so that the same contents give the same zip file."""
STORED, UNIX, READABLE = 0, 3, 0o600 << 16
"""The method, the system whose permissions follow, and the permissions of a file."""
VERSION, VERSION_64 = 20, 45
"""Versions of the format that a reader must know: for all files, and for a large zip file."""
MOST_FILES, MOST_BYTES = (1 << 16) - 1, (1 << 31) - 1
"""Files and bytes that a zip file holds without the fields of 64 bits."""
FULL = 0xFFFFFFFF
"""What a field of 32 bits holds whose value is in a field of 64 bits."""
ABOUT = [("flags", "<u2"), ("method", "<u2"), ("time", "<u2"), ("date", "<u2"), ("crc", "<u4"),
         ("stored", "<u4"), ("size", "<u4"), ("name", "<u2"), ("extra", "<u2")]  # fmt: skip
"""What the header of a file and its entry in the directory have in common; the last two are lengths."""
FILE = np.dtype([("magic", "S4"), ("version", "<u2"), *ABOUT])
LISTED = np.dtype(
    [("magic", "S4"), ("made", "u1"), ("system", "u1"), ("version", "<u2"), *ABOUT,
     ("comment", "<u2"), ("disk", "<u2"), ("internal", "<u2"), ("external", "<u4"), ("offset", "<u4")]
)  # fmt: skip
OFFSET_64 = struct.Struct("<2HQ")
END_64 = struct.Struct("<4sQ2H2L4Q4sLQL")
END = struct.Struct("<4s4H2LH")


class ZipWriter:
    """Writes a zip file; it is complete after `close`.

    >>> from io import BytesIO
    >>> from zipfile import ZipFile
    >>> file = BytesIO()
    >>> writer = ZipWriter(file)
    >>> writer.add(["a.txt"], [b"one"])
    >>> writer.close()
    >>> ZipFile(file).read("a.txt")
    b'one'
    """

    def __init__(self, file: BinaryIO) -> None:
        """file: an empty file that is open for writing."""
        self._file = file
        self._size = self._count = 0
        self._listed = bytearray()
        """The directory at the end of the zip file."""

    def add(self, names: Sequence[str], contents: Sequence[bytes]) -> None:
        """Add files. names: ASCII; contents: of each file, less than 2 GiB."""
        encoded = [name.encode("ascii") for name in names]
        files = np.zeros(len(contents), FILE)
        files["magic"], files["version"], files["method"], files["date"] = b"PK\3\4", VERSION, STORED, DATE
        files["crc"] = [zlib.crc32(data) for data in contents]
        files["stored"] = files["size"] = [len(data) for data in contents]
        files["name"] = [len(name) for name in encoded]
        headers = rows_as_bytes(files)
        parts = [part for file in zip(headers, encoded, contents, strict=True) for part in file]
        lengths = FILE.itemsize + files["name"].astype(np.int64) + files["size"]
        self._list(encoded, files, self._size + np.cumsum(lengths) - lengths)
        self._size += self._file.write(b"".join(parts))

    def close(self) -> None:
        """Write the directory. The file stays open."""
        start, length, count = self._size, len(self._listed), self._count
        self._file.write(self._listed)
        if count > MOST_FILES or start > MOST_BYTES or length > MOST_BYTES:
            version = VERSION_64, VERSION_64
            place = b"PK\6\7", 0, start + length, 1
            self._file.write(END_64.pack(b"PK\6\6", 44, *version, 0, 0, count, count, length, start, *place))
            count, length, start = min(count, 0xFFFF), min(length, FULL), min(start, FULL)
        self._file.write(END.pack(b"PK\5\6", 0, 0, count, count, length, start, 0))

    def _list(self, names: Sequence[bytes], files: npt.NDArray[np.void], offsets: npt.NDArray[np.int64]) -> None:
        """Add the next files to the directory. files: their headers; offsets: their places in the zip file."""
        large = offsets > MOST_BYTES
        listed = np.zeros(len(files), LISTED)
        for field, _ in ABOUT:
            listed[field] = files[field]
        listed["magic"], listed["system"], listed["external"] = b"PK\1\2", UNIX, READABLE
        listed["made"] = listed["version"] = np.where(large, VERSION_64, VERSION)
        listed["extra"], listed["offset"] = np.where(large, OFFSET_64.size, 0), np.where(large, FULL, offsets)
        extras = [OFFSET_64.pack(1, 8, at) if far else b"" for at, far in zip(offsets.tolist(), large, strict=True)]
        entries = zip(rows_as_bytes(listed), names, extras, strict=True)
        self._listed += b"".join(part for entry in entries for part in entry)
        self._count += len(files)


def rows_as_bytes(table: npt.NDArray[np.void]) -> list[bytes]:
    """Return the bytes of each row of a table.

    >>> rows_as_bytes(np.array([(b"a", 1), (b"b", 2)], [("name", "S1"), ("count", "u1")]))
    [b'a\\x01', b'b\\x02']
    """
    data, size = table.tobytes(), table.itemsize
    return [data[first:end] for first, end in pairwise(range(0, len(data) + 1, size))]
