"""What labels are: their type, how many cells the challenge's type counts, how large the cells are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]
"""(Y, X) cells by number from 1 on, 0 for the background."""
Boxes = npt.NDArray[np.int32]
"""(cells, 4) top, left, bottom, right of each cell; ends excluded."""
INT16_CELLS = 32_767


def median_diameter(*labels: Labels) -> float:
    """Return the median diameter in px of the circles with the areas of all cells, 0 without cells.

    Cellpose's ``utils.diameters``.
    """
    areas = np.concatenate([np.bincount(field.ravel())[1:] for field in labels])
    present = areas[areas > 0]
    return float(np.median(np.sqrt(present)) * 2 / np.sqrt(np.pi)) if present.size else 0.0
