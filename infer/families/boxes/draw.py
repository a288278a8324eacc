"""From detections to labels: which cells stay, and how their masks become labels of some rows."""

from __future__ import annotations

import math
from typing import IO

import numpy as np
import numpy.typing as npt

from ...tiles.plan import ImagePlan
from ...tiles.rescale import network_length
from ..blocks import Block, Span, make_block
from .constants import MASK
from .detections import Detections
from .paste import Masks, paste
from .suppress import Boxes


def image_boxes(boxes: Boxes, plan: ImagePlan) -> Boxes:
    """Return boxes (n, 4) in px of the image, from network pixels.

    >>> from types import SimpleNamespace
    >>> image_boxes(np.array([[1.0, 2, 3, 4]]), SimpleNamespace(shape=(20, 30), scale=0.5)).tolist()
    [[2.0, 4.0, 6.0, 8.0]]
    """
    # The maps have whole squares, so they can be longer than the image in network pixels.
    factors = [length / network_length(length, plan.scale) for length in plan.shape]
    scaled: Boxes = boxes * np.array([*factors, *factors])
    return scaled


def by_score(found: Detections, plan: ImagePlan) -> npt.NDArray[np.int64]:
    """Return the detections that become cells, by falling cell score; of equal ones, the first one first.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(options=SimpleNamespace(score_threshold=0.3))
    >>> by_score(Detections(np.zeros((3, 4)), np.ones(3), np.array([0.4, 0.1, 0.5]), np.arange(3)), plan)
    array([2, 0])
    """
    high = np.flatnonzero(found.cell_scores >= plan.options.score_threshold)
    return high[np.lexsort((found.keys[high], -found.cell_scores[high]))]


class StoredMasks:
    """Masks of 28 x 28 bytes each in a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __getitem__(self, chosen: npt.NDArray[np.int64]) -> Masks:
        """Return the masks (k, 28, 28) of these detections."""
        masks = np.zeros((len(chosen), MASK, MASK), np.uint8)
        for place in np.argsort(chosen):
            self.file.seek(int(chosen[place]) * MASK * MASK)
            self.file.readinto(masks[place])  # type: ignore[attr-defined]
        return masks


def draw(
    boxes: Boxes,
    cells: Detections,
    masks: StoredMasks | Masks,
    places: npt.NDArray[np.int64],
    plan: ImagePlan,
    core: Span,
) -> Block:
    """Return the labels of the image rows ``core``: each pixel has the cell of highest score whose mask covers it.

    boxes: (n, 4) in px of the image; cells: the n cells by falling score; places: (n,), of their masks in ``masks``.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(1, 4), options=SimpleNamespace(cellprob_threshold=0.0))
    >>> boxes, masks = np.array([[0.0, 1, 1, 3]]), np.full((1, 28, 28), 255, np.uint8)
    >>> cells = Detections(boxes, np.ones(1), np.ones(1), np.array([7]))
    >>> block = draw(boxes, cells, masks, np.array([0]), plan, (0, 1))
    >>> block.labels, block.keys
    (array([[0, 1, 1, 0]], dtype=int32), array([7]))
    """
    labels = np.zeros((core[1] - core[0], plan.shape[1]), np.int32)
    here = np.flatnonzero((boxes[:, 0] < core[1]) & (boxes[:, 2] > core[0]))
    probability = 1 / (1 + math.exp(-plan.options.cellprob_threshold))
    numbers = np.arange(1, len(here) + 1, dtype=np.int32)
    paste(labels, core[0], np.ascontiguousarray(boxes[here]), masks[places[here]], numbers, 255 * probability)
    areas = np.bincount(labels.ravel(), minlength=len(here) + 1)[1:]
    return make_block(core, labels, cells.keys[here], cells.cell_scores[here] * areas)
