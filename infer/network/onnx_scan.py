"""What an ONNX file says of its tensors: whether they lie in other files, which could be any on the machine and which
ONNX Runtime would open without a word, and whether they are of half precision.

The file is walked as Protocol Buffers encode it, and no further than to
its tensors: a message is a row of fields, each of them a key, which is its number times 8 plus how it is encoded, and
a value; a message within is encoded as bytes after their length.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
WITHIN = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Messages within each message of ONNX, by the number of their field, on the way to the tensors."""
DATA_TYPE, EXTERNAL_DATA, DATA_LOCATION = 2, 13, 14
"""Fields of a tensor: the type of its values, and where they lie if not in it."""
HALF, ELSEWHERE = 10, 1
"""Values of the first and of the last."""


def refers_elsewhere(path: Path) -> bool:
    """Tell whether a tensor of an ONNX file lies in another file; raises ValueError when it is no Protocol Buffers."""
    return any(field[0] == EXTERNAL_DATA or field == (DATA_LOCATION, ELSEWHERE) for field in _said(path))


def in_half_precision(path: Path) -> bool:
    """Tell whether a tensor of an ONNX file is of half precision; raises ValueError when it is no Protocol Buffers."""
    return (DATA_TYPE, HALF) in _said(path)


def _said(path: Path) -> Iterator[tuple[int, int]]:
    """Yield number and value of each field of each tensor of a file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield from _within(data, 0, len(data), "model")


def _within(data: mmap.mmap, start: int, end: int, message: str) -> Iterator[tuple[int, int]]:
    for number, value, length in _fields(data, start, end):
        if message == "tensor":
            yield number, value
        if within := WITHIN[message].get(number):
            yield from _within(data, value, value + length, within)


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield each field's number, its value, which for bytes is where they begin, and their length."""
    while at < end:
        key, at = _varint(data, at, end)
        value, length = at, 0
        if key & 7 == VARINT:
            value, at = _varint(data, at, end)
        elif key & 7 == LENGTH:
            length, value = _varint(data, at, end)
            at = value + length
        elif key & 7 in (EIGHT_BYTES, FOUR_BYTES):
            at += 8 if key & 7 == EIGHT_BYTES else 4
        else:
            raise ValueError("an encoding that Protocol Buffers do not know")
        if at > end:
            raise ValueError("a field is longer than what holds it")
        yield key >> 3, value, length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return a number, of which each byte holds 7 bits, lowest first, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError("a number does not end")
