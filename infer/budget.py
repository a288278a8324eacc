"""How much memory an image takes, and how many tiles may go through the network at once."""

from __future__ import annotations

import re

from infer.blend import MAPS
from infer.errors import SettingsError
from infer.follow import STEPS

RUNTIME = 320 * 2**20
"""Bytes of the interpreter, its libraries and an open network of full width."""
TILE = 60 * 2**20
"""Bytes that the network needs for each tile that goes through it, at full width."""
ROW_BYTES = 4 * (2 * MAPS + 2 + 2)
"""Bytes of a network pixel whose row is held: maps, as they wait and as they are held, field, pile and basins."""
LABEL_BYTES = 4 * 3
"""Bytes of an image pixel whose row is held: ends, labels and what is written."""
READ_BYTES = 16
"""Bytes that a value of a network input takes while a row of tiles is read, normalised and resized."""
SLACK = 1.5
"""Rows are kept in arrays that are longer by up to this factor."""
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_memory(text: str) -> int:
    """Return the bytes of "4G", "800M", "2.5G" ...; SettingsError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise SettingsError(f"--memory {text} is no amount of memory; give one such as 4G or 800M.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def needed_memory(shape: tuple[int, int, int], network_shape: tuple[int, int], inputs: int, tile: int) -> int:
    """Return about how many bytes an image (C, Y, X) takes that the network sees as ``network_shape``, tiles left out.

    It grows with the width alone, once the image is taller than the rows that paths can cross.
    """
    height, width = network_shape
    held = min(height, 2 * STEPS * 1.3 + 2 * tile)
    ratio = shape[1] / height
    rows = held * width * ROW_BYTES * SLACK
    labels = held * ratio * shape[2] * LABEL_BYTES * SLACK
    reading = tile * (ratio * shape[2] + width) * inputs * READ_BYTES
    return int(RUNTIME + rows + labels + reading)


def planned_batch(budget: int, needed: int, batch: int) -> int:
    """Return how many of ``batch`` tiles at once the budget allows.

    Raises SettingsError, with the amount that would do, where it does not even allow one.
    """
    if budget < needed + TILE:
        raise SettingsError(
            f"it takes about {_gigabytes(needed + TILE)} of memory and may use {_gigabytes(budget)}; give --memory "
            f"{_gigabytes(needed + TILE)} where there is as much, a larger --diameter, or a part of the image."
        )
    return min(batch, (budget - needed) // TILE)


def _gigabytes(amount: int) -> str:
    return f"{-(-amount * 10 // 2**30) / 10:.1f}G"
