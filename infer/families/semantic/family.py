"""The entry of the semantic family in `flowmask.families.FAMILIES`.

The number of channels of the maps says which of the two forms a network has: one foreground logit
(`flowmask.families.semantic.foreground`), or the probabilities of interior, border and background
(`flowmask.families.semantic.border`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...errors import NetworkError
from ...labels.cell_table import CellTableBuilder
from ...labels.labels import Labels
from ...tiles.plan import ImagePlan
from .. import Family, training_diameter
from ..blocks import BLOCK, Block, Maps, Span, blocks_from, cores, label_rows_by_blocks
from . import border, foreground

BLOCK_BYTES = 4 * 15
"""Bytes per image pixel of a block and the rows around it, for maps, classes, components and labels."""


def label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    """Return the cells of the image rows ``core``, by the form of the network.

    maps: (1 or 3, m, x) float32, the rows ``read`` of the network image. Raises NetworkError for other maps.

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(1, 4), network_shape=(1, 4), options=SimpleNamespace(cellprob_threshold=0.0))
    >>> label_block(np.array([[[3, 3, -3, 3]]], np.float32), plan, (0, 1), (0, 1)).labels
    array([[1, 1, 0, 2]], dtype=int32)
    """
    if len(maps) not in (1, 3):
        raise NetworkError(
            f"a network of the semantic family has 1 or 3 map channels and this one has {len(maps)}; export it again."
        )
    form = foreground.label_block if len(maps) == 1 else border.label_block
    return form(maps, plan, core, read)


def _label_rows(parts: Iterable[Maps], plan: ImagePlan, cells: CellTableBuilder) -> Iterator[Labels]:
    return label_rows_by_blocks(parts, plan, label_block, _halo(plan), cells=cells)


def _label_from(parts: Iterable[Maps], plan: ImagePlan, first: int, top: int, height: int) -> Iterator[Block]:
    return blocks_from(parts, plan, label_block, _halo(plan), cores(first, plan.shape[0], height), top)


def _halo(plan: ImagePlan) -> int:
    return foreground.HALO if plan.contract.map_channels == 1 else border.rows_around(plan)


def _row_bytes(shape: tuple[int, int], network_shape: tuple[int, int]) -> int:
    around = -(-border.HALO * shape[0] // network_shape[0])
    return min(shape[0], BLOCK + 2 * around) * shape[1] * BLOCK_BYTES


FAMILY = Family(
    options=frozenset({"cellprob_threshold", "min_size"}),
    halo=_halo,
    estimate_diameter=training_diameter,
    label_rows=_label_rows,
    label_block=label_block,
    label_from=_label_from,
    row_bytes=_row_bytes,
)
