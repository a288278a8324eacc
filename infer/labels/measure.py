"""Bounding boxes and areas of the cells of a label image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel
from .labels import Boxes, Labels


@kernel("i4[:,::1](i4[:,::1], i8)")
def label_boxes(labels: Labels, count: int) -> npt.NDArray[np.int32]:
    """Return (count, 4) int32 boxes (top, left, bottom, right; ends excluded) of the ids 1..count.

    An id without a pixel has a box of zeros.
    """
    boxes = np.zeros((count, 4), np.int32)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0:
                box = boxes[label - 1]
                if box[2] == 0:
                    box[0], box[1], box[2], box[3] = y, x, y + 1, x + 1
                else:
                    box[1] = min(box[1], x)
                    box[2] = y + 1
                    box[3] = max(box[3], x + 1)
    return boxes


@kernel("void(i4[:,::1], i8, i4[:,::1], i8[::1])")
def measure(labels: Labels, top: int, boxes: Boxes, areas: npt.NDArray[np.int64]) -> None:
    """Add rows of labels to the cells' boxes (n, 4) (top, left, bottom, right; ends excluded) and areas (n,)."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            cell = labels[y, x] - 1
            if cell >= 0:
                box = boxes[cell]
                if areas[cell] == 0:
                    box[0], box[1], box[3] = top + y, x, x + 1
                box[1] = min(box[1], x)
                box[2] = top + y + 1
                box[3] = max(box[3], x + 1)
                areas[cell] += 1
