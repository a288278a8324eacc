"""Scan an ONNX file for tensors with external data and for tensors of half precision.

ONNX Runtime silently opens the files that external tensors name, and these could be any files of the machine. The scan
decodes the Protocol Buffers encoding down to the tensors, without loading the weights. A message is a sequence of
fields. A field is a key (8 times the field's number, plus the kind of encoding) and a value; a message inside a message
is encoded as its length and its bytes. Format: onnx.proto, and Protocol Buffers "Encoding".
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
"""Kinds of encoding."""
WITHIN = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""For each message of ONNX, the fields that contain messages with tensors: number of the field -> message."""
DATA_TYPE, EXTERNAL_DATA, DATA_LOCATION = 2, 13, 14
"""Numbers of fields of a tensor: the type of its values, the name of an external file, and the place of the values."""
HALF, EXTERNAL = 10, 1
"""Values of DATA_TYPE (float16) and DATA_LOCATION (external)."""


def refers_elsewhere(path: Path) -> bool:
    """Return whether a tensor of an ONNX file is stored in another file. Raises ValueError for a damaged file.

    >>> from flowmask.network.registry import default_network
    >>> refers_elsewhere(default_network())
    False
    """
    return any(field[0] == EXTERNAL_DATA or field == (DATA_LOCATION, EXTERNAL) for field in _tensor_fields(path))


def in_half_precision(path: Path) -> bool:
    """Return whether a tensor of an ONNX file has half precision. Raises ValueError for a damaged file.

    >>> from flowmask.network.registry import default_network
    >>> in_half_precision(default_network())
    False
    """
    return (DATA_TYPE, HALF) in _tensor_fields(path)


def _tensor_fields(path: Path) -> Iterator[tuple[int, int]]:
    """Yield (number, value) of each field of each tensor of a file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield from _tensor_fields_of(data, 0, len(data), "model")


def _tensor_fields_of(data: mmap.mmap, start: int, end: int, message: str) -> Iterator[tuple[int, int]]:
    """Yield (number, value) of each field of each tensor in a message at the offsets ``start`` to ``end``."""
    for number, value, length in _fields(data, start, end):
        if message == "tensor":
            yield number, value
        if inner := WITHIN[message].get(number):
            yield from _tensor_fields_of(data, value, value + length, inner)


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, value, length) of each field; for a field of bytes, the value is the offset of its first byte."""
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
            raise ValueError("a field has an unknown encoding")
        if at > end:
            raise ValueError("a field is longer than the message around it")
        yield key >> 3, value, length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return a number of variable length and the offset behind it. Each byte holds 7 bits, the lowest first."""
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
