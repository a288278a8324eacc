"""Test-time averaging: a network that is asked about each tile and about its mirror images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .session import Network

Array = npt.NDArray[np.float32]
Y, X = 2, 3
NAMES = {Y: "y", X: "x"}
MIRRORS: tuple[tuple[int, ...], ...] = ((), (Y,), (X,), (Y, X))
"""The axes of (B, C, Y, X) along which a tile is turned over."""


class Mirrored:
    """A network whose maps are the mean over those of each tile and of its three mirror images, turned back.

    Where an axis was turned over its flow changes sign. Each mirror image goes through the network by itself, so that
    it takes four times as long and no more memory, and the sum has the same order whatever the batch. Diameters are
    those of the tiles as they are.
    """

    def __init__(self, network: Network) -> None:
        self._network, self.contract, self.gpu_memory = network, network.contract, network.gpu_memory

    def maps(self, tiles: Array) -> Array:
        mean = np.zeros((len(tiles), self.contract.map_channels, *tiles.shape[2:]), np.float32)
        for axes in MIRRORS:
            signs = np.ones(self.contract.map_channels, np.float32)
            for axis in axes:
                signs *= self.contract.mirror_signs(NAMES[axis])
            mirrored = self._network.maps(np.ascontiguousarray(np.flip(tiles, axes)))
            mean += np.flip(mirrored, axes) * signs[:, None, None]
        mean /= len(MIRRORS)
        return mean

    def diameters(self, tiles: Array) -> Array:
        return self._network.diameters(tiles)
