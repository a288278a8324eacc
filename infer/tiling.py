"""The global lattice of tiles: integers only, decided by the size of the network-resolution image alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from infer.contract import GRAIN

OVERLAP = 0.1
MARGIN = 16
LARGEST = 1.5
"""Largest side of a tile, in sides of the network's own tile."""


@dataclass(frozen=True)
class Lattice:
    """The tiles along one axis of ``length`` network pixels.

    The axis is padded by at least `MARGIN` on both sides to a multiple of `GRAIN`, as in Cellpose; ``starts`` are
    positions on the unpadded axis, so the first is negative. Neighbouring tiles overlap by at least a tenth::

        start    0                              length
          |<-----|----- tile ----->|              |
          |      |           |<------ tile ------>|-->|
    """

    length: int
    tile: int
    starts: tuple[int, ...]

    def advance(self, index: int) -> int:
        """Return the end of the positions that no tile after ``index`` touches."""
        return self.starts[index + 1] if index + 1 < len(self.starts) else self.length


def lattice(length: int, tile: int) -> Lattice:
    """Return the tiles of an axis: one where the padded axis fits into the largest tile, evenly spread otherwise.

    Of the sides from ``tile`` to `LARGEST` times as much the one with the fewest pixels in all is taken.
    """
    padded = GRAIN * math.ceil(length / GRAIN) + 2 * MARGIN
    before = MARGIN + (padded - 2 * MARGIN - length) // 2
    largest = math.floor(LARGEST * tile)
    if padded <= largest:
        return Lattice(length, padded, (-before,))
    side = min(range(tile, largest + 1, GRAIN), key=lambda side: side * _count(padded, side))
    count = _count(padded, side)
    starts = (round(i * (padded - side) / (count - 1)) - before for i in range(count))
    return Lattice(length, side, tuple(starts))


def _count(padded: int, side: int) -> int:
    """Return how many tiles cover a padded axis that is longer than one of them."""
    return math.ceil((padded - side) / math.floor(side * (1 - OVERLAP))) + 1
