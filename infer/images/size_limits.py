"""Check the image size in a file header before memory is allocated, because a damaged header can hold any number."""

from __future__ import annotations

from ..errors import ImageError
from ..system.memory import available_memory

MAX_PIXELS = 2**36
"""Largest number of pixels of an image: four times that of the largest slides."""
ANY_VALUES = 2**26
"""Number of values (pixels times channels) that is accepted for a file of any size."""
MAX_INFLATION = 2**14
"""Values accepted in addition for each byte of the file.

Deflate expands one byte to at most 1,032; a TIFF tile that is not stored takes 16 bytes for its entry in the lists.
"""
ADVICE = "open it and save it again, or remove it."


def check_size(height: int, width: int, channels: int, file_size: int) -> None:
    """Raise ImageError if an image of this size is too large, or cannot be stored in ``file_size`` bytes.

    >>> check_size(512, 512, 3, file_size=1000)
    >>> check_size(10**6, 10**6, 1, file_size=1000)  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ImageError: its header gives 1,000,000 x 1,000,000 px with 1 channel(s), more than the limit of ...
    """
    size = f"its header gives {height:,} x {width:,} px with {channels} channel(s)"
    if height * width > MAX_PIXELS:
        raise ImageError(f"{size}, more than the limit of {MAX_PIXELS:,} px; cut the image into parts, or remove it.")
    if height * width * channels > ANY_VALUES + MAX_INFLATION * file_size:
        raise ImageError(f"{size}, but the file has only {file_size:,} bytes, too few for so many pixels; {ADVICE}")


def check_memory(size: int) -> None:
    """Raise ImageError if ``size`` bytes, which must be decoded at once, do not fit into the available memory.

    >>> check_memory(10**6)
    >>> check_memory(2**60)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    flowmask.errors.ImageError: 1073741824.0 GiB must be decoded at once, but only ... GiB of memory are available; ...
    """
    available = available_memory()
    if size > available:
        raise ImageError(
            f"{size / 2**30:.1f} GiB must be decoded at once, but only {available / 2**30:.1f} GiB of memory are "
            "available; save it as tiled TIFF, which is read in parts."
        )
