"""The global lattice of tiles: integers only, decided by the size of the network-resolution image alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from infer.contract import GRAIN

OVERLAP = 0.1
MARGIN = 8


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
    """Return the tiles of an axis: one where the padded axis fits into ``tile``, evenly spread otherwise."""
    padded = GRAIN * math.ceil(length / GRAIN) + 2 * MARGIN
    before = MARGIN + (padded - 2 * MARGIN - length) // 2
    if padded <= tile:
        return Lattice(length, padded, (-before,))
    count = math.ceil((padded - tile) / math.floor(tile * (1 - OVERLAP))) + 1
    starts = (round(i * (padded - tile) / (count - 1)) - before for i in range(count))
    return Lattice(length, tile, tuple(starts))
