"""Encode pictures as JPEG, and layers that are transparent in part as PNG."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import OutputError

Layer = npt.NDArray[np.uint8]
"""(Y, X, 4): blue, green, red, opacity."""
SHARP = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def jpeg(picture: npt.NDArray[np.uint8], quality: int, sharp: bool = True) -> bytes:
    """Return a picture (Y, X, 3), red, green, blue, as a JPEG file.

    sharp: colours have full resolution, as lines of one pixel and channels in pure colours need.

    >>> jpeg(np.zeros((4, 5, 3), np.uint8), 88)[:2].hex()
    'ffd8'
    """
    return _encoded(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *(SHARP if sharp else ())])


def png(layer: Layer, compression: int) -> bytes:
    """Return a layer as a PNG file; compression: 0 to 9.

    >>> png(np.zeros((4, 5, 4), np.uint8), 2)[1:4]
    b'PNG'
    """
    return _encoded(".png", layer, [cv2.IMWRITE_PNG_COMPRESSION, compression])


def _encoded(ending: str, pixels: npt.NDArray[np.uint8], options: list[int]) -> bytes:
    done, data = cv2.imencode(ending, np.ascontiguousarray(pixels), options)
    if not done:
        raise OutputError(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} px cannot be encoded ({ending}).")
    return data.tobytes()
