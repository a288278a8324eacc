"""The flow family as the engine sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...labels.labels import Labels
from ...tiles.plan import ImagePlan
from .. import Family
from ..blocks import Block, Maps, Span
from .constants import HALO, REACH
from .diameter import estimate_diameter

HELD = 2 * REACH + 340
"""Network rows that the strip engine holds: those that paths may cross, cells, parts and room to spare."""
HELD_BYTES = 4 * (3 + 2 + 1 + 1)
"""Bytes per network pixel of a row that is held: maps, field, sink histogram and basins."""
LABEL_BYTES = 4 * 2
"""Bytes per image pixel of a row that is held: path ends and labels."""


def _label_rows(parts: Iterable[Maps], plan: ImagePlan) -> Iterator[Labels]:
    from .strip import label_rows  # where nothing is compiled ahead, this takes longer than opening the network

    return label_rows(parts, plan.network_shape, plan.shape, plan.options, plan.threads)


def _label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    from .block import label_block

    return label_block(maps, plan, core, read)


def _row_bytes(shape: tuple[int, int], network_shape: tuple[int, int]) -> int:
    """Return the bytes that the strip engine holds: rows that paths can cross, whatever the height of the image."""
    height, width = network_shape
    rows = min(height, HELD)
    return int(rows * width * HELD_BYTES + rows * shape[0] / height * shape[1] * LABEL_BYTES)


FAMILY = Family(
    options=frozenset({"flow_threshold", "cellprob_threshold", "min_size"}),
    halo=HALO,
    estimate_diameter=estimate_diameter,
    label_rows=_label_rows,
    label_block=_label_block,
    row_bytes=_row_bytes,
)
