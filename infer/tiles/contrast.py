"""Decide whether an image shows anything, or only noise of the camera, stored as it is or as JPEG.

JPEG stores each block of 8 x 8 px by itself (16 x 16 px for halved colours). So in compressed noise no block is related
to its neighbours, and the blocks differ from each other by chance alone. An image shows an object if

* neighbouring blocks are related, in their means or in their standard deviations: an object of more than one block;
* pixels a few px apart are related, as in a dense layer of cells that are all alike: blocks of it are not related;
* in grey values, pixels further apart are related inversely, as where small cells lie at regular distances, or extreme
  values are more frequent than in noise, as where few small cells are brighter or darker than the rest;
* a block stands out: its largest deviation is beyond what the other blocks let expect (`_stands_out`); or
* the mean of an area is further from the others than the mean of so much noise can be; much further if the blocks of
  JPEG show, because rounding gives compressed noise large values.

In an image of three colours, the first must hold for blocks of 8 px and of 16 px. Such an image has a brightness too,
which JPEG stores at full resolution, so its pixels a few px apart are compared as in a grey image.

Measured on noise of 1 to 30 grey levels, as it is and at qualities from 50 to 95, grey and coloured, white and
smoothed: 7 of 176 blank images of 256 px are taken to show something, most of them dark noise that is cut off at 0; of
672 blank images of 128 to 1,024 px and more kinds, 43, about half of them with uneven light (40 without the criteria
for small cells). Of
506 images and dim noisy copies of 26 sources (2 to 5 times the noise, as they are and at qualities from 50 to 95) 4 are
taken as blank, all at 2 times the noise; of 603 grey images of these sources stored as JPEG in one hue, none. Not
found in a blue JPEG: some simulated fields of cells of 6 px, at 2.5 to 5 times the noise. Of 1,348 simulated images of
all kinds, with cells of 8 px, of 10 px and of 12 to 90 px, as they are and at qualities of 30, 60 and 90, none is taken
as blank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from ..images.image import Image
from .survey import ChannelRange

Array = npt.NDArray[np.float64]
FEW_LEVELS, LARGEST = 64, 25_000_000
"""Images are examined up to this range of grey levels, or up to this number of pixels: larger ones are slides."""
WINDOW = (256, 2048)
"""Most rows and columns that are examined together."""
WEIGHTS = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the brightness that JPEG stores (ITU-R BT.601)."""
BLOCK, COLOUR_BLOCK = 8, 16
"""Side of a block of JPEG, in px: of grey values, and of halved colours."""
FEWEST_BLOCKS = 64
"""With fewer blocks nothing can be said."""
RELATED, RELATED_SPREADS, RELATED_COLOURS = 0.12, 0.1, 0.3
"""In noise, the correlations of the means and of the standard deviations of neighbouring blocks are lower than these.

The last one is that of standard deviations of halved colours, which are enlarged again across the borders of their
blocks, if more than `SPARSE` of the small blocks have one value."""
SPARSE = 0.4
SPREAD = 0.1
"""Grey levels of a standard deviation within a block that count as nothing."""
REACH = 3
"""Distance in px of the pixels that are compared. Noise of one pixel, also smoothed a little, is not related so far."""
TEXTURE, TEXTURE_COLOUR = 0.21, 0.63
"""In noise the correlation of these pixels is lower, if at most `FLAT` of the blocks have one value: at most 0.19 in
grey images and, because halved colours are enlarged again, 0.62 in coloured ones (smoothed by up to 1 px, all
qualities)."""
APART, INVERSE = range(4, 9), 0.1
"""Distances in px of pixels that are related inversely in a dense layer of small cells. In noise the correlation is not
below -0.08."""
PEAKED = 2.0
"""In noise that is blurred by 1 px, the excess kurtosis is at most 0.8."""
SOME_FLAT = 0.2
"""The last two were measured on images in which at most this share of the blocks has one value."""
FINE, AREAS = (1, 2, 4), (1, 2, 4, 8, 16)
"""Sides of the areas whose means are compared within a block, and across blocks."""
BEYOND = 6.0
"""A block stands out if it is this many times further from the others than the next one is expected to be."""
TAIL = (0.9, 0.99)
"""The quantiles of blocks that tell how their deviations decrease."""
STEP = 1 / 2
"""JPEG rounds: deviations decrease by at least this part of the largest gap between those of usual blocks."""
FLAT, FLAT_STEP = 0.03, 0.5
"""With this share of blocks of one value the image was compressed, and deviations decrease by this many grey levels."""
PLACES = 4
"""Independent places for each area: areas may overlap."""
OUTSIDE, OUTSIDE_COLOUR, OUTSIDE_GRID = 1.0, 2.0, 3.5
"""A mean that exceeds the expected maximum of noise by this many standard deviations is an object: without a grid of
blocks, in one channel and in one of three, and with a grid."""
COARSE, ROUNDED = 4, 0.02
"""With a grid, only larger areas are compared, and only if few blocks have one value."""
GRID = (0.03, 1.5)
"""A grid shows if the differences of neighbours across it are larger or smaller by this part, or by this number divided
by the square root of their count."""


def is_noise(image: Image, channel: int, channel_range: ChannelRange) -> bool:
    """Return whether a channel of integers shows no object. Large images are examined only if the levels are few.

    >>> from flowmask.images.image import ArrayImage
    >>> noise = np.random.default_rng(0).integers(0, 5, (1, 128, 128)).astype(np.uint8)
    >>> is_noise(ArrayImage(noise), 0, ChannelRange(0, 4, 0, 4, 0, 4))
    True
    """
    few = channel_range.maximum - channel_range.minimum <= FEW_LEVELS or math.prod(image.shape[1:]) <= LARGEST
    return (
        image.dtype.kind in "ui"
        and channel_range.minimum < channel_range.maximum
        and few
        and shows_only_noise(image, channel)
    )


def brightness_is_noise(image: Image) -> bool:
    """Return whether the brightness of a picture of three colours, uint8, shows no small cells close together.

    JPEG stores it at full resolution, so it tells more about them than a colour does.

    >>> from flowmask.images.image import ArrayImage
    >>> y, x = np.mgrid[:128, :128]
    >>> dots = 100 + 40 * (np.hypot(y % 9 - 4, x % 9 - 4) < 3)
    >>> noise = np.random.default_rng(0).normal(0, 5, (3, 128, 128))
    >>> brightness_is_noise(ArrayImage((dots + noise).astype(np.uint8)))
    False
    """
    brightness = ((WEIGHTS[:, None, None] * window).sum(axis=0).round() for window in _windows(image))
    return not any(_shows_texture(_flattened(window), _uniform(window)) for window in brightness)


def shows_only_noise(image: Image, channel: int) -> bool:
    """Return whether no window of a channel shows an object that its noise could not, whatever its grey levels.

    NaN counts as an object. Of an image of too few blocks nothing can be said, so it is taken to show an object.

    >>> from flowmask.images.image import ArrayImage
    >>> noise = np.random.default_rng(0).normal(1000, 30, (1, 128, 128)).astype(np.uint16)
    >>> noise[0, 40:60, 40:60] += 60
    >>> shows_only_noise(ArrayImage(noise), 0), shows_only_noise(ArrayImage(noise[:, 64:]), 0)
    (False, True)
    """
    channels, height, width = image.shape
    sides = (BLOCK, COLOUR_BLOCK) if channels == 3 and image.dtype == np.uint8 else (BLOCK,)
    if (height // BLOCK) * (width // BLOCK) < FEWEST_BLOCKS:
        return False
    level = 1.0 if image.dtype.kind in "ui" else 0.0
    return not any(_shows_object(window[channel], sides, level, height * width) for window in _windows(image))


def _windows(image: Image) -> Iterator[Array]:
    """Yield the image in windows (C, Y, X) that begin at the border of a block."""
    _, height, width = image.shape
    for top in _starts(height, WINDOW[0]):
        for left in _starts(width, WINDOW[1]):
            yield image.read(top, left, min(top + WINDOW[0], height), min(left + WINDOW[1], width)).astype(np.float64)


def _starts(length: int, window: int) -> list[int]:
    """Return the first pixels of windows that cover an axis; the last window overlaps the one before."""
    last = max(0, length - window) // COLOUR_BLOCK * COLOUR_BLOCK
    return [*range(0, last, window), last]


def _shows_object(values: Array, sides: tuple[int, ...], level: float, pixels: int) -> bool:
    """Return whether a window (Y, X) of an image of this many pixels shows what noise does not have.

    sides: of the blocks in px. level: the distance of two grey levels; 0 for floats. The quick comparison comes first.
    """
    if not np.isfinite(values).all() or all(_are_related(values, side, level) for side in sides):
        return True
    flat = _flattened(values)
    uniform = _uniform(values)
    colour = len(sides) > 1
    if colour and uniform <= FLAT and _relation(flat, REACH) > TEXTURE_COLOUR:
        return True
    if not colour and _shows_texture(flat, uniform):
        return True
    step = FLAT_STEP * level if uniform > FLAT else 0.0
    if all(_one_stands_out(flat, side, step * (side // BLOCK)) for side in sides):
        return True
    if _shows_grid(values):
        areas = [area for area in AREAS if area >= COARSE] if uniform <= ROUNDED else []
        return any(_far_area(flat, area, pixels, OUTSIDE_GRID) for area in areas)
    outside = OUTSIDE_COLOUR if colour else OUTSIDE
    return any(_far_area(flat, area, pixels, outside) for area in AREAS)


def _are_related(values: Array, side: int, level: float) -> bool:
    """Return whether neighbouring blocks of values (Y, X) have related means or standard deviations."""
    blocks = _blocks(values, side)
    if _correlation(_flattened(blocks.mean((1, 3))), level**2 / 12 / side**2) > RELATED:
        return True
    sparse = side == COLOUR_BLOCK and _uniform(values) > SPARSE
    return _correlation(blocks.std((1, 3)), (SPREAD * level) ** 2) > (RELATED_COLOURS if sparse else RELATED_SPREADS)


def _uniform(values: Array) -> float:
    """Return the share of the small blocks of values (Y, X) that have one value."""
    return float((np.ptp(_blocks(values, BLOCK), axis=(1, 3)) == 0).mean())


def _shows_texture(flat: Array, uniform: float) -> bool:
    """Return whether grey values (Y, X) are related, or extreme, as those of small cells are; their mean is 0.

    uniform: the share of blocks of one value.
    """
    if uniform <= FLAT and _relation(flat, REACH) > TEXTURE:
        return True
    return uniform <= SOME_FLAT and (
        min(_relation(flat, reach) for reach in APART) < -INVERSE or _peakedness(flat) > PEAKED
    )


def _relation(flat: Array, reach: int) -> float:
    """Return the correlation of pixels (Y, X) that are ``reach`` apart in the same row or column; their mean is 0."""
    square = float((flat**2).mean())
    down, across = flat[reach:] * flat[:-reach], flat[:, reach:] * flat[:, :-reach]
    return float(down.mean() + across.mean()) / 2 / square if square > 0 else 0.0


def _peakedness(flat: Array) -> float:
    """Return the excess kurtosis of values (Y, X) after a blur of 1 px; their mean is 0.

    >>> _peakedness(np.eye(64) - 1 / 64) > 2, _peakedness(np.random.default_rng(0).normal(0, 1, (64, 64))) < 1
    (True, True)
    """
    smooth = cv2.GaussianBlur(flat, (0, 0), 1.0)
    square = float((smooth**2).mean())
    return float((smooth**4).mean()) / square**2 - 3 if square > 0 else 0.0


def _one_stands_out(flat: Array, side: int, step: float) -> bool:
    """Return whether the mean of a block, or a smaller area in it, stands out. step: as in `_stands_out`."""
    means = _blocks(flat, side).mean((1, 3))
    if _stands_out(np.abs(means - np.median(means)), step):
        return True
    return any(_stands_out(_blocks(np.abs(cv2.blur(flat, (area, area))), side).max((1, 3)), step) for area in FINE)


def _stands_out(deviations: Array, step: float) -> bool:
    """Return whether the largest deviation of a block is beyond what those of the other blocks let expect.

    The deviations of noise decrease at least exponentially, from one tenth of the blocks to one hundredth to the last
    one. step: they decrease by at least this much.

    >>> usual = np.random.default_rng(0).exponential(1.0, 1000)
    >>> _stands_out(usual, 0.0), _stands_out(np.append(usual, 20.0), 0.0)
    (False, True)
    """
    ordered = np.sort(deviations.ravel())
    count = len(ordered)
    first, second = np.quantile(ordered, TAIL)
    usual = ordered[int(0.05 * count) : int(TAIL[0] * count)]
    decrease = max(
        (second - first) / math.log((1 - TAIL[0]) / (1 - TAIL[1])), STEP * np.diff(usual).max(initial=0), step
    )
    expected = second + decrease * math.log(max(1.0, (1 - TAIL[1]) * count))
    return bool(ordered[-1] > expected + BEYOND * decrease)


def _shows_grid(values: Array) -> bool:
    """Return whether neighbours (Y, X) on both sides of a block's border differ more, or less, than those within it.

    >>> noise = np.random.default_rng(0).normal(0, 9, (256, 256))
    >>> _shows_grid(noise), _shows_grid(noise + np.kron(noise[:32, :32], np.ones((8, 8))))
    (False, True)
    """
    across, within, count = 0.0, 0.0, 0
    for lines in (values, values.T):
        squares = np.diff(lines, axis=0) ** 2
        border = squares[BLOCK - 1 :: BLOCK]
        across += float(border.mean())
        within += float((squares.sum() - border.sum()) / (squares.size - border.size))
        count += border.size
    return abs(across - within) > max(GRID[0], GRID[1] / math.sqrt(count)) * within


def _far_area(flat: Array, side: int, pixels: int, outside: float) -> bool:
    """Return whether the mean of an area of side x side px is further from 0 than that of noise."""
    expected = math.sqrt(2 * math.log(PLACES * pixels / side**2 + 1))
    smooth = cv2.blur(flat, (side, side))[side:-side, side:-side]
    return bool(np.abs(smooth).max() > (expected + outside) * smooth.std())


def _flattened(values: Array) -> Array:
    """Return values (Y, X) less the quadratic surface that fits them best: uneven light is no object."""
    y, x = (np.vander(np.linspace(-1, 1, length), 3, increasing=True) for length in values.shape)
    rows, columns = np.array([(i, j) for i in range(3) for j in range(3 - i)]).T
    products = (y.T @ y)[np.ix_(rows, rows)] * (x.T @ x)[np.ix_(columns, columns)]
    weights = np.zeros((3, 3))
    weights[rows, columns] = np.linalg.lstsq(products, (y.T @ values @ x)[rows, columns], rcond=None)[0]
    flat: Array = values - y @ weights @ x.T
    return flat


def _blocks(values: Array, side: int) -> Array:
    """Return values (Y, X) as blocks (rows, side, columns, side); incomplete blocks are left out."""
    height, width = (length // side for length in values.shape)
    return values[: height * side, : width * side].reshape(height, side, width, side)


def _correlation(values: Array, nothing: float) -> float:
    """Return the correlation of neighbours in the same row or column. nothing: a variance that counts as none."""
    from_mean = values - values.mean()
    square = float((from_mean**2).mean()) + nothing
    products = (from_mean[1:] * from_mean[:-1]).sum() + (from_mean[:, 1:] * from_mean[:, :-1]).sum()
    pairs = from_mean[1:].size + from_mean[:, 1:].size
    return float(products) / pairs / square if square > 0 and pairs else 0.0
