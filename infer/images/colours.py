"""Convert the samples stored in a TIFF page to channels: palettes, inks, inverted grey values and alpha."""

from __future__ import annotations

from typing import Any

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG

from ..errors import ImageError, one_line
from .memmap import Pixels

ALPHA = (1, 2)
"""TIFF's ExtraSamples values of associated and unassociated alpha."""
PLAIN = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.LINEAR_RAW, PHOTOMETRIC.PALETTE)
"""Photometric interpretations whose samples need no conversion of colours, apart from palette and inversion."""
JPEGS = (COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.JPEG_LOSSY, COMPRESSION.ALT_JPEG)
"""JPEG compressions: the decoder converts luma and chroma to red, green and blue."""
PHOTOMETRIC_TAG, INK_SET_TAG = 262, 332
CMYK = 1
"""The value of the tag InkSet for cyan, magenta, yellow and black, which is also its default."""


class Colours:
    """Converts the samples of one TIFF page to channels. Tags and values: TIFF 6.0, sections 3 to 6, 16, 18 and 21."""

    def __init__(self, page: Any, axis: str, count: int, display_only: bool = False) -> None:
        """Read how the page stores its colours.

        page: a page of tifffile. axis: the letter of the axis of channels, "S" for the samples of a pixel, or empty.
        count: the length of that axis. display_only: the palette is for display, and the indices are the data. Raises
        ImageError unless the colours are grey, RGB, a palette or CMYK.
        """
        palette = page.photometric == PHOTOMETRIC.PALETTE and not display_only
        if palette and axis not in ("", "S"):
            raise ImageError("it has a palette and several channels; save each channel as a grey image.")
        self.palette = palette
        """Whether the samples are entries of a palette, which are converted to its colours."""
        self._palette: Pixels | None = page.colormap if palette else None
        white = page.photometric == PHOTOMETRIC.MINISWHITE and PHOTOMETRIC_TAG in page.tags
        self._inverted = white and page.dtype is not None and page.dtype.kind in "bu"
        self._used = _without_alpha(count, page.extrasamples) if axis == "S" else list(range(count))
        """Indices of the samples that are not alpha."""
        if page.photometric == PHOTOMETRIC.PALETTE and axis == "S":
            self._used = [0]
        self._uses_all = len(self._used) == count
        separated = page.photometric == PHOTOMETRIC.SEPARATED
        self._inks = separated and page.tags.valueof(INK_SET_TAG, CMYK) == CMYK
        if not (self._are_inks(page) if self._inks else separated or _are_plain(page)):
            raise ImageError(f"its colours ({_name(page.photometric)}) cannot be read; save it as grey or RGB.")
        self._converted = _is_aperio_ycbcr(page)
        self.channels = 3 if self._inks or palette else len(self._used)

    def dtype(self, stored: np.dtype[np.generic]) -> np.dtype[np.generic]:
        """Return the dtype of the channels. ``stored``: the dtype of the samples in the file."""
        return stored if self._palette is None else self._palette.dtype

    def resolve(self, samples: Pixels) -> Pixels:
        """Convert samples (S, Y, X) to channels (C, Y, X)."""
        if self._palette is not None:
            samples = np.take(self._palette, samples[0], axis=1)
        if self._inverted:
            samples = np.invert(samples)
        if not self._uses_all and self._palette is None:
            samples = samples[self._used]
        if self._converted:
            return _ycbcr_to_rgb(samples)
        return _inks_to_rgb(samples) if self._inks else samples

    def _are_inks(self, page: Any) -> bool:
        """Return whether the page has four inks of 8 or 16 bits. In JPEG files the value of "no ink" is ambiguous."""
        return len(self._used) == 4 and page.dtype in (np.uint8, np.uint16) and page.compression not in JPEGS


def _without_alpha(count: int, extra: tuple[int, ...]) -> list[int]:
    """Return the indices of the samples that are not alpha; all indices if every sample is alpha.

    extra: TIFF's ExtraSamples, one value for each of the last samples.

    >>> _without_alpha(4, (2,)), _without_alpha(4, (0,)), _without_alpha(1, (1,))
    ([0, 1, 2], [0, 1, 2, 3], [0])
    """
    first = count - len(extra)
    return [i for i in range(count) if i < first or extra[i - first] not in ALPHA] or list(range(count))


def _are_plain(page: Any) -> bool:
    """Return whether decoded samples are grey values, palette indices, or red, green and blue."""
    if page.photometric == PHOTOMETRIC.YCBCR:
        return page.compression in JPEGS and page.planarconfig == PLANARCONFIG.CONTIG
    return page.photometric in PLAIN


def _is_aperio_ycbcr(page: Any) -> bool:
    """Return whether the decoder gives luma and chroma: Aperio's compression 33003 without JPEG 2000's own transform.

    The marker COD of the first tile says whether the decoder itself converts to red, green and blue. Raises ImageError
    if the first tile cannot be decoded, for example because its chroma has another resolution.
    """
    if page.compression != COMPRESSION.APERIO_JP2000_YCBC or page.samplesperpixel < 3:
        return False
    where = next(((at, size) for at, size in zip(page.dataoffsets, page.databytecounts, strict=False) if size), None)
    if where is None:
        return False
    handle = page.parent.filehandle
    handle.seek(where[0])
    data = handle.read(where[1])
    try:
        page.decode(data, 0)
    except MemoryError:
        raise
    except Exception as error:  # the exceptions of the codec have no common base class
        raise ImageError(
            f"its compression (Aperio JPEG 2000 in YCbCr, 33003) cannot be decoded ({one_line(error)}); save it as "
            "TIFF with another compression."
        ) from error
    marker = data.find(b"\xff\x52")
    return bool(marker >= 0 and data[marker + 8] == 0)


def _ycbcr_to_rgb(samples: Pixels) -> Pixels:
    """Convert luma and chroma (3, Y, X) to red, green and blue of the same dtype, as JPEG (ITU-R BT.601) defines them.

    >>> _ycbcr_to_rgb(np.array([76, 85, 255], np.uint8).reshape(3, 1, 1)).ravel().tolist()
    [254, 0, 0]
    """
    largest = 256**samples.dtype.itemsize - 1
    luma, blue, red = samples[:3].astype(np.float64)
    middle = (largest + 1) / 2
    blue, red = blue - middle, red - middle
    rgb = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue])
    converted: Pixels = np.rint(rgb).clip(0, largest).astype(samples.dtype)
    return converted


def _inks_to_rgb(inks: Pixels) -> Pixels:
    """Convert cyan, magenta, yellow and black (4, Y, X) to red, green and blue (3, Y, X) of the same dtype.

    An ink lets through the share 1 - ink of its complementary colour, and black the share 1 - black of every colour.

    >>> _inks_to_rgb(np.array([255, 0, 51, 0], np.uint8).reshape(4, 1, 1)).ravel().tolist()
    [0, 255, 204]
    """
    largest = 256**inks.dtype.itemsize - 1
    transmitted = largest - inks.astype(np.float64)
    rgb: Pixels = np.rint(transmitted[:3] * transmitted[3] / largest).astype(inks.dtype)
    return rgb


def _name(photometric: int) -> str:
    """Return the name of a photometric interpretation, or its number if it has no name."""
    names = [kind.name for kind in PHOTOMETRIC if kind == photometric]
    return names[0] if names else str(photometric)
