"""Decoded tiles of an image, of which the last used ones are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from .memmap import Pixels

Key = TypeVar("Key", bound=Hashable)


class TileCache(Generic[Key]):
    """Decoded tiles by their number or place. It is to be used by one thread at a time.

    >>> import numpy as np
    >>> decoded = []
    >>> cache = TileCache(lambda key: decoded.append(key) or np.zeros(10, np.uint8), budget=20)
    >>> for key in (1, 2, 1, 3, 1, 2):  # 3 takes the place of 2, which was used before 1
    ...     _ = cache.get(key)
    >>> decoded
    [1, 2, 3, 2]
    """

    def __init__(self, decode: Callable[[Key], Pixels | None], budget: int) -> None:
        """decode: returns a tile, or None if it is not stored. budget: bytes to keep; the last tile is always kept."""
        self._decode, self._budget, self._bytes = decode, budget, 0
        self._tiles: OrderedDict[Key, Pixels] = OrderedDict()

    def get(self, key: Key) -> Pixels | None:
        """Return a tile, or None if it is not stored. Raises what ``decode`` raises."""
        if key in self._tiles:
            self._tiles.move_to_end(key)
            return self._tiles[key]
        tile = self._decode(key)
        if tile is None:
            return None
        self._tiles[key] = tile
        self._bytes += tile.nbytes
        while self._bytes > self._budget and len(self._tiles) > 1:
            self._bytes -= self._tiles.popitem(last=False)[1].nbytes
        return tile
