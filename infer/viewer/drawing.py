"""The layers of cells of a tile: outlines or filled cells, transparent elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..labels.labels import Labels
from ..outputs.encode import Layer
from ..outputs.overlay import outline_pixels

FILL, CROWDED = 110, 120
"""Opacity (0 to 255) of filled cells, and of cells that are too small on the screen to have an outline."""
GOLDEN = 0.618034
"""Multiples of this fraction of the circle of hues are far apart from each other."""


def outlines(labels: Labels, colour: npt.NDArray[np.uint8], crowded: bool) -> Layer:
    """Return the outlines of cells, (Y, X, 4).

    labels: (Y + 2, X + 2) int32, the tile and a margin of one pixel around it. colour: red, green, blue. crowded: cells
    are so small here that outlines would hide the image; they are filled instead, and transparent.

    >>> labels = np.pad(np.ones((3, 3), np.int32), 1)
    >>> outlines(labels, np.array([255, 220, 0], np.uint8), False)[..., 3].tolist()
    [[255, 255, 255], [255, 0, 255], [255, 255, 255]]
    """
    inner = labels[1:-1, 1:-1]
    tile = np.zeros((*inner.shape, 4), np.uint8)
    if crowded:
        tile[inner > 0] = (*colour[::-1], CROWDED)
    else:
        tile[outline_pixels(labels)[1:-1, 1:-1]] = (*colour[::-1], 255)
    return tile


def fills(labels: Labels) -> Layer:
    """Return the cells in colours of their own, with their outlines; ``labels`` as in `outlines`.

    >>> fills(np.pad(np.ones((3, 3), np.int32), 1))[1, :2, 3].tolist()
    [255, 110]
    """
    inner = labels[1:-1, 1:-1]
    tile = PALETTE[inner % len(PALETTE)]
    tile[..., 3] = np.where(outline_pixels(labels)[1:-1, 1:-1], 255, FILL)
    tile[inner == 0] = 0
    return tile


def _palette() -> Layer:
    """Return (1021, 4): bright colours, of which neighbours differ much."""
    numbers = np.arange(1021)
    hues = (numbers * GOLDEN % 1 * 180).astype(np.uint8)
    values = np.stack([hues, np.full_like(hues, 190), np.where(numbers % 3, 255, 215).astype(np.uint8)], axis=-1)
    colours = cv2.cvtColor(values[None], cv2.COLOR_HSV2BGR)[0]
    return np.concatenate([colours, np.full((len(numbers), 1), 255)], axis=1).astype(np.uint8)


PALETTE = _palette()
"""The colours of filled cells, by their number modulo the length."""
