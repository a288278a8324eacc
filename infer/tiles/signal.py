"""Decide which channels of a picture carry a signal of their own, and whether a dark field shows anything at all.

A picture of one stain is often stored in colour. The other two channels of a JPEG then hold compression residue, up to
half as wide as the stain itself; normalised to full range it would weigh as much as the stain. The rule in one
sentence: **a channel is empty if its grey levels span at most 5 % of the strongest channel's, or if it is a weak
channel that follows the strongest one.** "Weak" is less than half its range and brightness. "Follows" is measured on
means of blocks of 16 x 16 px, the unit of JPEG: what the mean and the contrast of the strongest channel in the same
block do not predict is less than 2.1 % of the geometric mean of the two ranges.

Measured on 33 grey images of eleven sources (nuclei, membranes, bacteria, yeast, phase contrast, DIC), stored as JPEG
in the hues B, G, R, cyan, magenta and yellow, qualities 60 to 95, 4:2:0 and 4:4:4; and on pairs of stains of which the
second one is dimmed, with and without JPEG. The squares of mean and contrast were further predictors here:

| channel | range / strongest range | unpredicted part / geometric mean |
|---|---|---|
| JPEG residue, hue B | 0.04 to 0.10 | up to 0.017 |
| JPEG residue, other hues | 0.08 to 0.48 | up to 0.019 |
| second stain, dimmed to 10 % | 0.08 to 0.11 | 0.025 to 0.055 |
| second stain, dimmed to 20 % | 0.18 to 0.21 | 0.036 to 0.078 |
| second stain in one cell only, dimmed to 20 % | 0.16 to 0.17 | 0.022 |

Two channels have the same hue if one is a multiple of the other: block means differ by at most 3.5 % of the range. JPEG
of tinted images gave up to 3.1 %; in each of 109 real RGB images at least one channel differs by 4.9 % or more.

A few grey levels are noise if neighbouring blocks of 8 x 8 px do not resemble each other, apart from a plane in each
area of 64 x 64 px, or if grey levels change almost only at the borders of these blocks. In 56 fields of camera noise
(white, smoothed, with a vignette or a gradient), with and without JPEG, the correlation of neighbouring block means was
at most 0.12, or steps were at the borders. In the 76 real images of at most 64 levels it was at least 0.24. Missed:
noise in stripes, and JPEG noise in which single blocks stand far out (a deviation of 5 levels at quality 30).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..images.memmap import Pixels
from .survey import Levels, image_rows

Matrix = npt.NDArray[np.float64]
BLOCK, CELL = 16, 8
"""Side of a block of JPEG with halved colours, and of one without, in px."""
EMPTY = 0.05
"""A channel with at most this fraction of the largest range is empty."""
WEAK = 0.5
"""A channel can follow another one if its range and brightness are less than this fraction of the other's."""
OWN = 0.021
"""Largest unpredicted part of a channel that follows, relative to the geometric mean of the two ranges."""
ROUNDING = 0.4
"""In grey levels: an unpredicted part below this is JPEG's rounding, in integer images."""
SAME = 0.035
"""Largest difference of a channel from a multiple of the strongest, relative to the channel's range."""
FEWEST_BLOCKS = 12
"""With fewer blocks nothing is said about channels that follow."""
FEW_LEVELS = 64
"""Only an integer image with at most this range of grey levels is examined for noise."""
SIDE = 8
"""Blocks of 8 x 8 px along each side of the areas that are compared with a plane."""
UNRELATED = 0.15
"""Correlation of neighbouring block means up to which an image of few levels is noise."""
ALONE = 7.5
"""A block mean this many standard deviations from the plane may be a small cell; then the image is not noise."""
BORDERS = 8
"""How much larger than inside blocks the grey level's steps are at their borders in a block pattern."""
FEWEST_AREAS = 4
"""With fewer areas nothing is said about noise."""


@dataclass(frozen=True)
class Signal:
    """What the channels of a picture carry."""

    strongest: int
    """The channel with the largest range."""
    empty: tuple[int, ...]
    """Channels without a signal of their own."""
    one_hue: bool
    """Whether no other channel adds anything to the strongest one."""


def find_signal(image: Image, levels: Mapping[int, Levels]) -> Signal:
    """Decide which of the channels in ``levels`` are empty, and whether the picture has one hue.

    The pixels are read only if a channel has a much smaller range than another.
    """
    channels = list(levels)
    strongest = max(channels, key=lambda channel: levels[channel].span)
    top = levels[strongest]
    empty = [c for c in channels if c != strongest and levels[c].span <= EMPTY * top.span]
    rest = [c for c in channels if c not in (strongest, *empty)]
    limits = WEAK * top.span, WEAK * top.wide_high
    weak = [c for c in rest if levels[c].span < limits[0] and levels[c].wide_high < limits[1]]
    if not (empty or weak) or top.span <= 0:
        return Signal(strongest, (), False)
    same: list[int] = []
    rounding = ROUNDING if image.dtype.kind in "ui" else 0.0
    if rest:
        moments = block_moments(image, (strongest, *rest), [levels[c].wide_low for c in (strongest, *rest)])
        if moments[0, 0] >= FEWEST_BLOCKS:
            for index, c in enumerate(rest, 1):
                limit = max(OWN * (top.span * levels[c].span) ** 0.5, rounding)
                if c in weak and _own_part(moments, index) < limit:
                    empty.append(c)
                elif _difference(moments, index, top.wide_low, levels[c].wide_low) <= SAME * levels[c].span:
                    same.append(c)
    return Signal(strongest, tuple(sorted(empty)), bool(empty) and len(empty) + len(same) + 1 == len(channels))


def block_moments(image: Image, channels: Sequence[int], lows: Sequence[float]) -> Matrix:
    """Return the sum of v v' over all blocks of the image, where v is 1, the channels' means, and their contrasts.

    A mean is counted from the channel's value in ``lows``; a contrast is the standard deviation in the block. The
    result is (1 + 2 C, 1 + 2 C); its first element is the number of blocks. Blocks with NaN or infinite pixels do not
    count, nor do the incomplete ones at the right and lower border.
    """
    moments = np.zeros((1 + 2 * len(channels),) * 2)
    for rows in _strips(image, BLOCK):
        parts = [_blocks(rows[channel], BLOCK, low) for channel, low in zip(channels, lows, strict=True)]
        means = [part.mean((1, 3)).ravel() for part in parts]
        contrasts = [part.std((1, 3)).ravel() for part in parts]
        vectors = np.array([np.ones_like(means[0]), *means, *contrasts], np.float64)
        vectors = vectors[:, np.isfinite(vectors).all(0)]
        moments += vectors @ vectors.T
    return moments


def is_noise(image: Image, channel: int, levels: Levels) -> bool:
    """Return whether a channel has few grey levels without structure.

    >>> from flowmask.images.image import ArrayImage
    >>> noise = np.random.default_rng(0).integers(0, 5, (1, 256, 256)).astype(np.uint8)
    >>> is_noise(ArrayImage(noise), 0, Levels(0, 4, 0, 4, 0, 4))
    True
    """
    if image.dtype.kind not in "ui" or levels.maximum <= levels.minimum or levels.span > FEW_LEVELS:
        return False
    areas, square, product, largest = 0, 0.0, 0.0, 0.0
    steps = np.zeros((2, 2))  # sum and count of the steps inside blocks, and at their borders
    for rows in _strips(image, SIDE * CELL):
        steps += _steps(rows[channel])
        means = _flattened(_blocks(rows[channel], CELL, levels.wide_low).mean((1, 3), dtype=np.float64))
        areas += len(means)
        square += (means**2).sum()
        product += ((means[:, 1:] * means[:, :-1]).sum() + (means[:, :, 1:] * means[:, :, :-1]).sum()) / 2
        largest = max(largest, np.abs(means).max(initial=0))
    if areas < FEWEST_AREAS:
        return False
    inside, border = steps[:, 0] / steps[:, 1]
    if border > BORDERS * inside:
        return True
    related = product / (areas * SIDE * (SIDE - 1)) > UNRELATED * square / (areas * SIDE * SIDE)
    return not related and bool(largest < ALONE * (square / (areas * SIDE * SIDE)) ** 0.5)


def _flattened(means: Matrix) -> Matrix:
    """Return block means (rows, columns) as areas (n, `SIDE`, `SIDE`), less the plane that fits each area best.

    A vignette or a gradient of the lamp is not structure. Incomplete areas are left out.
    """
    height, width = (length - length % SIDE for length in means.shape)
    tiled = means[:height, :width].reshape(height // SIDE, SIDE, width // SIDE, SIDE)
    areas = tiled.transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE)
    slope = (np.arange(SIDE) - (SIDE - 1) / 2) / np.sqrt((SIDE**3 - SIDE) / 12 * SIDE)
    flat: Matrix = areas - areas.mean((1, 2), keepdims=True)
    for plane in (np.tile(slope, (SIDE, 1)), np.tile(slope[:, None], (1, SIDE))):
        flat = flat - (flat * plane).sum((1, 2), keepdims=True) * plane
    return flat


def _strips(image: Image, height: int) -> Iterator[Pixels]:
    """Yield the image in strips (C, ``height`` or fewer, X), so that memory holds few numbers besides the image's."""
    for rows in image_rows(image):
        for top in range(0, rows.shape[1], height):
            yield rows[:, top : top + height]


def _steps(values: Pixels) -> npt.NDArray[np.float64]:
    """Return (2, 2): sum and number of the steps between neighbours in a row, inside blocks and at their borders."""
    steps = np.abs(np.diff(values.astype(np.float64), axis=1))
    border = steps[:, CELL - 1 :: CELL]
    return np.array([[steps.sum() - border.sum(), steps.size - border.size], [border.sum(), border.size]])


def _blocks(values: Pixels, side: int, low: float) -> npt.NDArray[np.float32]:
    """Return values (Y, X) less ``low`` as blocks (rows, side, columns, side); incomplete ones are left out."""
    height, width = (length - length % side for length in values.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = (values[:height, :width].astype(np.float64) - low).astype(np.float32)
    blocks: npt.NDArray[np.float32] = shifted.reshape(height // side, side, width // side, side)
    return blocks


def _own_part(moments: Matrix, channel: int) -> float:
    """Return the RMS of a channel's block means that the first channel's mean and contrast do not predict."""
    number = moments[0, 0]
    count = (len(moments) - 1) // 2
    known = [0, 1, 1 + count]
    normal = moments[np.ix_(known, known)]
    scale = 1 / np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    right = moments[known, 1 + channel] * scale
    weights = np.linalg.lstsq(normal * scale[:, None] * scale, right, rcond=1e-12)[0]
    rest = moments[1 + channel, 1 + channel] - right @ weights
    return float(np.sqrt(max(rest, 0) / (number - len(known))))


def _difference(moments: Matrix, channel: int, first_low: float, low: float) -> float:
    """Return the RMS difference of a channel's block means from the best multiple of the first channel's."""
    to_values = np.array([[first_low, 1, 0], [low, 0, 1]])  # means counted from 0 again
    chosen = [0, 1, 1 + channel]
    (first, both), (_, own) = to_values @ moments[np.ix_(chosen, chosen)] @ to_values.T
    rest = own - both**2 / first if first > 0 else own
    return float(np.sqrt(max(rest, 0) / moments[0, 0]))
