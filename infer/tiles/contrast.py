"""Decide whether an image of few grey levels shows anything, or only noise and the block pattern of JPEG."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from ..images.image import Image
from .survey import Levels

Array = npt.NDArray[np.float64]
FEW_LEVELS = 64
"""Only an integer image with at most this range of grey levels is examined."""
WINDOW = (256, 2048)
"""Most rows and columns that are examined together."""
BLOCK = 8
"""Side of a block of JPEG, in px."""
FEWEST_BLOCKS = 64
"""With fewer blocks nothing can be said."""
RELATED = 0.15
"""In noise, the correlation between the means of neighbouring blocks is lower than this."""
SCALES = (1, 2, 4, 8, 16)
"""Sides of the areas whose means are compared with the noise."""
PLACES = 4
"""Independent places for each area: areas may overlap."""
BEYOND = 1.0
"""A mean that exceeds the expected maximum of noise by this many standard deviations is an object."""
SIGNIFICANT = 4.0
"""In the pattern of JPEG, neighbouring blocks are related if their correlation is this many standard errors from 0."""
MOST_PATTERNED = 0.5
"""In the pattern of JPEG, at least this share of the blocks is flat."""
FEWEST_CHANGED = 20
"""In the pattern of JPEG, at least this many blocks differ from the usual level; fewer may be cells."""
SPOT = 0.25
"""A block in which fewer pixels differ from the median holds a spot, not a pattern."""
STEP = 1.3
"""In the pattern of JPEG, no mean of a block is further from the levels of flat blocks; 1: difference of two levels."""
OUTLIER = 1.5
"""In the pattern of JPEG, no block differs more from the usual level than nine tenths of the blocks, times this."""


def is_noise(image: Image, channel: int, levels: Levels) -> bool:
    """Return whether a channel of few grey levels shows no object.

    >>> from flowmask.images.image import ArrayImage
    >>> noise = np.random.default_rng(0).integers(0, 5, (1, 128, 128)).astype(np.uint8)
    >>> is_noise(ArrayImage(noise), 0, Levels(0, 4, 0, 4, 0, 4))
    True
    """
    if image.dtype.kind not in "ui" or not 0 < levels.maximum - levels.minimum <= FEW_LEVELS:
        return False
    return shows_only_noise(image, channel)


def shows_only_noise(image: Image, channel: int) -> bool:
    """Return whether no window of a channel shows an object that its noise could not, whatever its grey levels.

    Pixels are noise if the means of neighbouring blocks are hardly related and no mean is too far from the others.
    NaN counts as an object. Of an image of too few blocks nothing can be said, so it is taken to show an object.

    >>> from flowmask.images.image import ArrayImage
    >>> noise = np.random.default_rng(0).normal(1000, 30, (1, 128, 128)).astype(np.uint16)
    >>> noise[0, 40:60, 40:60] += 60
    >>> shows_only_noise(ArrayImage(noise), 0), shows_only_noise(ArrayImage(noise[:, 64:]), 0)
    (False, True)
    """
    _, height, width = image.shape
    if (height // BLOCK) * (width // BLOCK) < FEWEST_BLOCKS:
        return False
    return not any(_shows_object(window, height * width) for window in _windows(image, channel))


def _windows(image: Image, channel: int) -> Iterator[Array]:
    """Yield the channel in windows (Y, X) that begin at the border of a block."""
    _, height, width = image.shape
    for top in _starts(height, WINDOW[0]):
        for left in _starts(width, WINDOW[1]):
            window = image.read(top, left, min(top + WINDOW[0], height), min(left + WINDOW[1], width))
            yield window[channel].astype(np.float64)


def _starts(length: int, window: int) -> list[int]:
    """Return the first pixels of windows that cover an axis; the last window overlaps the one before."""
    last = max(0, length - window) // BLOCK * BLOCK
    return [*range(0, last, window), last]


def _shows_object(values: Array, pixels: int) -> bool:
    """Return whether a window (Y, X) of an image of this many pixels has structure that noise and JPEG do not have."""
    if _is_pattern(values):
        return False
    flat = _flattened(values)
    if not np.isfinite(flat).all() or _correlation(_means(flat, BLOCK)) > RELATED:
        return True
    for side in SCALES:
        expected = math.sqrt(2 * math.log(PLACES * pixels / side**2 + 1))
        smooth = cv2.blur(flat, (side, side))[side:-side, side:-side]
        if np.abs(smooth).max() > (expected + BEYOND) * smooth.std():
            return True
    return False


def _is_pattern(values: Array) -> bool:
    """Return whether a window holds only what JPEG makes of noise: blocks that differ, each by itself.

    Most blocks are flat and have one of two neighbouring levels. Each of the others, of which there must be many, has
    a pattern that fills it. Blocks of either kind lie side by side no more often than by chance: an object of more than
    one block would change that. An object of one block cannot be told from the pattern if the pattern is as strong.
    """
    blocks = _blocks(values, BLOCK)
    means, deviating = blocks.mean((1, 3)), np.ptp(blocks, axis=(1, 3)) > 0
    levels = np.unique(means[~deviating])
    if not 1 <= len(levels) <= 2 or deviating.mean() > MOST_PATTERNED:
        return False
    usual = max(levels, key=lambda level: int((means[~deviating] == level).sum()))
    changed = deviating | (means != usual)
    spots = (blocks != np.median(blocks, axis=(1, 3), keepdims=True)).mean((1, 3))[deviating] < SPOT
    beyond = np.maximum(levels[0] - means, means - levels[-1]) > STEP * max(1.0, levels[-1] - levels[0])
    heights = np.abs(blocks - usual).max((1, 3))[deviating]
    standing_out = heights > OUTLIER * np.quantile(heights, 0.9) if len(heights) else heights
    if changed.sum() < FEWEST_CHANGED or spots.any() or beyond.any() or standing_out.any():
        return False
    chance = 1 / math.sqrt(2 * means.size)
    related = [_correlation(part - part.mean()) for part in (means, deviating.astype(np.float64))]
    return max(related) < SIGNIFICANT * chance


def _flattened(values: Array) -> Array:
    """Return values (Y, X) less the quadratic surface that fits them best: uneven light is no object."""
    y, x = (np.linspace(-1, 1, length) for length in values.shape)
    terms = [np.outer(y**i, x**j).ravel() for i in range(3) for j in range(3 - i)]
    surface = np.array(terms)
    weights = np.linalg.solve(surface @ surface.T, surface @ values.ravel())
    flat: Array = values - (weights @ surface).reshape(values.shape)
    return flat


def _means(values: Array, side: int) -> Array:
    """Return the means of areas of side x side px; incomplete areas are left out."""
    means: Array = _blocks(values, side).mean((1, 3))
    return means


def _blocks(values: Array, side: int) -> Array:
    """Return values (Y, X) as blocks (rows, side, columns, side); incomplete blocks are left out."""
    height, width = (length // side for length in values.shape)
    return values[: height * side, : width * side].reshape(height, side, width, side)


def _correlation(means: Array) -> float:
    """Return the correlation of neighbours in the same row or column."""
    square = float((means**2).mean())
    products = ((means[1:] * means[:-1]).sum() + (means[:, 1:] * means[:, :-1]).sum()) / (
        means[1:].size + means[:, 1:].size
    )
    return float(products) / square if square > 0 else 0.0
