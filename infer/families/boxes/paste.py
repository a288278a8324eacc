"""Draw masks into rows of labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import kernel
from ...labels.labels import Labels

Masks = npt.NDArray[np.uint8]
"""(n, 28, 28): probabilities from 0 to 255."""


@kernel("void(i4[:,::1], i8, f8[:,::1], u1[:,:,::1], i4[::1], f8)")
def paste(
    labels: Labels,
    top: int,
    boxes: npt.NDArray[np.float64],
    masks: Masks,
    numbers: npt.NDArray[np.int32],
    threshold: float,
) -> None:
    """Give background pixels of some rows of labels to the masks that cover them, in place; earlier masks come first.

    labels: (m, X) int32, whose first row is row ``top`` of the image. boxes: (n, 4) float64, top, left, bottom and
    right in px of the image. masks: (n, s, s) uint8, stretched to the boxes. numbers: (n,) int32, the label of each
    mask. threshold: a pixel is covered if the mask at its centre is at least this, 0 to 255. Between the middles of its
    pixels a mask is interpolated linearly, and outside it is 0, as ``paste_masks_in_image`` of detectron2 does.

    >>> labels = np.zeros((1, 4), np.int32)
    >>> paste(labels, 7, np.array([[7.0, 1, 8, 3]]), np.full((1, 2, 2), 255, np.uint8), np.array([5], np.int32), 127.5)
    >>> labels
    array([[0, 5, 5, 0]], dtype=int32)
    """
    side = masks.shape[1]
    for n in range(len(boxes)):
        height, width = boxes[n, 2] - boxes[n, 0], boxes[n, 3] - boxes[n, 1]
        first_row, last_row = max(0, int(np.floor(boxes[n, 0])) - top), int(np.ceil(boxes[n, 2])) - top
        first_column, last_column = max(0, int(np.floor(boxes[n, 1]))), int(np.ceil(boxes[n, 3]))
        for y in range(first_row, min(last_row, labels.shape[0])):
            v = (top + y + 0.5 - boxes[n, 0]) / height * side - 0.5
            row = int(np.floor(v))
            down = v - row
            for x in range(first_column, min(last_column, labels.shape[1])):
                if labels[y, x] != 0:
                    continue
                u = (x + 0.5 - boxes[n, 1]) / width * side - 0.5
                column = int(np.floor(u))
                across = u - column
                value = 0.0
                for i in range(2):
                    for j in range(2):
                        if 0 <= row + i < side and 0 <= column + j < side:
                            weight = (down if i else 1 - down) * (across if j else 1 - across)
                            value += weight * masks[n, row + i, column + j]
                if value >= threshold:
                    labels[y, x] = numbers[n]
