"""More cells than int16 counts, as the challenge's scoring accepts them: ids that are used again far away.

The challenge scores images of 25 Mpx and more in patches of 2,000 px, each of them apart, with the labels copied into
int16. Two cells may share an id where no patch holds both.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel
from .labels import INT16_CELLS, Boxes

LARGE = 25_000_000
"""Pixels from which the challenge scores an image in patches."""
PATCH = 2000
"""Side of a patch in px."""
Ids = npt.NDArray[np.int16]
log = logging.getLogger(__name__)


def needs_reuse(shape: tuple[int, int], cells: int) -> bool:
    """Whether the challenge's scoring would wrap the ids of an image of ``shape`` with so many cells."""
    return cells > INT16_CELLS and shape[0] * shape[1] >= LARGE


def reused_ids(boxes: Boxes, shape: tuple[int, int]) -> Ids | None:
    """Return (cells + 1,) int16: the id that each cell gets in place of its own, 0 for the background.

    boxes (cells, 4) int32 (top, left, bottom, right; ends excluded). Cells of the same patch or of neighbouring
    patches differ; where there are too many for that, cells of the same patch do, and a warning says so. None when a
    single patch holds more than int16 counts.
    """
    patches = -(-shape[0] // PATCH), -(-shape[1] // PATCH)
    ids = _assign(boxes, patches, 1)
    if ids[-1] >= 0:
        return ids
    log.warning("the cells are so dense that cells of neighbouring patches of %d px share ids.", PATCH)
    ids = _assign(boxes, patches, 0)
    return ids if ids[-1] >= 0 else None


@kernel("i2[::1](i4[:,::1], UniTuple(i8, 2), i8)")
def _assign(boxes: Boxes, patches: tuple[int, int], margin: int) -> Ids:
    """Return the ids, the last of them -1 where none is left for a cell."""
    ids = np.zeros(len(boxes) + 1, np.int16)
    used = np.zeros((patches[0], patches[1], INT16_CELLS + 1), np.bool_)
    last = 0
    for cell in range(len(boxes)):
        top = max(0, boxes[cell, 0] // PATCH - margin)
        left = max(0, boxes[cell, 1] // PATCH - margin)
        bottom = min(patches[0], (boxes[cell, 2] - 1) // PATCH + 1 + margin)
        right = min(patches[1], (boxes[cell, 3] - 1) // PATCH + 1 + margin)
        for tried in range(1, INT16_CELLS + 1):
            candidate = (last + tried - 1) % INT16_CELLS + 1
            if not used[top:bottom, left:right, candidate].any():
                break
        else:
            ids[-1] = -1
            return ids
        used[boxes[cell, 0] // PATCH : (boxes[cell, 2] - 1) // PATCH + 1,
             boxes[cell, 1] // PATCH : (boxes[cell, 3] - 1) // PATCH + 1, candidate] = True  # fmt: skip
        ids[cell + 1] = last = candidate
    return ids
