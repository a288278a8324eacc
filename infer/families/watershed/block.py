"""The labels of one block, computed from the maps of its rows and of a halo around them.

They equal those of the whole image, or an error is raised: the decoder has no limit of distance. What lies beyond the
rows that were read can change a marker if values higher than the marker minus the threshold connect it to their edge,
and it can change a cell if the foreground connects the cell to their edge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...errors import RunError
from ...labels.cell_table import CellTableBuilder
from ...tiles.plan import ImagePlan
from ..blocks import Block, Maps, Span, make_block
from .compartments import thresholds_of
from .constants import RADIUS, REACH
from .decode import DISTANCE, INTERIOR, cells_of, nearest
from .maxima import Index, Maxima, label_pixels
from .smooth import Map, gaussian_weights, smooth_rows

HIGH = np.float32(1e6)
"""A value above all distances, which stands for the unknown rows above and below."""


def label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    """Return the labels of the image rows ``core``.

    maps: (4, n, x) float32, the rows ``read`` of the network image. The owner key of a cell is the first pixel of its
    marker in the network image, as row * x + column. Raises RunError if rows that were not read can change the labels.

    >>> from types import SimpleNamespace
    >>> from flowmask.options import Segmentation
    >>> plan = SimpleNamespace(shape=(40, 40), network_shape=(40, 40), options=Segmentation())
    >>> maps = np.zeros((4, 40, 40), np.float32)
    >>> maps[0, 20, 20] = maps[1, 10:30, 10:30] = 1
    >>> label_block(maps, plan, core=(0, 40), read=(0, 40)).keys  # 20 * 40 + 20
    array([820])
    """
    height, width = plan.network_shape
    _, threshold = thresholds_of(plan)
    # The rows in which the smoothed interior is known.
    top = read[0] + RADIUS if read[0] else 0
    bottom = read[1] - RADIUS if read[1] < height else height
    rows, columns = (nearest(*lengths) for lengths in zip(plan.shape, plan.network_shape, strict=True))
    interior = smooth_rows(np.ascontiguousarray(maps[INTERIOR]), gaussian_weights(), read[0], height, top, bottom)
    maxima, unsure = _maxima(np.maximum(maps[DISTANCE], 0), plan, read)
    shift = (top - read[0]) * width
    inside = (maxima >= shift) & (maxima < shift + interior.size)
    markers, unsure = maxima[inside] - shift, unsure[inside]
    groups = label_pixels(markers, width)
    needed = rows[core[0]] - top, rows[core[1] - 1] + 1 - top
    _check(interior > np.float32(threshold), markers[unsure], needed, (top > 0, bottom < height))
    known = rows[(rows >= top) & (rows < bottom)] - top
    labels = np.zeros(interior.shape, np.int32)
    probabilities = cells_of(interior, labels, markers, plan, CellTableBuilder(), known, columns)
    found = np.ascontiguousarray(labels[rows[slice(*core)] - top][:, columns])
    _, first = np.unique(groups, return_index=True)
    areas = np.bincount(found.ravel(), minlength=len(first) + 1)[1:]
    return make_block(core, found, markers[first] + top * width, probabilities * areas)


def _maxima(distance: Map, plan: ImagePlan, read: Span) -> tuple[Index, npt.NDArray[np.bool_]]:
    """Return the h-maxima of the rows ``read`` alone, and which of them other rows may refute."""
    height, width = plan.network_shape
    h, _ = thresholds_of(plan)
    above, below = REACH * (read[0] > 0), REACH * (read[1] < height)
    alone, bounded = Maxima(width, h), Maxima(width, h)
    alone.add(distance)
    if above or below:
        alone.high = HIGH  # of the whole image it is not known
    bounded.add(np.pad(distance, ((above, below), (0, 0)), constant_values=HIGH))
    pixels = alone.pixels()
    return pixels, ~np.isin(pixels, bounded.pixels() - above * width)


def _check(foreground: npt.NDArray[np.bool_], unsure: Index, needed: Span, cut: tuple[bool, bool]) -> None:
    """Raise RunError if a component of the foreground in the rows ``needed`` depends on rows that were not read.

    unsure: markers that may be none; cut: whether there are more rows above and below.
    """
    import cv2

    count, components = cv2.connectedComponents(foreground.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    open_ = np.zeros(count, np.bool_)
    open_[components.reshape(-1)[unsure]] = True
    for row, more in zip((components[0], components[-1]), cut, strict=True):
        open_[row] |= more
    open_[0] = False
    if open_[components[slice(*needed)]].any():
        raise RunError(
            "a group of touching cells extends beyond the rows read for this block; segment the whole image."
        )
