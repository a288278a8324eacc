"""Write zip files of very many small files, which takes `zipfile` longer than their contents take.

The files are stored as they are: to compress each of them takes longer than everything else about it. The bytes are
those that `zipfile.ZipFile.writestr` gives. The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

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
FILE = struct.Struct("<4s5H3L2H")
LISTED = struct.Struct("<4s2B5H3L5H2L")
OFFSET_64 = struct.Struct("<2HQ")
END_64 = struct.Struct("<4sQ2H2L4Q4sLQL")
END = struct.Struct("<4s4H2LH")


class ZipWriter:
    """Writes a zip file; it is complete after `close`.

    >>> from io import BytesIO
    >>> from zipfile import ZipFile
    >>> file = BytesIO()
    >>> writer = ZipWriter(file)
    >>> writer.add("a.txt", b"one")
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

    def add(self, name: str, data: bytes) -> None:
        """Add a file. name: ASCII; data: less than 2 GiB."""
        encoded = name.encode("ascii")
        sizes = zlib.crc32(data), len(data), len(data), len(encoded)
        self._list(encoded, sizes)
        header = FILE.pack(b"PK\3\4", VERSION, 0, STORED, 0, DATE, *sizes, 0)
        self._size += self._file.write(header + encoded + data)

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

    def _list(self, name: bytes, sizes: tuple[int, int, int, int]) -> None:
        """Add the next file to the directory."""
        large = self._size > MOST_BYTES
        version, offset = (VERSION_64, FULL) if large else (VERSION, self._size)
        extra = OFFSET_64.pack(1, 8, self._size) if large else b""
        about = version, UNIX, version, 0, STORED, 0, DATE, *sizes, len(extra), 0, 0, 0, READABLE, offset
        self._listed += LISTED.pack(b"PK\1\2", *about) + name + extra
        self._count += 1
