"""What labels are: their type, and how many cells the challenge's type counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]
"""(Y, X) cells by number from 1 on, 0 for the background."""
Boxes = npt.NDArray[np.int32]
"""(cells, 4) top, left, bottom, right of each cell; ends excluded."""
INT16_CELLS = 32_767
