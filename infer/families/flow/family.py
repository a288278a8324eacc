"""The entry of the flow family in `flowmask.families.FAMILIES`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...images.image import Image
from ...labels.cell_table import CellTableBuilder
from ...labels.labels import Labels
from ...network.session import Network
from ...tiles.channels import ChannelMap
from ...tiles.normalise import IntensityRanges
from ...tiles.plan import DiameterEstimate, ImagePlan
from .. import Family
from ..blocks import Block, Maps, Span
from .average import average
from .constants import HALO, HELD

HELD_BYTES = 4 * (3 + 2 + 1 + 1) + 1
"""Bytes per network pixel of these rows, for maps, flow field, sink histogram, basins and traps."""
LABEL_BYTES = 4 * 2
"""Bytes per image pixel of these rows, for path ends and labels."""


def _estimate_diameter(
    image: Image, network: Network, channels: ChannelMap, ranges: IntensityRanges, threads: int
) -> DiameterEstimate:
    from .diameter import estimate_diameter  # imported here: a run with a given diameter does not need it

    return estimate_diameter(image, network, channels, ranges, threads)


def _label_rows(parts: Iterable[Maps], plan: ImagePlan, cells: CellTableBuilder) -> Iterator[Labels]:
    from .strip import label_rows  # imported here: without compiled kernels this takes longer than opening the network

    return label_rows(parts, plan.network_shape, plan.shape, plan.options, plan.threads, cells)


def _label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    from .block import label_block

    return label_block(maps, plan, core, read)


def _label_from(parts: Iterable[Maps], plan: ImagePlan, first: int, top: int, height: int) -> Iterator[Block]:
    from .block import label_from

    return label_from(parts, plan, first, top, height)


def _row_bytes(shape: tuple[int, int], network_shape: tuple[int, int]) -> int:
    """Return the bytes that the strip engine uses; an image taller than `HELD` network rows does not need more."""
    height, width = network_shape
    rows = min(height, HELD)
    return int(rows * width * HELD_BYTES + rows * shape[0] / height * shape[1] * LABEL_BYTES)


FAMILY = Family(
    options=frozenset({"flow_threshold", "cellprob_threshold", "min_size"}),
    halo=lambda plan: HALO,
    estimate_diameter=_estimate_diameter,
    label_rows=_label_rows,
    label_block=_label_block,
    label_from=_label_from,
    row_bytes=_row_bytes,
    average=average,
)
