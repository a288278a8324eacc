"""The entry of the watershed family in `flowmask.families.FAMILIES`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...labels.cell_table import CellTableBuilder
from ...labels.labels import Labels
from ...tiles.plan import ImagePlan
from .. import Family, training_diameter
from ..blocks import Block, Maps, Span
from .compartments import check, chosen_maps, label_sets
from .constants import STRIP

HALO = 512
"""Network rows around a block; a block that needs more raises an error (`flowmask.families.watershed.block`)."""
ROW_BYTES = 4 * 24
"""Bytes per network pixel of the rows in work: maps, basins, parents, paths, edges."""
LABEL_BYTES = 4 * 3
"""Bytes per image pixel of the rows of labels that are numbered and measured."""


def _label_rows(parts: Iterable[Maps], plan: ImagePlan, cells: CellTableBuilder) -> Iterator[Labels]:
    from .decode import label_rows  # imported here: without compiled kernels this takes longer than opening the network

    return label_rows((chosen_maps(part, plan.options.compartment) for part in parts), plan, cells)


def _label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    from .block import label_block

    return label_block(chosen_maps(maps, plan.options.compartment), plan, core, read)


def _row_bytes(shape: tuple[int, int], network_shape: tuple[int, int]) -> int:
    """Return the bytes of the rows in work. The arrays of the whole image lie in files and are not counted."""
    maps = min(network_shape[0], 2 * STRIP) * network_shape[1] * ROW_BYTES
    return maps + min(shape[0], STRIP) * shape[1] * LABEL_BYTES


FAMILY = Family(
    options=frozenset({"watershed_thresholds", "compartment", "min_size"}),
    halo=lambda plan: HALO,
    estimate_diameter=training_diameter,
    label_rows=_label_rows,
    label_block=_label_block,
    row_bytes=_row_bytes,
    check=check,
    label_sets=label_sets,
)
