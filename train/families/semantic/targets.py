"""The targets of semantic networks: foreground with gaps between cells that touch, or a border class there."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from train.data.augment import Array


def foreground_target(labels: npt.NDArray[np.int32], border: int) -> Array:
    """Return the target (1, Y, X): 1 in cells, 0 in the background and near another cell.

    A pixel counts as background if another cell is at most ``border`` px away, diagonals included. So cells that touch
    become separate components, 2 * ``border`` px apart. 0: no gaps.

    >>> foreground_target(np.array([[1, 1, 2, 2, 0, 3]], np.int32), border=1)[0]
    array([[1., 0., 0., 1., 0., 1.]], dtype=float32)
    """
    cells = labels > 0
    if border and cells.any():
        window = np.ones((2 * border + 1, 2 * border + 1), np.uint8)
        # OpenCV has these operations for floats, not for 32-bit integers; ids are exact up to 2 ** 24.
        ids = labels.astype(np.float32)
        largest = cv2.dilate(ids, window)
        smallest = cv2.erode(np.where(cells, ids, np.float32(np.inf)), window)
        cells = cells & (largest == ids) & (smallest == ids)
    return np.asarray(cells[None], np.float32)


def border_target(labels: npt.NDArray[np.int32], border: int) -> Array:
    """Return the classes (3, Y, X), 1 where a pixel is interior, border or background, otherwise 0.

    A pixel of a cell is border if another cell is at most ``border`` px away, diagonals included, otherwise interior.
    So only cells that touch have a border; it is their side of the gap of `foreground_target`.

    >>> border_target(np.array([[1, 1, 2, 2, 0, 3]], np.int32), border=1).astype(int).tolist()
    [[[1, 0, 0, 1, 0, 1]], [[0, 1, 1, 0, 0, 0]], [[0, 0, 0, 0, 1, 0]]]
    """
    interior, background = foreground_target(labels, border)[0], (labels == 0).astype(np.float32)
    return np.stack([interior, 1 - interior - background, background])
