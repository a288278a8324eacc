"""The labels of one block, computed from the maps of its rows and of a halo around them."""

from __future__ import annotations

import numpy as np

from ...errors import RunError
from ...tiles.plan import ImagePlan
from ..blocks import Block, Maps, Span
from .constants import NMS_IOU, SQUARE
from .detections import detections_in
from .draw import by_score, draw, image_boxes
from .suppress import BUCKET, SUPPRESSED, UNDECIDED, suppress


def label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    """Return the labels of the image rows ``core``, equal to those of the whole image.

    maps: (13, n, x) float32, the rows ``read`` of the network image. The owner key of a cell is the number of the
    square in which the centre of its box lies. Raises RunError if rows that were not read can change the labels.

    >>> from types import SimpleNamespace
    >>> from flowmask.families.boxes.detections import to_maps
    >>> from flowmask.options import Segmentation
    >>> plan = SimpleNamespace(shape=(8, 16), network_shape=(8, 16), scale=1.0, options=Segmentation(min_size=0))
    >>> numbers = np.zeros((1, 2, 832), np.float32)
    >>> numbers[0, 1, :6] = 0.9, 0.8, 2, 3, 6, 7
    >>> numbers[0, 1, 6:] = 1
    >>> label_block(to_maps(numbers), plan, core=(0, 8), read=(0, 8)).keys
    array([1])
    """
    top, bottom = -(-read[0] // SQUARE) * SQUARE, read[1] // SQUARE * SQUARE
    found, masks = detections_in(maps[:, top - read[0] : bottom - read[0]], top)
    known = -np.inf if top == 0 else top, np.inf if bottom == plan.network_shape[0] else bottom
    states = suppress(found.boxes, found.order(), NMS_IOU, BUCKET, *known)
    possible = np.flatnonzero(states != SUPPRESSED)
    places = possible[by_score(found.subset(possible), plan)]
    cells = found.subset(places)
    boxes = image_boxes(cells.boxes, plan)
    touches = (boxes[:, 0] < core[1]) & (boxes[:, 2] > core[0])
    if (touches & (states[places] == UNDECIDED)).any():
        raise RunError(
            "a group of overlapping detections extends beyond the rows read for this block; segment the whole image."
        )
    return draw(boxes, cells, masks, places, plan, core)
