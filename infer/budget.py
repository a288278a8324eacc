"""How much memory an image takes, and how many tiles may go through the network at once."""

from __future__ import annotations

from infer.blend import ROWS
from infer.contract import MAPS
from infer.disk import CACHE
from infer.errors import SettingsError
from infer.overlap import DEPTH
from infer.reach import REACH

RUNTIME = 320 * 2**20
"""Bytes of the interpreter, its libraries and an open network of full width."""
TILE_BYTES = 1200
"""Bytes that the network needs for each pixel of a tile that goes through it, at full width."""
HELD = 2 * REACH + 340
"""Network rows that the dynamics hold: those that paths may cross, cells, parts and room to spare."""
HELD_BYTES = 4 * (MAPS + 2 + 1 + 1)
"""Bytes of a network pixel whose row is held: maps, field, pile and basins."""
LABEL_BYTES = 4 * 2
"""Bytes of an image pixel whose row is held: ends and labels."""
WAITING = (DEPTH + 2) * ROWS
"""Network rows of finished maps between network and dynamics."""


def needed_memory(shape: tuple[int, int], network_shape: tuple[int, int], tile: int) -> int:
    """Return about how many bytes an image (Y, X) takes that the network sees as ``network_shape``, tiles left out.

    ``tile``: the height of the tiles. It grows with the width alone, once the image is taller than the rows that
    paths can cross.
    """
    height, width = network_shape
    held = min(height, HELD)
    maps = held * HELD_BYTES + (tile + WAITING) * 4 * MAPS
    labels = held * shape[0] / height * LABEL_BYTES
    return int(RUNTIME + CACHE + width * maps + shape[1] * labels)


def planned_batch(budget: int, needed: int, tile: tuple[int, int], batch: int) -> int:
    """Return how many of ``batch`` tiles (Y, X) at once the budget allows.

    Raises SettingsError, with the amount that would do, where it does not even allow one.
    """
    each = tile[0] * tile[1] * TILE_BYTES
    if budget < needed + each:
        raise SettingsError(
            f"it takes about {_gigabytes(needed + each)} of memory and may use {_gigabytes(budget)}; give --memory "
            f"{_gigabytes(needed + each)} where there is as much, a larger --diameter, or a part of the image."
        )
    return min(batch, (budget - needed) // each)


def _gigabytes(amount: int) -> str:
    return f"{-(-amount * 10 // 2**30) / 10:.1f}G"
