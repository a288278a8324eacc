"""Run all tiles of an image through the network and blend their maps into finished rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

import numpy as np
import numpy.typing as npt

from ..system.prefetch import prefetch
from .grid import TileGrid
from .rescale import View

Array = npt.NDArray[np.float32]
Run = Callable[[Array], Array]
"""Tiles (B, C, Y, X) float32 -> maps (B, channels, Y, X) float32."""
ROWS = 64
"""Most rows of maps that are yielded together."""


def blend_weights(size: int, tile: int) -> Array:
    """Return the (size,) float32 blending weights of a tile along one axis.

    Cellpose's sigmoid 1 / (1 + exp((d - (B / 2 - 20)) / 7.5)), where d is the distance from the middle of the tile and
    B is its size. A tile smaller than ``tile``, the network's tile size, gets the middle of the weights for ``tile``.

    >>> blend_weights(224, 224)[[0, 20, 111]].round(3)  # at the border, 20 px from it and in the middle
    array([0.069, 0.517, 1.   ], dtype=float32)
    """
    distance = np.abs(np.arange(size) - (size - 1) / 2)
    weight: Array = (1 / (1 + np.exp((distance - (max(size, tile) / 2 - 20)) / 7.5))).astype(np.float32)
    return weight


def tile_weights(grid: TileGrid, tile: int, record: int) -> list[Array]:
    """Return the weights (tile,) float32 of each tile along one axis.

    Where tiles overlap, pixels are averaged with the weights of `blend_weights`. Records are not averaged: they come
    from the tile that owns them (`TileGrid.cores`), whose weight is 1. tile: the network's tile size in px; record:
    side of the squares of a record, 1 without records.

    >>> from flowmask.tiles.grid import tile_grid
    >>> [int(weights.sum()) for weights in tile_weights(tile_grid(400, 224, 16, 8), 224, 8)]  # of 256 px
    [208, 208]
    """
    if record == 1:
        return [blend_weights(grid.tile, tile)] * len(grid.starts)
    weights = []
    for start, (first, last) in zip(grid.starts, grid.cores(record), strict=True):
        weights.append(np.zeros(grid.tile, np.float32))
        weights[-1][first - start : last - start] = 1
    return weights


def finished_rows(
    view: View,
    run: Run,
    channels: int,
    rows: TileGrid,
    columns: TileGrid,
    tile: int,
    batch: int,
    first_row: int = 0,
    last_row: int | None = None,
    record: int = 1,
) -> Iterator[tuple[int, Array]]:
    """Yield (top, maps (channels, n, X) float32): the blended rows ``first_row``..``last_row``, the last excluded.

    ``top`` is the first row of each part, and n is at most `ROWS`. rows, columns: the tiles along both axes; tile: the
    network's tile size in px; batch: most tiles per run of the network. ``last_row`` None means the last row of the
    image. record: side of the squares of a record, see `flowmask.network.contract.Head.record`.

    Memory holds one row of tiles. Tiles that do not touch the requested rows are not computed. Tiles are added in the
    order of the grid, so the result does not depend on the batch size or on the range of rows.

    >>> from types import SimpleNamespace
    >>> from flowmask.tiles.grid import tile_grid
    >>> ones = SimpleNamespace(read=lambda y0, x0, y1, x1: np.ones((1, y1 - y0, x1 - x0), np.float32))
    >>> grid = tile_grid(100, 224)
    >>> parts = list(finished_rows(ones, lambda tiles: 2 * tiles, 1, grid, grid, 224, batch=1))
    >>> [(top, part.shape, float(part.max())) for top, part in parts]
    [(0, (1, 64, 100), 2.0), (64, (1, 36, 100), 2.0)]
    """
    weights_y, weights_x = tile_weights(rows, tile, record), tile_weights(columns, tile, record)
    sums = _Sums(channels, rows.tile, columns, weights_x)
    batches = groups(columns.starts, batch)
    last_row = rows.length if last_row is None else last_row
    tile_rows = [
        index
        for index, top in enumerate(rows.starts)
        if first_row < min(top + rows.tile, rows.length) and top < last_row
    ]
    tiles = _tiles(view, [rows.starts[index] for index in tile_rows], batches, (rows.tile, columns.tile))
    batch_maps = prefetch(_run_all(_cache_background(run), prefetch(tiles)))
    for index in tile_rows:
        top = rows.starts[index]
        sums.add_row((maps for _ in batches for maps in next(batch_maps)), weights_y[index])
        final = rows.advance(index) - top  # rows of the sums that no later tile touches
        end = min(final, last_row - top)
        for first in range(max(0, first_row - top), end, ROWS):
            yield top + first, sums.means(first, min(first + ROWS, end))
        sums.drop(final)


class _Sums:
    """The sums of weighted maps and of weights, for as many rows as a tile has."""

    def __init__(self, channels: int, height: int, columns: TileGrid, weights_x: list[Array]) -> None:
        """height: rows of a tile; columns: the tiles along X; weights_x: the weights (tile,) of each of them."""
        self._lefts, self._weights_x = columns.starts, weights_x
        self._maps = np.zeros((channels, height, columns.length), np.float32)
        self._of_columns = np.zeros(columns.length, np.float32)
        self._of_rows = np.zeros(height, np.float32)
        for left, weight_x in zip(self._lefts, weights_x, strict=True):
            first, last = max(0, -left), min(columns.tile, columns.length - left)
            self._of_columns[left + first : left + last] += weight_x[first:last]

    def add_row(self, maps: Iterable[Array], weight_y: Array) -> None:
        """Add the maps (channels, Y, X) of a row of tiles, from left to right; weight_y: weights (Y,) of its rows."""
        from .weighted import add_weighted  # without compiled kernels this import is slow

        self._of_rows += weight_y
        for tile_maps, left, weight_x in zip(maps, self._lefts, self._weights_x, strict=True):
            add_weighted(np.ascontiguousarray(tile_maps), weight_y, weight_x, left, self._maps)

    def means(self, first: int, last: int) -> Array:
        """Return the weighted means (channels, n, X) of the rows ``first`` to ``last``, the last excluded."""
        means: Array = self._maps[:, first:last] / (self._of_rows[first:last, None] * self._of_columns)
        return means

    def drop(self, count: int) -> None:
        """Forget the first ``count`` rows: the others move up, and the last ones become 0."""
        for sums in (self._maps.swapaxes(0, 1), self._of_rows):
            remaining = len(sums) - count
            sums[:remaining] = sums[count:].copy()
            sums[remaining:] = 0


def groups(starts: tuple[int, ...], batch: int) -> list[tuple[int, ...]]:
    """Return the tile positions in as few groups of at most ``batch`` as possible, of nearly equal size.

    The first group is the largest, so the memory that a GPU reserves for it is enough for all groups.

    >>> groups((0, 10, 20, 30, 40), 3)
    [(0, 10, 20), (30, 40)]
    """
    count = -(-len(starts) // batch)
    bounds = [-(-len(starts) * index // count) for index in range(count + 1)]
    return [starts[first:last] for first, last in zip(bounds, bounds[1:], strict=False)]


def _tiles(view: View, tops: list[int], batches: list[tuple[int, ...]], shape: tuple[int, int]) -> Iterator[Array]:
    """Yield the tiles (B, C, Y, X) of each batch: for each row of tiles, all its batches from left to right."""
    for top in tops:
        for lefts in batches:
            tiles = [view.read(top, left, top + shape[0], left + shape[1]) for left in lefts]
            yield tiles[0][None] if len(tiles) == 1 else np.stack(tiles)  # a single tile is not copied


def _run_all(run: Run, tiles: Iterator[Array]) -> Iterator[Array]:
    """Yield the maps (B, channels, Y, X) of each batch of tiles."""
    with closing(tiles):  # type: ignore[type-var]
        for batch in tiles:
            yield run(batch)


def _cache_background(run: Run) -> Run:
    """Return a function like ``run`` that computes the maps of empty background only once.

    It caches the maps of the last tile in which every channel has one constant value. A batch is taken from the cache
    only if all its tiles are in it; otherwise the whole batch is run, because a GPU is slow with a new batch size.
    """
    cached: dict[bytes, Array] = {}

    def run_cached(tiles: Array) -> Array:
        values = [_constant_value(tile) for tile in tiles]
        if all(value in cached for value in values):
            return np.stack([cached[value] for value in values if value])
        batch_maps = run(tiles)
        for value, tile_maps in zip(values, batch_maps, strict=True):
            if value is not None and value not in cached:
                cached.clear()
                cached[value] = tile_maps.copy()
        return batch_maps

    return run_cached


def _constant_value(tile: Array) -> bytes | None:
    """Return the value of each channel if all pixels of the tile (C, Y, X) have the same values, otherwise None."""
    value = tile[:, :1, :1]
    return value.tobytes() if (tile[:, :1] == value).all() and (tile == value).all() else None
