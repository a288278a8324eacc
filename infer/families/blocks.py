"""Blocks of an image that are labelled independently, and the gathering of their cells into one numbering.

A cell is known by its owner key, a number that every block that sees the cell computes alike. The block whose rows
hold the key point of a cell owns it. `gather` gives the cells of all blocks the ids 1, 2, ... in the order of their
first pixels, so that the labels are those of the whole image.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..labels.labels import Labels
from ..tiles.plan import ImagePlan
from ..tiles.rescale import positions

BLOCK = 256
"""Rows of the image in a block, where blocks only bound the memory."""
LEVEL = 1
"""zlib's level for labels that wait."""
Maps = npt.NDArray[np.float32]
"""(channels, n, X): all heads of a network for some rows of the network image."""
Span = tuple[int, int]
"""Rows from the first to the last, the last excluded."""
Keys = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """The labels of some rows of an image, and a table of the cells in them."""

    core: Span
    """Rows of the image."""
    labels: Labels
    """(n, X) int32: cells by their place in `keys`, counted from 1; 0 for background."""
    keys: Keys
    """(cells,) the owner key of each cell."""
    first: Keys
    """(cells,) the first pixel of each cell in this block, as row * X + column in the whole image."""
    areas: Keys
    """(cells,) pixels of each cell in this block."""
    edges: Keys
    """(2, X) the key at each pixel of the first and of the last row, -1 for background."""


def make_block(core: Span, labels: Labels, keys: Keys) -> Block:
    """Return the block of core labels (n, X) int32 whose ids 1, 2, ... stand for ``keys`` (ids,).

    Ids without a pixel are left out.

    >>> make_block((5, 6), np.array([[0, 2, 2]], "i4"), np.array([40, 41])).keys
    array([41])
    """
    ids, first, places, areas = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    cells = ids > 0
    background = 0 if cells.all() else 1
    local = (places.reshape(labels.shape) + (1 - background)).astype(np.int32)
    found = keys[ids[cells] - 1]
    by_label = np.concatenate([[-1], found])
    offset = core[0] * labels.shape[1]
    return Block(core, local, found, first[cells] + offset, areas[cells], by_label[local[[0, -1]]])


LabelBlock = Callable[[Maps, ImagePlan, Span, Span], Block]
"""(maps of the network rows ``read``, plan, core rows of the image, read) -> the labels of the core."""


@dataclass(frozen=True)
class Gathered:
    """The ids of the cells of all blocks."""

    keys: Keys
    """(k,) sorted owner keys."""
    ids: npt.NDArray[np.int32]
    """(k,) the id of each key; 0 for a cell that is too small."""

    def labels(self, block: Block) -> Labels:
        """Return the final labels (n, X) int32 of a block."""
        table = np.zeros(len(block.keys) + 1, np.int32)
        table[1:] = self.ids[np.searchsorted(self.keys, block.keys)]
        return table[block.labels]


def gather(blocks: Sequence[Block], min_size: int = 0, join: bool = False) -> Gathered:
    """Return the ids of all cells: 1, 2, ... by first pixel. Cells below ``min_size`` pixels get 0.

    ``join``: cells of neighbouring blocks that touch across the border, one above the other, are one cell. The labels
    of the blocks are not used, so they may be elsewhere.

    >>> above = make_block((0, 1), np.array([[1, 0, 2]], "i4"), np.array([7, 9]))
    >>> below = make_block((1, 2), np.array([[0, 0, 1]], "i4"), np.array([5]))
    >>> gather([above, below], join=True).labels(below)
    array([[0, 0, 2]], dtype=int32)
    """
    keys, place = np.unique(np.concatenate([block.keys for block in blocks]), return_inverse=True)
    first = np.full(len(keys), np.iinfo(np.int64).max)
    areas = np.zeros(len(keys), np.int64)
    np.minimum.at(first, place, np.concatenate([block.first for block in blocks]))
    np.add.at(areas, place, np.concatenate([block.areas for block in blocks]))
    root = _roots(len(keys), np.searchsorted(keys, _touching(blocks) if join else np.zeros((0, 2), np.int64)))
    whole_first = np.full(len(keys), np.iinfo(np.int64).max)
    whole_areas = np.zeros(len(keys), np.int64)
    np.minimum.at(whole_first, root, first)
    np.add.at(whole_areas, root, areas)
    cells = np.flatnonzero((root == np.arange(len(keys))) & (whole_areas >= max(1, min_size)))
    ids = np.zeros(len(keys), np.int32)
    ids[cells[np.argsort(whole_first[cells])]] = np.arange(1, len(cells) + 1)
    return Gathered(keys, ids[root])


def _touching(blocks: Sequence[Block]) -> Keys:
    """Return (n, 2) the pairs of keys that touch across the borders of neighbouring blocks."""
    ordered = sorted(blocks, key=lambda block: block.core)
    pairs = [np.zeros((0, 2), np.int64)]
    for above, below in zip(ordered, ordered[1:], strict=False):
        both = np.stack([above.edges[1], below.edges[0]], axis=1)
        pairs.append(np.unique(both[(both >= 0).all(axis=1)], axis=0))
    return np.concatenate(pairs)


def _roots(count: int, links: Keys) -> Keys:
    """Return for each of ``count`` parts the lowest part that links, directly or through others, connect it to.

    >>> _roots(4, np.array([[1, 3], [3, 2]]))
    array([0, 1, 1, 1])
    """
    root = list(range(count))

    def find(part: int) -> int:
        while root[part] != part:
            root[part] = root[root[part]]
            part = root[part]
        return part

    for a, b in links.tolist():
        a, b = find(a), find(b)
        root[max(a, b)] = min(a, b)
    return np.array([find(part) for part in range(count)], np.int64)


def rows_to_read(plan: ImagePlan, core: Span, halo: int) -> Span:
    """Return the rows of the network image that a block needs for its core rows of the image.

    ``halo``: network rows above and below that can change the labels of the core.
    """
    (height, _), length = plan.network_shape, plan.shape[0]
    first, last = positions(core[0], core[1], length, height)[[0, -1]]
    return max(0, int(first) - halo), min(height, int(last) + 2 + halo)


def label_rows_by_blocks(
    parts: Iterable[Maps], plan: ImagePlan, label_block: LabelBlock, halo: int, height: int = BLOCK
) -> Iterator[Labels]:
    """Yield the labels (n, X) int32 of an image whose blocks are joined, ids 1, 2, ... by first pixel.

    parts: the maps (channels, n, X) float32 from the top down. A cell may be as tall as the image, so the labels of the
    blocks of ``height`` rows wait in a temporary file until all are known.
    """
    tables: list[Block] = []
    sizes: list[int] = []
    with tempfile.TemporaryFile() as file:
        for block in _blocks(parts, plan, label_block, halo, height):
            sizes.append(file.write(zlib.compress(block.labels.tobytes(), LEVEL)))
            tables.append(replace(block, labels=np.zeros((0, 0), np.int32)))
        file.seek(0)
        cells = gather(tables, plan.options.min_size, join=True)
        for table, size in zip(tables, sizes, strict=True):
            labels = np.frombuffer(zlib.decompress(file.read(size)), np.int32).reshape(-1, plan.shape[1])
            yield cells.labels(replace(table, labels=labels))


def _blocks(parts: Iterable[Maps], plan: ImagePlan, label_block: LabelBlock, halo: int, height: int) -> Iterator[Block]:
    """Yield the blocks from the top down as soon as the maps that they need are there."""
    held: Maps | None = None
    top, waiting = 0, iter(parts)
    for first in range(0, plan.shape[0], height):
        core = first, min(first + height, plan.shape[0])
        read = rows_to_read(plan, core, halo)
        while held is None or top + held.shape[1] < read[1]:
            part = next(waiting)
            held = part if held is None else np.concatenate([held, part], axis=1)
        yield label_block(held[:, read[0] - top : read[1] - top], plan, core, read)
        gone = max(0, rows_to_read(plan, (core[1] - 1, core[1]), halo)[0] - top)
        held, top = held[:, gone:], top + gone
    for _ in waiting:
        pass
