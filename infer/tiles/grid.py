"""The tile grid: positions in whole network pixels that depend only on the size of the network image."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..network.contract import GRAIN

OVERLAP = 0.1
"""Least overlap of neighbouring tiles, as a fraction of the tile's side."""
RECORD_OVERLAP = 0.25
"""The same for networks whose heads hold records (`flowmask.network.contract.Head.record`): these are not averaged, so
the tile that gives the record of a cell must show the whole cell."""
MARGIN = 8
"""Least padding at both ends of an axis, in network pixels."""
LARGEST = 1.5
"""Largest side of a tile, as a multiple of the network's tile size."""


@dataclass(frozen=True)
class TileGrid:
    """The tiles along one axis of ``length`` network pixels.

    As in Cellpose, the axis is padded by at least `MARGIN` at both ends, to a multiple of the network's grain. Tile
    positions count from the first pixel without padding, so the first position is negative. Neighbouring tiles overlap
    by at least `OVERLAP`::

        start    0                              length
          |<-----|----- tile ----->|              |
          |      |           |<------ tile ------>|-->|
    """

    length: int
    """Network pixels of the axis, without padding."""
    tile: int
    """Side of a tile in network pixels."""
    starts: tuple[int, ...]
    """Position of the first pixel of each tile."""

    def advance(self, index: int) -> int:
        """Return the first position that a tile after number ``index`` touches, or ``length`` after the last tile."""
        return self.starts[index + 1] if index + 1 < len(self.starts) else self.length

    def cores(self, record: int) -> tuple[tuple[int, int], ...]:
        """Return for each tile the first and the last position (excluded) that it owns: each position has one owner.

        Two tiles share their overlap in its middle, at a multiple of ``record``.

        >>> tile_grid(400, 224, 16, 8).cores(8)
        ((-8, 200), (200, 408))
        """
        ends = [start + self.tile for start in self.starts]
        pairs = zip(self.starts[1:], ends[:-1], strict=True)
        borders = [(start + end) // 2 // record * record for start, end in pairs]
        return tuple(zip([self.starts[0], *borders], [*borders, ends[-1]], strict=True))


def tile_grid(length: int, tile: int, grain: int = GRAIN, record: int = 1) -> TileGrid:
    """Return the tiles of an axis of ``length`` network pixels.

    One tile is used if the padded axis fits into the largest tile. Otherwise the tiles are spread evenly, and their
    side is the multiple of ``grain`` between ``tile`` and `LARGEST` * ``tile`` with the fewest tile pixels in total.
    record: side of the squares of a record, a divisor of ``grain``. The axis then has whole squares, and tiles start
    with a square.

    >>> tile_grid(200, 224)
    TileGrid(length=200, tile=224, starts=(-12,))
    >>> tile_grid(197, 224, 16, record=8)
    TileGrid(length=200, tile=224, starts=(-8,))
    """
    length = record * math.ceil(length / record)
    overlap = OVERLAP if record == 1 else RECORD_OVERLAP
    padded = grain * math.ceil(length / grain) + grain * math.ceil(2 * MARGIN / grain)
    before = (MARGIN + (padded - 2 * MARGIN - length) // 2) // record * record
    largest = math.floor(LARGEST * tile)
    if padded <= largest:
        return TileGrid(length, padded, (-before,))
    side = min(range(tile, largest + 1, grain), key=lambda side: side * _count(padded, side, overlap))
    count = _count(padded, side, overlap)
    starts = (record * round(i * (padded - side) / (count - 1) / record) - before for i in range(count))
    return TileGrid(length, side, tuple(starts))


def _count(padded: int, side: int, overlap: float) -> int:
    """Return how many tiles of this side cover a padded axis that is longer than one tile."""
    return math.ceil((padded - side) / math.floor(side * (1 - overlap))) + 1
