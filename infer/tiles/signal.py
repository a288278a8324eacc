"""Decide which channels of an image have a signal of their own.

A picture of one stain is often stored in colour, as JPEG. Two channels should then be empty, but they hold residue of
the compression, up to half as wide as the stain; stretched to full range it would weigh as much as the stain. A channel
is empty if

* its range of grey levels is at most `FAINT` of the strongest channel's, or
* its range is less than half of the strongest channel's and it shows only noise, as the camera adds it
  (`flowmask.tiles.contrast`), or
* it is weak, less than half of the strongest channel's range and brightness, and follows the strongest channel: in
  every block of 16 x 16 px, the unit of JPEG with halved colours, its mean is predicted within `JPEG` grey levels by
  the mean and the contrast of the strongest channel.

JPEG's error is one of absolute grey levels, whatever the brightness of the stain. If a channel is constant, the image
was not stored as JPEG, and a channel that follows must be predicted within `EXACT`. White pixels in few blocks are
lettering or a scale bar: these blocks do not count. Bright ground (stained tissue) has no weak channel. In a picture of
one hue, one channel or more is empty and all others follow the strongest one.

Measured by `python -m bench.trust.colours` on grey images of all sources, stored as JPEG with halved colours: pictures
of one hue, in eight hues, were recognised in 99 % at quality 60 and in 100 % at 75, 85 and 95. Of pairs of images as
two stains, both were kept in 81 to 86 % if the second one had a range of 20 grey levels, in 95 % with 40, in 100 % with
80. A dim stain of small spots inside the cells of the first one is the hardest: it is lost below some 60 grey levels.

The grey of a one-hue picture is (red + 2 green + blue) / 4. Over eight hues at qualities 60 and 90, its error was 3 to
25 % below that of the strongest channel alone, except for yellow (+3 % at quality 90); for blue 6 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..images.memmap import Pixels
from .contrast import shows_only_noise
from .counts import image_rows
from .percentiles import histogram, of_histogram
from .survey import WIDE, ChannelRange

Array = npt.NDArray[np.float64]
BLOCK = 16
"""Side of a block of JPEG with halved colours, in px."""
FAINT = 0.04
"""A channel with at most this fraction of the strongest channel's range is empty."""
WEAK = 0.5
"""A channel can be residue if its range and brightness are less than this fraction of the strongest channel's."""
JPEG, JPEG_STRONG = 5.0, 8.0
"""Largest error, in grey levels, of the predicted means of a channel in JPEG: residue, and a channel that is strong."""
WHITE = 230
"""In an 8-bit image, a pixel that has at least this value in all channels is part of lettering or of a scale bar."""
MOST_WHITE = 0.1
"""With a larger share of blocks with white pixels, these are no lettering."""
EXACT = 0.75
"""The same in grey levels for integer images that were not stored as JPEG: rounding."""
CLOSE = 1e-3
"""The same for float images, as a fraction of the channel's range."""
FEWEST_BLOCKS = 12
"""With fewer blocks nothing can be predicted."""


@dataclass(frozen=True)
class Signal:
    """What the channels of an image hold."""

    strongest: int
    """The channel with the largest range."""
    empty: tuple[int, ...] = ()
    """Channels without a signal of their own."""
    one_hue: bool = False
    """Whether no other channel adds anything to the strongest one."""
    noise: bool = False
    """Whether an empty channel holds noise, so that a mean of channels would be noisier than the strongest one."""


def find_signal(image: Image, channel_ranges: Mapping[int, ChannelRange]) -> Signal:
    """Decide which of the channels in ``channel_ranges`` are empty, and whether the image has one hue.

    The pixels are read only if a channel is faint or weak, and only until every other channel shows a signal; those of
    an image of 8 bits in which all channels reach `WHITE` once more, for lettering.

    >>> from flowmask.images.image import ArrayImage
    >>> pixels = np.zeros((2, 64, 64), np.uint8)
    >>> pixels[0, 20:40, 20:40], pixels[1, 20:40, 20:40] = 200, 2
    >>> find_signal(ArrayImage(pixels), {0: ChannelRange(0, 200, 0, 200, 0, 200), 1: ChannelRange(0, 2, 0, 2, 0, 2)})
    Signal(strongest=0, empty=(1,), one_hue=True, noise=False)
    """
    if image.dtype == np.uint8 and all(level.maximum >= WHITE for level in channel_ranges.values()):
        channel_ranges = _beside_lettering(image, channel_ranges)
    strongest = max(channel_ranges, key=lambda channel: channel_ranges[channel].span)
    top = channel_ranges[strongest]
    others = [channel for channel in channel_ranges if channel != strongest]
    faint = [channel for channel in others if channel_ranges[channel].span <= FAINT * top.span]
    dim = [channel for channel in others if channel not in faint and channel_ranges[channel].span < WEAK * top.span]
    noisy = [channel for channel in dim if shows_only_noise(image, channel)]
    rest = [channel for channel in others if channel not in faint and channel not in noisy]
    weak = [channel for channel in rest if channel in dim and channel_ranges[channel].wide_high < WEAK * top.wide_high]
    if top.span <= 0 or not (faint or noisy or weak):
        return Signal(strongest)
    exact = image.dtype != np.uint8 or any(level.minimum == level.maximum for level in channel_ranges.values())
    tolerances = {
        channel: _rounding(image, channel_ranges[channel]) if exact else JPEG if channel in weak else JPEG_STRONG
        for channel in rest
    }
    follow = _following(image, strongest, tolerances)
    empty = tuple(sorted([*faint, *noisy, *(channel for channel in weak if channel in follow)]))
    one_hue = bool(empty) and len(faint) + len(noisy) + len(follow) == len(others)
    return Signal(strongest, empty, one_hue, bool(noisy))


def _rounding(image: Image, channel_range: ChannelRange) -> float:
    """Return the largest error of the predicted means of a channel that is an exact multiple of the strongest one."""
    return CLOSE * channel_range.span if image.dtype.kind == "f" else EXACT


def _beside_lettering(image: Image, channel_ranges: Mapping[int, ChannelRange]) -> dict[int, ChannelRange]:
    """Return the levels of the blocks without lettering; JPEG spreads no colour beyond a block."""
    counts = np.zeros((len(channel_ranges), 256), np.int64)
    for rows in image_rows(image):
        used = rows[list(channel_ranges)]
        lettering = _lettering(used)
        if not lettering.size:
            continue
        for count, values in zip(counts, used, strict=True):
            blocks = _blocks(values)
            written = blocks.swapaxes(1, 2)[lettering]
            count += histogram(blocks.reshape(-1, BLOCK)) - histogram(written.reshape(-1, BLOCK))
    wide = (of_histogram(count, WIDE) for count in counts)
    return {
        channel: replace(level, wide_low=low, wide_high=high)
        for (channel, level), (low, high) in zip(channel_ranges.items(), wide, strict=True)
    }


def _following(image: Image, strongest: int, tolerances: Mapping[int, float]) -> set[int]:
    """Return the channels whose block means the strongest channel predicts within their tolerances, everywhere."""
    follow, channels = set(tolerances), (strongest, *tolerances)
    known = 0
    for rows in image_rows(image):
        if not follow:
            break
        lettering = _lettering(rows[list(channels)])
        first = _blocks(rows[strongest].astype(np.float64))
        means, contrasts = first.mean((1, 3)).ravel(), first.std((1, 3)).ravel()
        known += len(means)
        for channel in tuple(follow):
            wanted = _blocks(rows[channel].astype(np.float64)).mean((1, 3)).ravel()
            wanted[lettering.ravel()] = np.nan
            if _largest_error(means, contrasts, wanted) > tolerances[channel]:
                follow.discard(channel)
    return follow if known >= FEWEST_BLOCKS else set()


def _lettering(rows: Pixels) -> npt.NDArray[np.bool_]:
    """Return which blocks (rows, columns) of rows (C, Y, X) of an image hold lettering or a scale bar."""
    dimmest: Pixels = rows.min(axis=0)
    white: npt.NDArray[np.bool_] = _blocks(dimmest).max(axis=(1, 3)) >= WHITE
    few = rows.dtype == np.uint8 and white.sum() <= MOST_WHITE * white.size
    return white if few else np.zeros_like(white)


def _blocks(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values (Y, X) as blocks (rows, `BLOCK`, columns, `BLOCK`); incomplete blocks are left out."""
    height, width = (length // BLOCK for length in values.shape)
    return values[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK)


def _largest_error(means: Array, contrasts: Array, wanted: Array) -> float:
    """Return the largest error of the linear least-squares prediction of ``wanted`` (n,) from the two others (n,)."""
    finite = np.isfinite(means) & np.isfinite(wanted)
    terms = np.stack([np.ones(int(finite.sum())), means[finite], contrasts[finite]], axis=1)
    weights = np.linalg.lstsq(terms, wanted[finite], rcond=None)[0]
    return float(np.abs(terms @ weights - wanted[finite]).max(initial=0))
