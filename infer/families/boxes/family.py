"""The entry of the boxes family in `flowmask.families.FAMILIES`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...labels.cell_table import CellTableBuilder
from ...labels.labels import Labels
from ...tiles.blend import ROWS
from ...tiles.plan import ImagePlan
from .. import Family, training_diameter
from ..blocks import Block, Maps, Span
from .constants import CHANNELS, LARGEST, STRIP

HALO = LARGEST
"""Network rows around a block: half a box, and the boxes that decide about it; a block that needs more raises an error
(`flowmask.families.boxes.block`)."""
ROW_BYTES = 4 * 3 * CHANNELS
"""Bytes per network pixel of the rows in work: maps, twice, and the numbers of detections."""
LABEL_BYTES = 4 * 10
"""Bytes per image pixel of the rows of labels that are drawn, numbered and measured."""


def _label_rows(parts: Iterable[Maps], plan: ImagePlan, cells: CellTableBuilder) -> Iterator[Labels]:
    from .decode import label_rows  # imported here: without compiled kernels this takes longer than opening the network

    return label_rows(parts, plan, cells)


def _label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    from .block import label_block

    return label_block(maps, plan, core, read)


def _row_bytes(shape: tuple[int, int], network_shape: tuple[int, int]) -> int:
    """Return the bytes of the rows in work. Masks and labels lie in files; detections are few and not counted."""
    maps = min(network_shape[0], 2 * ROWS) * network_shape[1] * ROW_BYTES
    return maps + min(shape[0], STRIP) * shape[1] * LABEL_BYTES


FAMILY = Family(
    options=frozenset({"score_threshold", "cellprob_threshold", "min_size"}),
    halo=lambda plan: HALO,
    estimate_diameter=training_diameter,
    label_rows=_label_rows,
    label_block=_label_block,
    row_bytes=_row_bytes,
)
