"""Tiles through the network, blended into finished rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import numpy.typing as npt

from ..system.prefetch import prefetch
from .grid import TileGrid
from .rescale import NormalisedView

Array = npt.NDArray[np.float32]
Run = Callable[[Array], Array]
"""(B, C, Y, X) float32 -> maps (B, channels, Y, X) float32."""
ROWS = 64


def blend_weights(size: int, tile: int) -> Array:
    """Return the (size,) float32 weight of a tile along one axis.

    Cellpose's sigmoid 1 / (1 + exp((d - (B / 2 - 20)) / 7.5)) of the distance d from the middle, B = ``size``; a
    tile smaller than ``tile``, the network's own, takes the middle of that one's.
    """
    distance = np.abs(np.arange(size) - (size - 1) / 2)
    weight: Array = (1 / (1 + np.exp((distance - (max(size, tile) / 2 - 20)) / 7.5))).astype(np.float32)
    return weight


def finished_rows(
    view: NormalisedView,
    run: Run,
    channels: int,
    rows: TileGrid,
    columns: TileGrid,
    tile: int,
    batch: int,
    first_row: int = 0,
    last_row: int | None = None,
) -> Iterator[tuple[int, Array]]:
    """Yield (top, maps (channels, n, X) float32): consecutive final rows of the maps, ``first_row`` to ``last_row``.

    One row of tiles is held at a time, and up to `ROWS` rows are handed over. Tiles are added in the order of the
    grid, so the sums depend neither on the batch size nor on the range of rows: tiles that do not touch those rows are
    left out.
    """
    width = columns.length
    weight_y, weight_x = blend_weights(rows.tile, tile), blend_weights(columns.tile, tile)
    weight = weight_y[:, None] * weight_x
    weighted = np.empty((channels, rows.tile, columns.tile), np.float32)
    across = np.zeros(width, np.float32)
    for left in columns.starts:
        _add(across, weight_x, left)
    total = np.zeros((channels, rows.tile, width), np.float32)
    down = np.zeros(rows.tile, np.float32)
    run = _background_once(run)
    together = groups(columns.starts, batch)
    last_row = rows.length if last_row is None else last_row
    needed = [
        index
        for index, top in enumerate(rows.starts)
        if first_row < min(top + rows.tile, rows.length) and top < last_row
    ]
    tiles = _tiles(view, [rows.starts[index] for index in needed], together, (rows.tile, columns.tile))
    found = prefetch(_runs(run, prefetch(tiles)))
    for index in needed:
        top = rows.starts[index]
        down += weight_y
        for lefts in together:
            for left, maps in zip(lefts, next(found), strict=True):
                _add(total, np.multiply(maps, weight, out=weighted), left)
        last = rows.advance(index) - top
        end = min(last, last_row - top)
        for first in range(max(0, first_row - top), end, ROWS):
            some = slice(first, min(first + ROWS, end))
            yield top + first, total[:, some] / (down[some, None] * across)
        total[:, : rows.tile - last] = total[:, last:].copy()
        total[:, rows.tile - last :] = 0
        down[: rows.tile - last] = down[last:].copy()
        down[rows.tile - last :] = 0


def groups(starts: tuple[int, ...], batch: int) -> list[tuple[int, ...]]:
    """Return the starts in groups of ``batch`` at most, as few and as equal as can be, the largest first.

    So the room that a GPU makes for the first is enough for all.
    """
    count = -(-len(starts) // batch)
    bounds = [-(-len(starts) * index // count) for index in range(count + 1)]
    return [starts[first:last] for first, last in zip(bounds, bounds[1:], strict=False)]


def _tiles(
    view: NormalisedView, tops: list[int], together: list[tuple[int, ...]], shape: tuple[int, int]
) -> Iterator[Array]:
    """Yield the tiles (B, C, Y, X) of each group of columns, row of tiles by row of tiles."""
    for top in tops:
        for lefts in together:
            yield np.stack([view.read(top, left, top + shape[0], left + shape[1]) for left in lefts])


def _runs(run: Run, tiles: Iterator[Array]) -> Iterator[Array]:
    """Yield the maps (B, 3, Y, X) of each group of tiles."""
    with closing(tiles):  # type: ignore[type-var]
        for group in tiles:
            yield run(group)


def _background_once(run: Run) -> Run:
    """Return ``run``, which remembers the maps of a tile of a single value: groups of empty background run once.

    A group that holds anything else goes through whole: a new number of tiles is dear on a GPU.
    """
    known: dict[bytes, Array] = {}

    def maps(tiles: Array) -> Array:
        values = [_single_value(tile) for tile in tiles]
        if all(value in known for value in values):
            return np.stack([known[value] for value in values if value])
        found = run(tiles)
        for value, own in zip(values, found, strict=True):
            if value is not None and value not in known:
                known.clear()
                known[value] = own.copy()
        return found

    return maps


def _single_value(tile: Array) -> bytes | None:
    """Return the value of each channel where every pixel of a tile (C, Y, X) has the same, None otherwise."""
    value = tile[:, :1, :1]
    return value.tobytes() if (tile[:, :1] == value).all() and (tile == value).all() else None


def _add(total: Array, values: Array, left: int) -> None:
    """Add ``values`` to the last axis of ``total`` from ``left`` on, cut at both ends."""
    first, last = max(0, -left), min(values.shape[-1], total.shape[-1] - left)
    total[..., left + first : left + last] += values[..., first:last]
