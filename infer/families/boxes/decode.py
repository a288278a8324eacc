"""From maps to labels: the decoder of CenterMask, for maps whose rows arrive from the top down.

The maps hold the detections of all tiles. Of boxes that overlap too much, the best one stays, whatever tiles they come
from. What decides about a box can lie in any row, so drawing starts when all maps have arrived. Masks and labels lie in
temporary files; memory holds some 100 bytes per detection, and some rows of maps and labels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from ...labels.cell_table import CellTableBuilder
from ...labels.labels import Labels
from ...tiles.plan import ImagePlan
from ..blocks import Block, Maps, number_blocks, pack_block
from .constants import NMS_IOU, STRIP
from .detections import collect
from .draw import StoredMasks, by_score, draw, image_boxes
from .suppress import BUCKET, SELECTED, suppress


def label_rows(
    parts: Iterable[Maps], plan: ImagePlan, table: CellTableBuilder | None = None, strip: int = STRIP
) -> Iterator[Labels]:
    """Yield the labels (n, X) int32 of an image from the top down, numbered 1, 2, ... in the order of first pixels.

    parts: the maps (13, n, x) float32 of the network image from the top down. table: the table to fill; None if it is
    not needed. strip: image rows of a result. Where masks overlap, a pixel belongs to the cell of the highest score.

    >>> from types import SimpleNamespace
    >>> from flowmask.families.boxes.detections import to_maps
    >>> from flowmask.options import Segmentation
    >>> plan = SimpleNamespace(shape=(8, 8), scale=1.0, options=Segmentation(min_size=0))
    >>> numbers = np.zeros((1, 1, 832), np.float32)
    >>> numbers[0, 0, :6] = 0.9, 0.8, 2, 3, 6, 7
    >>> numbers[0, 0, 6:] = 1
    >>> np.concatenate(list(label_rows([to_maps(numbers)], plan)))[2]
    array([0, 0, 0, 1, 1, 1, 1, 0], dtype=int32)
    """
    table = CellTableBuilder() if table is None else table
    with tempfile.TemporaryFile() as file:
        yield from number_blocks(map(pack_block, _blocks(parts, plan, StoredMasks(file), strip)), plan, table)


def _blocks(parts: Iterable[Maps], plan: ImagePlan, masks: StoredMasks, strip: int) -> Iterator[Block]:
    """Yield the blocks from the top down; the masks are written to the file of ``masks``."""
    found = collect(parts, masks.file)
    states = suppress(found.boxes, found.order(), NMS_IOU, BUCKET, -np.inf, np.inf)
    selected = np.flatnonzero(states == SELECTED)
    places = selected[by_score(found.subset(selected), plan)]
    cells = found.subset(places)
    boxes = image_boxes(cells.boxes, plan)
    for top in range(0, plan.shape[0], strip):
        yield draw(boxes, cells, masks, places, plan, (top, min(top + strip, plan.shape[0])))
