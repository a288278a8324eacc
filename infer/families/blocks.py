"""Label the blocks of an image independently, then give their cells one common numbering.

Each cell has an owner key: a number that identifies the cell and that is the same in every block. A block labels its
core rows and lists the owner keys of the cells in them. `gather` combines these lists and gives all cells the ids
1, 2, ... in the order of their first pixels, so the result equals the labels of the whole image.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ..labels.cell_table import CellTableBuilder
from ..labels.labels import Labels
from ..tiles.plan import ImagePlan
from ..tiles.rescale import interpolate, positions

BLOCK = 256
"""Image rows of a block in `label_rows_by_blocks`."""
LEVEL = 1
"""Compression level of zlib for labels in the temporary file."""
Maps = npt.NDArray[np.float32]
"""(channels, n, X): all heads of a network for some rows of the network image."""
Span = tuple[int, int]
"""First and last row, the last excluded."""
Keys = npt.NDArray[np.int64]
"""Owner keys, first pixels or areas of cells."""
Sums = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """The labels of the core rows of one block, and a table of the cells in them."""

    core: Span
    """The rows of the image that this block labels."""
    labels: Labels
    """(n, X) int32: 0 is background, i is the cell with the key ``keys[i - 1]``."""
    keys: Keys
    """(cells,) int64: owner key of each cell."""
    first: Keys
    """(cells,) int64: first pixel of each cell in this block, as row * X + column in the whole image."""
    areas: Keys
    """(cells,) int64: pixels of each cell in this block."""
    edges: Keys
    """(2, X) int64: owner keys in the first and in the last row of the block; -1 is background, or a pixel
    that does not join its cell to another block. (2, 0) if no pixel does."""
    sums: Sums
    """(cells,) float64: sum of the cell probability over the pixels of each cell in this block; NaN if unknown."""
    links: Keys = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """(n, 2) int64: pairs of owner keys, of this block or its neighbours, that are parts of one cell."""
    quality: Sums | None = None
    """(2, cells) float64: probability and flow error of each cell as a whole; None if the sums give the probability."""
    too_small: int = 0
    """Number of candidates that were rejected because they have too few pixels and that this block counts."""
    wrong_flow: int = 0
    """The same for a wrong flow."""


def image_maps(maps: Maps, plan: ImagePlan, rows: Span, read: Span) -> Maps:
    """Return the maps (channels, n, X) float32 of some rows of the image, interpolated bilinearly.

    maps: (channels, m, x) float32, the rows ``read`` of the network image, with those next to ``rows``.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(1, 4), network_shape=(1, 2))
    >>> image_maps(np.array([[[-2, 2]]], np.float32), plan, (0, 1), (0, 1))
    array([[[-2., -1.,  1.,  2.]]], dtype=float32)
    """
    height, width = plan.network_shape
    down = positions(rows[0], rows[1], plan.shape[0], height) - read[0]
    across = positions(0, plan.shape[1], plan.shape[1], width)
    return interpolate(interpolate(maps, down, 1), across, 2)


def summable(values: npt.NDArray[np.floating]) -> Sums:
    """Return values float64, rounded to multiples of 2^-24, so that sums of them in any order are exact.

    >>> summable(np.array([0.5, 1e-9]))
    array([0.5, 0. ])
    """
    exact: Sums = np.rint(values.astype(np.float64) * 2.0**24) / 2.0**24
    return exact


def make_block(core: Span, labels: Labels, keys: Keys, sums: Sums | None = None) -> Block:
    """Return the block with these labels; cells without a pixel are removed and the others are renumbered.

    labels: (n, X) int32 of the core rows; keys: the owner keys (ids,) int64 of the ids 1, 2, ...; sums: (ids,) float64
    as in `Block`, None if unknown.

    >>> make_block((5, 6), np.array([[0, 2, 2]], "i4"), np.array([40, 41])).keys
    array([41])
    """
    ids, first, indices, areas = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    cells = ids > 0
    background = 0 if cells.all() else 1
    numbered = (indices.reshape(labels.shape) + (1 - background)).astype(np.int32)
    present = keys[ids[cells] - 1]
    known = np.full(len(present), np.nan) if sums is None else sums[ids[cells] - 1]
    key_of_label = np.concatenate([[-1], present])
    offset = core[0] * labels.shape[1]
    edges = key_of_label[numbered[[0, -1]]]
    return Block(core, numbered, present, first[cells] + offset, areas[cells], edges, known)


LabelBlock = Callable[[Maps, ImagePlan, Span, Span], Block]
"""(maps, plan, core, read) -> the labels of the image rows ``core``, from the maps of the network rows ``read``."""
LabelFrom = Callable[[Iterable[Maps], ImagePlan, int, int, int], Iterator[Block]]
"""(rows of maps, plan, first, top, height) -> blocks from the image row ``first`` on, from the top down.

The maps come from the network row ``top`` on, the first one that `rows_to_read` returns for ``first``, or one above it.
No block has more than `BLOCK` rows, and none crosses a multiple of ``height``. A block comes as soon as its labels are
final, so fewer maps are enough for fewer blocks. Blocks of several such calls can be gathered with ``join``."""


@dataclass(frozen=True)
class Gathered:
    """The final ids of the cells of all blocks."""

    keys: Keys
    """(k,) int64: owner keys, sorted."""
    ids: npt.NDArray[np.int32]
    """(k,) int32: final id of each key; 0 removes a cell that is too small."""
    probabilities: Sums
    """(cells,) float64: mean cell probability of the cells 1, 2, ...; NaN if unknown."""
    flow_errors: Sums
    """(cells,) float64: flow error of the cells 1, 2, ...; NaN if unknown."""
    too_small: int
    """Number of cells that were removed because they are too small, here and in the blocks."""
    wrong_flow: int
    """Number of candidates that the blocks removed because of their flow."""

    def labels(self, block: Block) -> Labels:
        """Return the final labels (n, X) int32 of a block."""
        table = np.zeros(len(block.keys) + 1, np.int32)
        table[1:] = self.ids[np.searchsorted(self.keys, block.keys)]
        return table[block.labels]


def gather(blocks: Sequence[Block], min_size: int = 0, join: bool = False) -> Gathered:
    """Return the final ids of all cells: 1, 2, ... in the order of their first pixels.

    Cells of fewer than ``min_size`` px get the id 0. Cells that the ``links`` of blocks connect become one cell. With
    ``join``, so do cells that touch across the border of two blocks, one directly above the other. The field ``labels``
    of the blocks is not used.

    >>> above = make_block((0, 1), np.array([[1, 0, 2]], "i4"), np.array([7, 9]))
    >>> below = make_block((1, 2), np.array([[0, 0, 1]], "i4"), np.array([5]))
    >>> gather([above, below], join=True).labels(below)
    array([[0, 0, 2]], dtype=int32)
    """
    keys, indices = np.unique(np.concatenate([block.keys for block in blocks]), return_inverse=True)
    first = np.full(len(keys), np.iinfo(np.int64).max)
    areas = np.zeros(len(keys), np.int64)
    np.minimum.at(first, indices, np.concatenate([block.first for block in blocks]))
    np.add.at(areas, indices, np.concatenate([block.areas for block in blocks]))
    links = np.concatenate([*(block.links for block in blocks), *([_touching(blocks)] if join else [])])
    links = links[np.isin(links, keys).all(axis=1)]
    root = _roots(len(keys), np.searchsorted(keys, links))
    joined_first = np.full(len(keys), np.iinfo(np.int64).max)
    joined_areas, sums = np.zeros(len(keys), np.int64), np.zeros(len(keys))
    np.minimum.at(joined_first, root, first)
    np.add.at(joined_areas, root, areas)
    np.add.at(sums, root[indices], np.concatenate([block.sums for block in blocks]))
    whole = root == np.arange(len(keys))
    cells = np.flatnonzero(whole & (joined_areas >= max(1, min_size)))
    cells = cells[np.argsort(joined_first[cells])]
    ids = np.zeros(len(keys), np.int32)
    ids[cells] = np.arange(1, len(cells) + 1)
    quality = np.full((2, len(keys)), np.nan)
    quality[:, root[indices]] = np.concatenate([_quality(block) for block in blocks], axis=1)
    probabilities, flow_errors = quality[:, cells]
    probabilities = np.where(np.isnan(probabilities), sums[cells] / joined_areas[cells], probabilities)
    too_small = int(np.count_nonzero(whole)) - len(cells) + sum(block.too_small for block in blocks)
    return Gathered(keys, ids[root], probabilities, flow_errors, too_small, sum(block.wrong_flow for block in blocks))


def _quality(block: Block) -> Sums:
    return np.full((2, len(block.keys)), np.nan) if block.quality is None else block.quality


def _touching(blocks: Sequence[Block]) -> Keys:
    """Return the pairs of owner keys (n, 2) int64 of cells that touch across the border of two blocks."""
    ordered = sorted(blocks, key=lambda block: block.core)
    pairs = [np.zeros((0, 2), np.int64)]
    for above, below in zip(ordered, ordered[1:], strict=False):
        border = np.stack([above.edges[1], below.edges[0]], axis=1)
        pairs.append(np.unique(border[(border >= 0).all(axis=1)], axis=0))
    return np.concatenate(pairs)


def _roots(count: int, links: Keys) -> Keys:
    """Return (count,) int64: for each part, the lowest part that the links connect it to, directly or indirectly.

    links: pairs of parts (n, 2) int64. Method: union-find.

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
    """Return the rows of the network image that are needed to label the rows ``core`` of the image.

    halo: network rows above and below that can change the labels of the core (`flowmask.families.Family.halo`).

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(100, 80), network_shape=(50, 40))
    >>> rows_to_read(plan, (20, 40), halo=5)  # row 20 is at 9.75 and row 39 at 19.25: 9 - 5, 19 + 2 + 5
    (4, 26)
    """
    (height, _), length = plan.network_shape, plan.shape[0]
    first, last = positions(core[0], core[1], length, height)[[0, -1]]
    return max(0, int(first) - halo), min(height, int(last) + 2 + halo)


def label_rows_by_blocks(
    parts: Iterable[Maps],
    plan: ImagePlan,
    label_block: LabelBlock,
    halo: int,
    height: int = BLOCK,
    cells: CellTableBuilder | None = None,
) -> Iterator[Labels]:
    """Yield the labels (n, X) int32 of an image from the top down, numbered 1, 2, ... by first pixel.

    parts: the maps (channels, n, X) float32 from the top down; height: image rows of a block. Cells are joined across
    the borders of blocks: see `gather`. A cell can be as tall as the image, so the labels of all blocks are
    stored in a temporary file before the first ones are final. cells: the table to fill; None if it is not needed.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(3, 2), network_shape=(3, 2), options=SimpleNamespace(min_size=0))
    >>> def label_block(maps, plan, core, read):
    ...     return make_block(core, maps[0, : core[1] - core[0]].astype(np.int32), np.array([core[0]]))
    >>> column = np.array([[[0, 1], [0, 1], [0, 1]]], np.float32)
    >>> np.concatenate(list(label_rows_by_blocks([column], plan, label_block, halo=0, height=2))).tolist()
    [[0, 1], [0, 1], [0, 1]]
    """
    cells = CellTableBuilder() if cells is None else cells
    blocks = blocks_from(parts, plan, label_block, halo, cores(0, plan.shape[0], height, height), 0)
    return number_blocks(map(pack_block, blocks), plan, cells, join=True)


@dataclass(frozen=True)
class PackedBlock:
    """A block whose labels are compressed."""

    table: Block
    """The block without its labels."""
    labels: bytes
    """The labels as zlib-compressed int32."""

    def unpacked(self, width: int) -> Block:
        """Return the block. width: columns of the image."""
        labels = np.frombuffer(zlib.decompress(self.labels), np.int32).reshape(-1, width)
        return replace(self.table, labels=labels)


def pack_block(block: Block) -> PackedBlock:
    """Return a block whose labels are compressed.

    >>> block = make_block((0, 1), np.array([[0, 2]], np.int32), np.array([40, 41]))
    >>> pack_block(block).unpacked(2).labels
    array([[0, 1]], dtype=int32)
    """
    table = replace(block, labels=np.zeros((0, 0), np.int32))
    return PackedBlock(table, zlib.compress(np.ascontiguousarray(block.labels).data, LEVEL))


def number_blocks(
    blocks: Iterable[PackedBlock], plan: ImagePlan, cells: CellTableBuilder, join: bool = False
) -> Iterator[Labels]:
    """Yield the final labels (n, X) int32 of blocks from the top down; they are stored in a temporary file until then.

    blocks: from the top down. cells: the table to fill. join: see `gather`.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(1, 2), options=SimpleNamespace(min_size=0))
    >>> block = make_block((0, 1), np.array([[0, 2]], np.int32), np.array([40, 41]))
    >>> list(number_blocks([pack_block(block)], plan, CellTableBuilder()))
    [array([[0, 1]], dtype=int32)]
    """
    tables: list[Block] = []
    sizes: list[int] = []
    with tempfile.TemporaryFile() as file:
        for block in blocks:
            sizes.append(file.write(block.labels))
            tables.append(block.table)
        file.seek(0)
        gathered = gather(tables, plan.options.min_size, join)
        cells.too_small, cells.wrong_flow = gathered.too_small, gathered.wrong_flow
        cells.candidates = len(gathered.probabilities) + gathered.too_small + gathered.wrong_flow
        cells.add_cells(gathered.probabilities, gathered.flow_errors)
        for table, size in zip(tables, sizes, strict=True):
            final = gathered.labels(PackedBlock(table, file.read(size)).unpacked(plan.shape[1]))
            cells.add_rows(final)
            yield final


def cores(first: int, last: int, height: int, most: int = BLOCK) -> Iterator[Span]:
    """Yield the rows ``first`` to ``last`` in spans of at most ``most`` rows that cross no multiple of ``height``.

    >>> list(cores(3, 20, height=8, most=6))
    [(3, 8), (8, 14), (14, 16), (16, 20)]
    """
    while first < last:
        end = min(last, first + most, (first // height + 1) * height)
        yield first, end
        first = end


def blocks_from(
    parts: Iterable[Maps], plan: ImagePlan, label_block: LabelBlock, halo: int, spans: Iterable[Span], top: int
) -> Iterator[Block]:
    """Yield the blocks with the core rows ``spans``, each one as soon as all its maps have arrived.

    parts: the maps (channels, n, X) float32 from the network row ``top`` on; spans: from the top down to the last row.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(3, 2), network_shape=(3, 2))
    >>> def label_block(maps, plan, core, read):
    ...     return make_block(core, maps[0].astype(np.int32), np.array([core[0]]))
    >>> row = np.array([[[0, 1]]], np.float32)
    >>> [block.core for block in blocks_from([row, row], plan, label_block, halo=0, spans=[(1, 2), (2, 3)], top=1)]
    [(1, 2), (2, 3)]
    """
    maps: Maps | None = None  # from network row ``top`` on
    remaining = iter(parts)
    for core in spans:
        read = rows_to_read(plan, core, halo)
        while maps is None or top + maps.shape[1] < read[1]:
            part = next(remaining)
            maps = part if maps is None else np.concatenate([maps, part], axis=1)
        yield label_block(maps[:, read[0] - top : read[1] - top], plan, core, read)
        dropped = max(0, rows_to_read(plan, (core[1] - 1, core[1]), halo)[0] - top)
        maps, top = maps[:, dropped:], top + dropped
    for _ in remaining:  # read the rest, so that the map cache and the progress are complete
        pass
