"""Ids for images with more than 32,767 cells: int16 ids are reused where the challenge's scoring cannot confuse them.

The scoring of the NeurIPS 2022 cell segmentation challenge copies labels into int16. It cuts an image of 25 Mpx or
more into patches of 2,000 x 2,000 px and scores each patch separately. So two cells may share an id if no patch
contains both.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel
from .labels import INT16_CELLS, Boxes

LARGE = 25_000_000
"""Smallest number of pixels of an image that the challenge scores in patches."""
PATCH = 2000
"""Side of a patch in px."""
Ids = npt.NDArray[np.int16]
log = logging.getLogger(__name__)


def needs_reuse(shape: tuple[int, int], cells: int) -> bool:
    """Return whether ids must be reused for an image of ``shape`` (Y, X) with this number of cells.

    True if the cells exceed int16 and the challenge scores the image in patches.

    >>> needs_reuse((5000, 5000), 40_000), needs_reuse((5000, 5000), 30_000), needs_reuse((1000, 1000), 40_000)
    (True, False, False)
    """
    return cells > INT16_CELLS and shape[0] * shape[1] >= LARGE


def reused_ids(boxes: Boxes, shape: tuple[int, int]) -> Ids | None:
    """Return a table (cells + 1,) int16 from cell number to the id in the challenge's file; 0 stays background.

    boxes: (cells, 4) int32 (top, left, bottom, right) in px, ends excluded; shape: (Y, X) of the image in px. Cells in
    the same patch or in neighbouring patches get different ids. If there are too few ids for that, only cells in the
    same patch get different ids, and a warning is logged. If one patch has more cells than int16 has ids, None is
    returned.

    >>> reused_ids(np.array([[0, 0, 9, 9], [4000, 0, 4009, 9]], np.int32), (5000, 5000))
    array([0, 1, 2], dtype=int16)
    """
    patches = -(-shape[0] // PATCH), -(-shape[1] // PATCH)
    ids = _assign(boxes, patches, 1)
    if ids[-1] >= 0:
        return ids
    log.warning("too many cells for int16: some cells in neighbouring patches of %d px share an id.", PATCH)
    ids = _assign(boxes, patches, 0)
    return ids if ids[-1] >= 0 else None


@kernel("i2[::1](i4[:,::1], UniTuple(i8, 2), i8)")
def _assign(boxes: Boxes, patches: tuple[int, int], margin: int) -> Ids:
    """Return the table of `reused_ids`; its last value is -1 if there was no free id for a cell.

    patches: number of patches along (Y, X). A cell's id is free if no cell uses it in the patches that the cell
    touches, or within ``margin`` patches of them.
    """
    ids = np.zeros(len(boxes) + 1, np.int16)
    used = np.zeros((patches[0], patches[1], INT16_CELLS + 1), np.bool_)
    last = 0
    for cell in range(len(boxes)):
        top = max(0, boxes[cell, 0] // PATCH - margin)
        left = max(0, boxes[cell, 1] // PATCH - margin)
        bottom = min(patches[0], (boxes[cell, 2] - 1) // PATCH + 1 + margin)
        right = min(patches[1], (boxes[cell, 3] - 1) // PATCH + 1 + margin)
        for offset in range(1, INT16_CELLS + 1):
            candidate = (last + offset - 1) % INT16_CELLS + 1
            if not used[top:bottom, left:right, candidate].any():
                break
        else:
            ids[-1] = -1
            return ids
        used[boxes[cell, 0] // PATCH : (boxes[cell, 2] - 1) // PATCH + 1,
             boxes[cell, 1] // PATCH : (boxes[cell, 3] - 1) // PATCH + 1, candidate] = True  # fmt: skip
        ids[cell + 1] = last = candidate
    return ids
