"""What a file may claim to hold, checked before anything is allocated for it."""

from __future__ import annotations

from ..errors import ImageError
from ..system.memory import available_memory

MAX_PIXELS = 2**36
"""Pixels of the largest image: four times the largest slides."""
ANY_VALUES = 2**26
"""Values that a file of any size may hold."""
MAX_INFLATION = 2**14
"""Values beyond that for each byte of the file: deflate makes 1,032 bytes out of one, a tile left out takes 16."""
ADVICE = "open and save it again, or remove it."


def check_size(height: int, width: int, channels: int, file_size: int) -> None:
    """Raise ImageError where a file of so many bytes cannot hold an image of so many pixels and channels."""
    claim = f"its header claims {height:,} x {width:,} px of {channels} channel(s)"
    if height * width > MAX_PIXELS:
        raise ImageError(f"{claim}, more than MAX_PIXELS = {MAX_PIXELS:,}; cut it into parts, or remove it.")
    if height * width * channels > ANY_VALUES + MAX_INFLATION * file_size:
        raise ImageError(
            f"{claim} in {file_size:,} bytes, more than MAX_INFLATION = {MAX_INFLATION:,} values a byte; {ADVICE}"
        )


def check_memory(size: int) -> None:
    """Raise ImageError where ``size`` bytes, which must be decoded at once, are more than there is memory."""
    room = available_memory()
    if size > room:
        raise ImageError(
            f"{size / 2**30:.1f} GiB of it must be decoded at once, and there are {room / 2**30:.1f} GiB of memory; "
            "save it as tiled TIFF, which is read in parts."
        )
