"""Estimate the memory that an image takes, and choose the batch of tiles that fits."""

from __future__ import annotations

from .errors import SettingsError
from .images.memmap import CACHE
from .network.gpu import CONTEXT
from .options import named
from .system.prefetch import DEPTH
from .tiles.blend import ROWS

RUNTIME = 320 * 2**20
"""Bytes of the interpreter, its libraries and an open network of full width. Not measured with CUDA's libraries."""
TILE_BYTES = 1200
"""Bytes that a network of full width needs for each pixel of a tile on the CPU."""
GPU_BATCH = 16
"""The largest batch on a GPU if the user gives none. Not measured: a batch keeps the GPU busy for milliseconds."""
GPU_TILE_BYTES = 2 * TILE_BYTES
"""Bytes of GPU memory for each pixel of a tile. Not measured: half of it is for the workspace of cuDNN."""
GPU_NETWORK = 2**27
"""Bytes of GPU memory for the weights of a network of full width."""
WAITING = (DEPTH + 2) * ROWS
"""Rows of finished maps in network pixels that wait at most between the network and the family."""


def needed_memory(
    shape: tuple[int, int], network_shape: tuple[int, int], tile: int, map_channels: int, family_bytes: int
) -> int:
    """Return an estimate of the bytes that an image takes, without the batch of tiles in the network.

    shape: (Y, X) of the image in px. network_shape: (Y, X) after rescaling, in network pixels. tile: height of a tile
    in network pixels. map_channels: channels of all heads. family_bytes: bytes of the rows that the family holds
    (`flowmask.families.Family.row_bytes`). Apart from these rows, the result depends on the width, not on the height.

    >>> mebibyte = 2**20
    >>> needed_memory((2048, 1024), (2048, 1024), 224, 3, 10 * mebibyte) // mebibyte  # 320 + 64 + 5.6 + 10
    399
    """
    return RUNTIME + CACHE + network_shape[1] * (tile + WAITING) * 4 * map_channels + family_bytes


def planned_batch(
    budget: int,
    needed: int,
    tile: tuple[int, int],
    map_channels: int,
    batch: int,
    gpu_memory: int | None = None,
    networks: int = 1,
) -> int:
    """Return how many tiles go through the network at once.

    budget: bytes of memory that may be used. needed: the result of `needed_memory`. tile: (Y, X) in network pixels.
    batch: the largest result; 0 for one tile on the CPU, where a single tile stays in the processor's cache, and for
    `GPU_BATCH` on a GPU. gpu_memory: bytes of GPU memory that the network may use; None on the CPU. networks: number of
    networks whose maps are averaged; each keeps memory for its tiles. Raises SettingsError, with a sufficient amount,
    if the memory is too small for one tile.

    >>> planned_batch(2 * 2**30, 2**30, (224, 224), 3, batch=64)
    17
    """
    pixels = tile[0] * tile[1]
    tile_bytes = pixels * TILE_BYTES * networks
    if gpu_memory is not None:
        batch = min(batch or GPU_BATCH, _fitting_gpu(gpu_memory, pixels))
        tile_bytes = pixels * host_tile_bytes(map_channels)
    if budget < needed + tile_bytes:
        amount = _gigabytes(needed + tile_bytes)
        raise SettingsError(
            f"the image needs about {amount} of memory and the limit is {_gigabytes(budget)}; give "
            f"{named('memory', amount)} if the machine has it; otherwise use a larger machine, or crop the image."
        )
    return min(batch or 1, (budget - needed) // tile_bytes)


def host_tile_bytes(map_channels: int) -> int:
    """Return the bytes of host memory for each pixel of a tile on a GPU: for waiting tiles and their maps.

    >>> host_tile_bytes(3)  # 3 channels of 4 bytes, tiles and maps, 5 batches
    120
    """
    return 4 * 2 * map_channels * (DEPTH + 3)


def _fitting_gpu(memory: int, pixels: int) -> int:
    """Return how many tiles of ``pixels`` fit into ``memory`` bytes of a GPU; raises SettingsError if none does."""
    least = GPU_NETWORK + pixels * GPU_TILE_BYTES
    if memory < least:
        raise SettingsError(
            f"CUDA, the network and one tile need about {_gigabytes(CONTEXT + least)} of GPU memory and the limit is "
            f"{_gigabytes(CONTEXT + memory)}; give a larger {named('gpu_memory')} if the GPU has it, or "
            f"{named('device', 'cpu')}."
        )
    return (memory - GPU_NETWORK) // (pixels * GPU_TILE_BYTES)


def _gigabytes(amount: int) -> str:
    """Return a number of bytes in GiB, or in MiB if they are few, rounded up, as the option memory accepts it.

    >>> _gigabytes(2**30 + 1), _gigabytes(10 * 2**20)
    ('1.1G', '10M')
    """
    if amount < 2**30:
        return f"{-(-amount // 2**20)}M"
    return f"{-(-amount * 10 // 2**30) / 10:.1f}G"
