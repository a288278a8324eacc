"""How the samples that a TIFF page stores become channels: palette, inks, white stored as zero, alpha."""

from __future__ import annotations

from typing import Any

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG

from ..errors import ImageError
from .memmap import Pixels

ALPHA = (1, 2)
"""TIFF's ExtraSamples values of associated and unassociated alpha."""
PLAIN = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.LINEAR_RAW, PHOTOMETRIC.PALETTE)
JPEGS = (COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.JPEG_LOSSY, COMPRESSION.ALT_JPEG)
"""Their decoder turns luma and chroma into red, green and blue."""
PHOTOMETRIC_TAG, INK_SET_TAG, CMYK = 262, 332, 1


class Colours:
    """The channels of a page (tifffile's). Raises ImageError where its colours are none of grey, RGB, palette, CMYK."""

    def __init__(self, page: Any, axis: str, count: int) -> None:
        """``count`` channels along ``axis``, S for the samples of a pixel; three for the colours of a palette."""
        self._palette: Pixels | None = page.colormap if page.photometric == PHOTOMETRIC.PALETTE else None
        white = page.photometric == PHOTOMETRIC.MINISWHITE and PHOTOMETRIC_TAG in page.tags
        self._inverted = white and page.dtype is not None and page.dtype.kind in "bu"
        self._kept = _without_alpha(count, page.extrasamples) if axis == "S" else list(range(count))
        self._all = len(self._kept) == count
        separated = page.photometric == PHOTOMETRIC.SEPARATED
        self._inks = separated and page.tags.valueof(INK_SET_TAG, CMYK) == CMYK
        if not (self._are_inks(page) if self._inks else separated or _are_plain(page)):
            raise ImageError(f"its colours ({_name(page.photometric)}) cannot be read; save it as grey or RGB.")
        self.channels = 3 if self._inks else len(self._kept)

    def dtype(self, stored: np.dtype[np.generic]) -> np.dtype[np.generic]:
        """Return the type of the channels, given that of the samples."""
        return stored if self._palette is None else self._palette.dtype

    def resolve(self, samples: Pixels) -> Pixels:
        """Return the channels (C, Y, X) of samples (S, Y, X)."""
        if self._palette is not None:
            samples = np.take(self._palette, samples[0], axis=1)
        if self._inverted:
            samples = np.invert(samples)
        if not self._all:
            samples = samples[self._kept]
        return _mixed(samples) if self._inks else samples

    def _are_inks(self, page: Any) -> bool:
        """Tell whether there are four inks of 8 or 16 bits; JPEG files do not agree on which value is no ink."""
        return len(self._kept) == 4 and page.dtype in (np.uint8, np.uint16) and page.compression not in JPEGS


def _without_alpha(count: int, extra: tuple[int, ...]) -> list[int]:
    """Return the samples that are no alpha; ``extra`` says what the last of them are. Alpha alone is a picture too."""
    first = count - len(extra)
    return [i for i in range(count) if i < first or extra[i - first] not in ALPHA] or list(range(count))


def _are_plain(page: Any) -> bool:
    """Tell whether the decoder gives grey values, or red, green and blue."""
    if page.photometric == PHOTOMETRIC.YCBCR:
        return page.compression in JPEGS and page.planarconfig == PLANARCONFIG.CONTIG
    return page.photometric in PLAIN and page.compression != COMPRESSION.APERIO_JP2000_YCBC


def _mixed(inks: Pixels) -> Pixels:
    """Return red, green and blue of cyan, magenta, yellow and black: what light each ink and black let through."""
    most = 256**inks.dtype.itemsize - 1
    through = most - inks.astype(np.float64)
    mixed: Pixels = np.rint(through[:3] * through[3] / most).astype(inks.dtype)
    return mixed


def _name(photometric: int) -> str:
    known = [kind.name for kind in PHOTOMETRIC if kind == photometric]
    return known[0] if known else str(photometric)
