"""Changes of a training crop by JPEG: stored as it is, or as a colour picture of a grey image."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
ZOOM = (0.7, 2.0)
"""Range of the file's sampling, in file pixels per network pixel."""
QUALITY = (15, 90)
ONE_HUE_QUALITY = (50, 96)
"""Ranges of the JPEG quality. The colours of a file are halved, so a picture of one hue loses more at a quality."""
LEAST_PART = 0.4
"""The strongest channel of a hue is 1, the others are 0 or from here to 1."""
GREY = np.array([0.25, 0.5, 0.25], np.float32)
"""Weights of red, green and blue with which the engine reads a picture of one hue (`flowmask.tiles.signal`)."""


def as_jpeg(image: npt.NDArray[Any], rng: np.random.Generator) -> Array:
    """Return a crop (Y, X, C) after it was resampled, stored as JPEG in the range 0 to 255, and read again.

    Three channels make one colour file; any other number makes one grey file per channel, all of the same quality.
    """
    pixels, low, high = _as_bytes(image, rng)
    quality = int(rng.integers(*QUALITY))
    parts = [pixels] if pixels.shape[-1] == 3 else np.dsplit(pixels, pixels.shape[-1])
    read: Array = np.dstack([_through_jpeg(part, quality) for part in parts]).astype(np.float32)
    return _resized_back(read / 255 * (high - low) + low, image.shape)


def as_one_hue_jpeg(image: npt.NDArray[Any], rng: np.random.Generator) -> Array:
    """Return a crop (Y, X, C) after it was stored as a JPEG picture of one random hue, as the engine reads that.

    The mean of the channels is stored, so all channels of the result are the same.
    """
    pixels, low, high = _as_bytes(image.mean(axis=-1, keepdims=True), rng)
    hue = rng.permutation([1.0, *np.where(rng.random(2) < 0.6, 0.0, rng.uniform(LEAST_PART, 1, 2))])
    picture = np.round(pixels * hue).astype(np.uint8)
    read = _through_jpeg(np.ascontiguousarray(picture[..., ::-1]), int(rng.integers(*ONE_HUE_QUALITY)))[..., ::-1]
    grey = (read.astype(np.float32) @ GREY) / float(hue @ GREY)
    return _resized_back(np.repeat((grey / 255 * (high - low) + low)[..., None], image.shape[-1], axis=-1), image.shape)


def _as_bytes(image: npt.NDArray[Any], rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], float, float]:
    """Return a resampled crop (Y, X, C) as uint8, and the values that 0 and 255 stand for."""
    zoom = math.exp(rng.uniform(*np.log(ZOOM)))
    pixels = cv2.resize(np.asarray(image, np.float32), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    low, high = float(pixels.min()), float(pixels.max())
    return np.atleast_3d(np.round(255 * (pixels - low) / (high - low + 1e-20)).astype(np.uint8)), low, high


def _resized_back(image: npt.NDArray[Any], shape: tuple[int, ...]) -> Array:
    back = cv2.resize(np.asarray(image, np.float32), shape[1::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(back, np.float32).reshape(shape)


def _through_jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.generic]:
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
