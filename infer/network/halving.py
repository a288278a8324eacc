"""Fewer tiles at once where memory for more runs out."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from ..errors import NoRoomError
from .session import Network

Array = npt.NDArray[np.float32]
log = logging.getLogger(__name__)


class Halving:
    """A network that, when it has no memory for so many tiles at once, gets half of them, from then on.

    A single tile for which there is no memory is an error: NoRoomError. Every image has a halving of its own.
    """

    def __init__(self, network: Network) -> None:
        self._network, self.contract, self.gpu_memory = network, network.contract, network.gpu_memory
        self._most: int | None = None
        """Tiles at once, once there was no memory for more."""

    def maps(self, tiles: Array) -> Array:
        parts: list[Array] = []
        first = 0
        while first < len(tiles):
            some = tiles[first : first + (self._most or len(tiles))]
            try:
                parts.append(self._network.maps(some))
            except NoRoomError:
                if len(some) == 1:
                    raise
                self._most = len(some) // 2
                log.warning("no memory for %d tiles at once: %d for the rest of this image.", len(some), self._most)
                continue
            first += len(some)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def diameters(self, tiles: Array) -> Array:
        return self._network.diameters(tiles)
