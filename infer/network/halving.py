"""Halve the batch when memory runs out."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from ..errors import NoRoomError
from .session import Network

Array = npt.NDArray[np.float32]
log = logging.getLogger(__name__)


class Halving:
    """Wraps a network (see `flowmask.network.session.Network`) and halves the batch whenever memory runs out.

    The smaller batch is used from then on. Each image has a wrapper of its own, so that the next image starts with full
    batches again. Raises NoRoomError when memory runs out for a single tile.
    """

    def __init__(self, network: Network) -> None:
        self._network, self.contract, self.gpu_memory = network, network.contract, network.gpu_memory
        self.count = network.count
        self._most: int | None = None
        """The largest batch; None as long as memory has not run out."""

    def maps(self, tiles: Array) -> Array:
        """Return the values of all heads; see `Network.maps`."""
        parts: list[Array] = []
        first = 0
        while first < len(tiles):
            batch = tiles[first : first + (self._most or len(tiles))]
            try:
                parts.append(self._network.maps(batch))
            except NoRoomError:
                if len(batch) == 1:
                    raise
                self._most = len(batch) // 2
                log.warning(
                    "not enough memory for %d tiles at once; the rest of this image runs %d at a time.",
                    len(batch),
                    self._most,
                )
                continue
            first += len(batch)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def diameters(self, tiles: Array) -> Array:
        """Return cell diameters; see `Network.diameters`."""
        return self._network.diameters(tiles)
