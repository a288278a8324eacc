"""Test-time averaging: run a network on each tile and its mirror images, and average the maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .session import Network

Array = npt.NDArray[np.float32]
Y, X = 2, 3
"""Axes of tiles (B, C, Y, X)."""
NAMES = {Y: "y", X: "x"}
"""The names of these axes in `flowmask.network.contract.Head.mirror`."""
MIRRORS: tuple[tuple[int, ...], ...] = ((), (Y,), (X,), (Y, X))
"""The axes that are reversed: none, Y, X, and both."""


class Mirrored:
    """Wraps a network; its maps are the mean over a tile and its three mirror images, mirrored back.

    Reversing an axis changes the sign of the flow along it (`flowmask.network.contract.Contract.mirror_signs`). The
    four versions go through the network one after the other: this takes four times as long and no more memory, and the
    order of the sum does not depend on the batch. Diameters come from the tiles without mirroring.
    """

    def __init__(self, network: Network) -> None:
        self._network, self.contract, self.gpu_memory = network, network.contract, network.gpu_memory
        self.count = network.count

    def maps(self, tiles: Array) -> Array:
        """Return the mean values of all heads; see `flowmask.network.session.Network.maps`."""
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
        """Return the cell diameters of the tiles without mirroring."""
        return self._network.diameters(tiles)
