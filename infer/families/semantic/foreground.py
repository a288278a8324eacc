"""Networks with one foreground logit: the cells are the connected components of the foreground.

A pixel is foreground if its logit exceeds the threshold. Two pixels are connected if they share a side. A component can
be as large as the image, so the image is labelled in blocks, and `flowmask.families.blocks.gather` joins components
that touch across the border of two blocks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...tiles.plan import ImagePlan
from ..blocks import Block, Maps, Span, image_maps, make_block, summable

HALO = 0
"""A pixel depends only on the two network rows between which it is interpolated; these are always read."""


def logits(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> npt.NDArray[np.float32]:
    """Return the interpolated logits (n, X) float32 of the image rows ``core``.

    maps: (1, m, x) float32, the rows ``read`` of the network image.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(1, 4), network_shape=(1, 2))
    >>> logits(np.array([[[-2, 2]]], np.float32), plan, (0, 1), (0, 1))
    array([[-2., -1.,  1.,  2.]], dtype=float32)
    """
    resized: npt.NDArray[np.float32] = image_maps(maps, plan, core, read)[0]
    return resized


def foreground(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> npt.NDArray[np.bool_]:
    """Return the foreground (n, X) bool of the image rows ``core``: logit > cellprob_threshold; see `logits`.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(1, 4), network_shape=(1, 2), options=SimpleNamespace(cellprob_threshold=1.5))
    >>> foreground(np.array([[[-2, 2]]], np.float32), plan, (0, 1), (0, 1))  # logits -2, -1, 1 and 2
    array([[False, False, False,  True]])
    """
    return logits(maps, plan, core, read) > np.float32(plan.options.cellprob_threshold)


def label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    """Return the connected components of the image rows ``core``.

    maps: (1, m, x) float32, the rows ``read`` of the network image. The owner key of a component is its first pixel in
    the block, as row * X + column in the whole image.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(1, 4), network_shape=(1, 4), options=SimpleNamespace(cellprob_threshold=0.0))
    >>> block = label_block(np.array([[[3, 3, -3, 3]]], np.float32), plan, (0, 1), (0, 1))
    >>> block.labels, block.keys
    (array([[1, 1, 0, 2]], dtype=int32), array([0, 3]))
    """
    import cv2  # imported here because OpenCV takes longer to load than an image to open

    values = logits(maps, plan, core, read)
    mask = values > np.float32(plan.options.cellprob_threshold)
    count, components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    first = np.zeros(count, np.int64)
    ids, pixels = np.unique(components, return_index=True)
    first[ids] = pixels + core[0] * plan.shape[1]
    probabilities = 1 / (1 + np.exp(-values[mask].astype(np.float64)))
    sums = np.bincount(components[mask], summable(probabilities), count).astype(np.float64)
    return make_block(core, np.asarray(components, np.int32), first[1:], sums[1:])
