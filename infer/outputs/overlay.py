"""A picture of the image with the outlines of its cells, as JPEG, at most 2,000 px wide or high."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..images.memmap import Pixels
from ..labels.labels import Labels
from ..system.atomic_write import atomic_write
from ..tiles.normalise import IntensityRanges, intensity_ranges
from .complete_cells import Cells
from .encode import jpeg
from .subject import Subject

PERCENTILES = (0.5, 99.8)
LONGEST = 2000
"""Largest side of the picture in px."""
QUALITY = 92
"""Of the JPEG file, 0 to 100."""
OUTLINE = np.array((255, 220, 0), np.uint8)
"""The colour of the outlines (red, green, blue)."""
COLOURS = np.array([(1, 1, 1), (0, 1, 0), (0, 0.35, 1), (1, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 0)], np.float32)
"""The colours of the channels of an image that is neither grey nor in colours; the first one is the only one's."""
Picture = npt.NDArray[np.uint8]
"""(Y, X, 3), red, green, blue."""


class Overlay:
    """Makes the picture row by row; every ``step`` rows and columns of the image become one of the picture."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.step = -(-max(subject.shape) // LONGEST)
        height, width = (-(-length // self.step) for length in subject.shape)
        self._picture = np.zeros((height, width, 3), np.uint8)
        self._labels = np.zeros((height, width), np.int32)
        self._row = 0

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Add some rows: labels (n, X) int32 and pixels (C, n, X)."""
        first = -self._row % self.step
        chosen = slice(first, None, self.step)
        sampled = labels[chosen, :: self.step]
        at = (self._row + first) // self.step
        self._labels[at : at + len(sampled)] = sampled
        self._picture[at : at + len(sampled)] = displayed(pixels[:, chosen, :: self.step], self._subject.display)
        self._row += len(labels)

    def cells(self, cells: Cells) -> None:
        """Do nothing: outlines are drawn from the labels."""

    def picture(self) -> Picture:
        """Return the picture (Y, X, 3) after all rows were added."""
        self._picture[outline_pixels(self._labels)] = OUTLINE
        return self._picture


@contextmanager
def write_overlay(path: Path, subject: Subject) -> Iterator[Overlay]:
    """Write the picture as JPEG. Raises OutputError if that fails."""
    with atomic_write(path) as partial_path:
        overlay = Overlay(subject)
        yield overlay
        partial_path.write_bytes(jpeg(overlay.picture(), QUALITY))


def display_ranges(image: Image) -> IntensityRanges:
    """Return (C, 2): the value of each channel that is shown black, and the span from it to full brightness.

    Colours of 8 bits are shown as they are, other channels between their percentiles `PERCENTILES`.

    >>> from flowmask.images.image import as_image
    >>> display_ranges(as_image(np.zeros((4, 5, 3), np.uint8))).tolist()
    [[0.0, 255.0], [0.0, 255.0], [0.0, 255.0]]
    """
    channels = image.shape[0]
    if channels == 3 and image.dtype == np.uint8 and not image.info.channel_names:
        return np.tile([0.0, 255.0], (3, 1))
    return intensity_ranges(image, tuple((channel,) for channel in range(channels)), PERCENTILES)


def displayed(pixels: Pixels, display: IntensityRanges) -> Picture:
    """Return pixels (C, Y, X) as a person sees them, (Y, X, 3).

    display: (C, 2), as from `display_ranges`. Three channels are red, green and blue, one is grey; others get the
    colours of `COLOURS`, which are added.

    >>> displayed(np.array([[[0, 5, 10]]]), np.array([[0.0, 10.0]]))[0].tolist()
    [[0, 0, 0], [127, 127, 127], [255, 255, 255]]
    """
    shown = _brightness(pixels, display)
    count = len(shown)
    colours = np.eye(3, dtype=np.float32) if count == 3 else COLOURS[np.arange(count) % len(COLOURS)]
    mixed = np.zeros((*shown.shape[1:], 3), np.float32)
    for channel, shares in zip(shown, colours, strict=True):  # after a matrix product, threads of BLAS wait actively
        for colour in np.flatnonzero(shares):
            share = np.float64(shares[colour])
            mixed[..., colour] += channel if share == 1 else channel * share
    mixed *= 255
    return mixed.clip(0, 255, out=mixed).astype(np.uint8)


def _brightness(pixels: Pixels, display: IntensityRanges) -> npt.NDArray[np.float32]:
    """Return pixels (C, Y, X) as float32 from 0 (black) to 1; of few possible values, each is computed once."""
    low, span = display[:, 0, None, None], display[:, 1, None, None]
    if pixels.dtype == np.uint8 and pixels[0].size > 256:
        values = np.tile(np.arange(256, dtype=np.uint8), (len(pixels), 1, 1))
        return np.stack(
            [table[0][channel] for table, channel in zip(_brightness(values, display), pixels, strict=True)]
        )
    shown = np.nan_to_num((pixels.astype(np.float64) - low) / np.where(span > 0, span, np.inf))
    return shown.clip(0, 1).astype(np.float32)


def outline_pixels(labels: Labels) -> npt.NDArray[np.bool_]:
    """Return (Y, X): the pixels of cells next to a pixel of another cell or of the background.

    >>> outline_pixels(np.ones((3, 3), np.int32) * np.array([[0, 1, 1]], np.int32)).astype(int).tolist()
    [[0, 1, 0], [0, 1, 0], [0, 1, 0]]
    """
    outline = np.zeros(labels.shape, np.bool_)
    for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        differs = labels[one] != labels[other]
        outline[one] |= differs
        outline[other] |= differs
    return outline & (labels > 0)
