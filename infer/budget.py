"""How much memory an image takes, and how many tiles may go through the network at once."""

from __future__ import annotations

from .errors import SettingsError
from .images.memmap import CACHE
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
WAITING = (DEPTH + 2) * ROWS
"""Network rows of finished maps between the network and the family."""


def needed_memory(
    shape: tuple[int, int], network_shape: tuple[int, int], tile: int, map_channels: int, family_bytes: int
) -> int:
    """Return about how many bytes an image takes, without the tiles that go through the network.

    shape: (Y, X) of the image, network_shape: of the network image; tile: height of the tiles; family_bytes: what the
    family holds (`flowmask.families.Family.row_bytes`). The result grows with the width alone, once the image is
    taller than what the family holds.
    """
    return RUNTIME + CACHE + network_shape[1] * (tile + WAITING) * 4 * map_channels + family_bytes


def planned_batch(
    budget: int, needed: int, tile: tuple[int, int], map_channels: int, batch: int, gpu_memory: int | None = None
) -> int:
    """Return how many of ``batch`` tiles (Y, X) at once the budget allows; 0 asks for as many as are useful.

    ``gpu_memory``: bytes of a GPU's memory that the network may fill, None on the CPU. On the CPU one tile at once is
    the fastest, because it stays in the cache. Raises SettingsError, with an amount that is enough, if there is not
    even memory for one tile.
    """
    pixels = tile[0] * tile[1]
    each = pixels * TILE_BYTES
    if gpu_memory is not None:
        batch = min(batch or GPU_BATCH, _fitting_gpu(gpu_memory, pixels))
        each = pixels * host_tile_bytes(map_channels)
    if budget < needed + each:
        amount = _gigabytes(needed + each)
        raise SettingsError(
            f"it takes about {amount} of memory and may use {_gigabytes(budget)}; give --memory {amount} if the "
            "machine has as much, a larger --diameter, or a part of the image."
        )
    return min(batch or 1, (budget - needed) // each)


def host_tile_bytes(map_channels: int) -> int:
    """Return the bytes of the host's memory for each pixel of a tile on a GPU: tiles made ahead, and their maps."""
    return 4 * 2 * map_channels * (DEPTH + 3)


def _fitting_gpu(memory: int, pixels: int) -> int:
    """Return how many tiles of so many pixels fit into a GPU's memory; raises SettingsError if none does."""
    least = GPU_NETWORK + pixels * GPU_TILE_BYTES
    if memory < least:
        raise SettingsError(
            f"CUDA, the network and a tile take about {_gigabytes(CONTEXT + least)} of the GPU's memory and may use "
            f"{_gigabytes(CONTEXT + memory)}; give a larger --gpu-memory if the GPU has as much, or --device cpu."
        )
    return (memory - GPU_NETWORK) // (pixels * GPU_TILE_BYTES)


def _gigabytes(amount: int) -> str:
    return f"{-(-amount * 10 // 2**30) / 10:.1f}G"
