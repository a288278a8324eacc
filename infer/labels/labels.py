"""Label images: their array types, the limit of int16, and the median cell diameter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]
"""(Y, X): the cell number at each pixel, from 1; 0 is background."""
Boxes = npt.NDArray[np.int32]
"""(cells, 4): top, left, bottom, right of each cell in px; ends excluded."""
INT16_CELLS, UINT16_CELLS = 32_767, 65_535
"""Largest cell numbers that int16 and uint16 can hold."""


def median_diameter(*labels: Labels) -> float:
    """Return the median cell diameter in px over all cells of one or more label images (Y, X); 0 if there are no cells.

    The diameter of a cell is that of a circle with the cell's area, as in ``diameters`` of Cellpose's ``utils.py``.

    >>> round(median_diameter(np.full((10, 10), 1)), 2)
    11.28
    """
    areas = np.concatenate([np.bincount(image.ravel())[1:] for image in labels])
    present = areas[areas > 0]
    return float(np.median(np.sqrt(present)) * 2 / np.sqrt(np.pi)) if present.size else 0.0


def label_type(cells: int) -> type[np.integer]:
    """Return the smallest of uint16 and int32 that holds the ids 1..cells.

    >>> label_type(65_535).__name__, label_type(65_536).__name__
    ('uint16', 'int32')
    """
    return np.uint16 if cells <= UINT16_CELLS else np.int32
