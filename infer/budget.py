"""How much memory an image takes, and how many tiles may go through the network at once."""

from __future__ import annotations

from .errors import SettingsError
from .families.flow.constants import REACH
from .images.memmap import CACHE
from .network.contract import MAPS
from .network.session import CONTEXT
from .system.prefetch import DEPTH
from .tiles.blend import ROWS

RUNTIME = 320 * 2**20
"""Bytes of the interpreter, its libraries and an open network of full width. Not measured with CUDA's libraries."""
TILE_BYTES = 1200
"""Bytes that the network needs for each pixel of a tile that goes through it, at full width."""
GPU_BATCH = 16
"""Tiles at once on a GPU with memory for them. Not measured: a row of tiles keeps it busy for milliseconds."""
GPU_TILE_BYTES = 2 * TILE_BYTES
"""The same of a GPU's memory. Not measured: twice the CPU's leaves as much for what cuDNN works in."""
GPU_NETWORK = 2**27
"""Bytes of a GPU's memory for the weights of an open network of full width."""
HOST_TILE_BYTES = 4 * 2 * MAPS * (DEPTH + 3)
"""Bytes of the host's memory for each pixel of a tile that goes through a GPU: those that are made ahead, and maps."""
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


def planned_batch(budget: int, needed: int, tile: tuple[int, int], batch: int, gpu_memory: int | None = None) -> int:
    """Return how many of ``batch`` tiles (Y, X) at once, 0 for as many as are good, the budget allows.

    ``gpu_memory``: bytes of a GPU's memory that the network may fill, None where it runs on the CPU. There one tile at
    once is the fastest: it stays in the cache. Raises SettingsError, with the amount that would do, where there is not
    even room for one.
    """
    pixels = tile[0] * tile[1]
    each = pixels * TILE_BYTES
    if gpu_memory is not None:
        batch = min(batch or GPU_BATCH, _fitting_gpu(gpu_memory, pixels))
        each = pixels * HOST_TILE_BYTES
    if budget < needed + each:
        raise SettingsError(
            f"it takes about {_gigabytes(needed + each)} of memory and may use {_gigabytes(budget)}; give --memory "
            f"{_gigabytes(needed + each)} where there is as much, a larger --diameter, or a part of the image."
        )
    return min(batch or 1, (budget - needed) // each)


def _fitting_gpu(memory: int, pixels: int) -> int:
    """Return how many tiles of so many pixels fit into a GPU's memory; raises SettingsError where none does."""
    least = GPU_NETWORK + pixels * GPU_TILE_BYTES
    if memory < least:
        raise SettingsError(
            f"CUDA, the network and a tile take about {_gigabytes(CONTEXT + least)} of the GPU's memory and may use "
            f"{_gigabytes(CONTEXT + memory)}; give a larger --gpu-memory where there is as much, or --device cpu."
        )
    return (memory - GPU_NETWORK) // (pixels * GPU_TILE_BYTES)


def _gigabytes(amount: int) -> str:
    return f"{-(-amount * 10 // 2**30) / 10:.1f}G"
