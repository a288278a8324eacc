"""Labels as OME-TIFF: pixel size and names as Bio-Formats reads them, tiles, and a pyramid if the image is large."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from uuid import UUID

import imagecodecs
import numpy as np

from ..labels.store import Integers
from ..labels.writers import UM_PER_CM
from ..system.atomic_write import atomic_write
from ..version import __version__
from .pyramid import TILE, Pyramid

ENDING = "_labels.ome.tif"
LEVEL = 4
"""Compression level of libdeflate, which takes half the time of zlib for labels and makes them smaller."""
PROGRAM = f"Flowmask {__version__}"


class OmeTiff:
    """Compresses the tiles of all levels into temporary files: in TIFF one level follows the other."""

    def __init__(self, pyramid: Pyramid, levels: list[BinaryIO]) -> None:
        """levels: an empty file for each level."""
        self._subject, self._levels, self._shapes = pyramid.subject, levels, pyramid.shapes
        self._dtype = np.dtype(pyramid.dtype).newbyteorder("<")
        self._sizes: list[list[int]] = [[] for _ in levels]
        """Bytes of each tile."""
        self._digest = hashlib.sha256(self._subject.name.encode())

    def band(self, level: int, top: int, labels: Integers) -> None:
        """Add the next band of a level, as `Pyramid.give_to` says."""
        for left in range(0, labels.shape[1], TILE):
            self._add(level, labels[:, left : left + TILE])

    def _add(self, level: int, labels: Integers) -> None:
        """Compress the next tile of a level; what lies outside the image is background."""
        tile = np.zeros((TILE, TILE), self._dtype)
        tile[: labels.shape[0], : labels.shape[1]] = labels
        packed = imagecodecs.deflate_encode(tile.tobytes(), LEVEL)
        self._digest.update(packed)
        self._levels[level].write(packed)
        self._sizes[level].append(len(packed))

    def write(self, path: Path) -> None:
        """Write the file after all rows were added."""
        import tifffile

        height, width = self._subject.shape
        big = height * width * self._dtype.itemsize > 2**31
        sides = self._subject.sides
        with tifffile.TiffWriter(path, bigtiff=big, byteorder="<", ome=True) as file:
            for level, shape in enumerate(self._shapes):
                per_cm = [UM_PER_CM / side / 2**level for side in reversed(sides)] if sides else None
                file.write(
                    self._tiles(level),
                    shape=shape,
                    dtype=self._dtype,
                    tile=(TILE, TILE),
                    compression="zlib",
                    photometric="minisblack",
                    software=PROGRAM,
                    resolution=tuple(per_cm) if per_cm else None,
                    resolutionunit="CENTIMETER" if per_cm else None,
                    subifds=0 if level else len(self._shapes) - 1,
                    subfiletype=1 if level else 0,
                    metadata=None if level else self._metadata(),
                )

    def _tiles(self, level: int) -> Iterator[bytes]:
        self._levels[level].seek(0)
        for size in self._sizes[level]:
            yield self._levels[level].read(size)

    def _metadata(self) -> dict[str, Any]:
        """Return what tifffile writes as OME-XML. The UUID is made from the labels: the same labels, the same file."""
        sides = dict(zip("YX", self._subject.sides or (), strict=False))
        sizes: dict[str, Any] = {f"PhysicalSize{axis}": sides[axis] for axis in "XY" if axis in sides}
        sizes |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
        return {
            "axes": "YX",
            "Name": self._subject.name,
            "Channel": {"Name": "cells"},
            "Creator": PROGRAM,
            "UUID": str(UUID(bytes=self._digest.digest()[:16], version=5)),
            **(sizes if sides else {}),
        }


@contextmanager
def write_ome_tiff(path: Path, pyramid: Pyramid) -> Iterator[Pyramid]:
    """Write labels as OME-TIFF of uint16, or of int32 above 65,535 cells. Raises OutputError if that fails."""
    with atomic_write(path) as partial, ExitStack() as files:
        levels: list[BinaryIO] = [files.enter_context(TemporaryFile(dir=path.parent)) for _ in pyramid.shapes]
        writer = OmeTiff(pyramid, levels)
        pyramid.give_to(writer.band)
        yield pyramid
        writer.write(partial)
