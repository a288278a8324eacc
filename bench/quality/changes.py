"""Changes of an image as other cameras, file formats and fields of view make them.

"One cell on a wide ground" keeps one cell of a fluorescence image, on noise of four times the area: the percentiles see
hardly anything but background.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator, default_rng
from skimage.segmentation import expand_labels

from flowmask.images.image import Image, as_image
from flowmask.labels.labels import Labels

Pixels = npt.NDArray[np.uint8]
Changed = tuple[Pixels, Labels]
"""Pixels (Y, X, C) and labels (Y, X)."""
Change = Callable[[Pixels, Labels, Generator], Changed]
UNCHANGED = "as they are"


def _bytes(values: npt.NDArray[np.floating]) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Compress as JPEG of quality 30."""
    code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    decoded: Any = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)
    return decoded.reshape(pixels.shape).astype(np.uint8), labels


def sharpened(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Add 1.5 times the difference from a Gaussian blur of 1.5 px.

    >>> flat, labels = np.full((9, 9, 1), 80, np.uint8), np.zeros((9, 9), np.int32)
    >>> np.unique(sharpened(flat, labels, default_rng(0))[0])  # nothing to sharpen
    array([80], dtype=uint8)
    """
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.5).reshape(pixels.shape)
    return _bytes(pixels + 1.5 * (pixels - soft.astype(np.float64))), labels


def powered(exponent: float, pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Raise the values, 0 to 1, to the power ``exponent``.

    >>> image, labels = np.array([[[0], [51], [255]]], np.uint8), np.zeros((1, 3), np.int32)
    >>> powered(2, image, labels, default_rng(0))[0].ravel()  # 255 * 0.2 ** 2 is 10.2
    array([  0,  10, 255], dtype=uint8)
    """
    return _bytes(255 * (pixels / 255) ** exponent), labels


def noisy(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Add Gaussian noise of a tenth of the range between the 1st and 99th percentile."""
    low, high = np.percentile(pixels, (1, 99))
    return _bytes(pixels + rng.normal(0, 0.1 * (high - low), pixels.shape)), labels


def hot_pixels(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Set 0.5 % of the pixels to 255."""
    return np.where(rng.random(labels.shape)[..., None] < 0.005, np.uint8(255), pixels), labels


def debris(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Draw two bright discs behind the cells."""
    covered = np.zeros(labels.shape, np.uint8)
    for _ in range(2):
        centre = tuple(int(rng.integers(length)) for length in labels.shape[::-1])
        cv2.circle(covered, centre, int(rng.integers(min(labels.shape) // 16, min(labels.shape) // 8)), 1, -1)
    behind = (covered > 0) & (labels == 0)
    return np.where(behind[..., None], np.uint8(255), pixels), labels


def resized(factor: float, how: int, pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Resize by ``factor``; ``how``: interpolation of OpenCV.

    >>> image, labels = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.int32)
    >>> [part.shape for part in resized(2, cv2.INTER_LINEAR, image, labels, default_rng(0))]
    [(8, 12, 3), (8, 12)]
    """
    image = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=how)
    truth = cv2.resize(labels.astype(np.uint16), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    return image.reshape(*truth.shape, -1).astype(np.uint8), truth.astype(np.int32)


def lonely(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Keep the cell of median area with 6 px around it; all other pixels are drawn from the darker background."""
    areas = np.bincount(labels.ravel())[1:]
    cell = 1 + int(np.argsort(areas)[len(areas) // 2])
    ground = pixels[labels == 0]
    ground = ground[ground.mean(axis=1) <= np.median(ground.mean(axis=1))]
    height, width = labels.shape
    wide = ground[rng.integers(len(ground), size=(2 * height, 2 * width))]
    truth = np.zeros(wide.shape[:2], np.int32)
    here = np.s_[height // 2 : height // 2 + height, width // 2 : width // 2 + width]
    truth[here] = labels == cell
    near = expand_labels(labels, 6) == cell
    wide[here][near] = pixels[near]
    return wide, truth


CHANGES: dict[str, Change] = {
    UNCHANGED: lambda pixels, labels, rng: (pixels, labels),
    "JPEG of quality 30": jpeg,
    "sharpened (1.5 of radius 1.5 px)": sharpened,
    "gamma 0.5": partial(powered, 0.5),
    "gamma 2": partial(powered, 2),
    "noise of 10 %": noisy,
    "0.5 % hot pixels": hot_pixels,
    "two discs of bright debris behind the cells": debris,
    "enlarged twice": partial(resized, 2, cv2.INTER_CUBIC),
    "reduced by half": partial(resized, 0.5, cv2.INTER_AREA),
    "reduced to a third": partial(resized, 1 / 3, cv2.INTER_AREA),
    "one cell on a wide ground": lonely,
}


def changed(image: Image, labels: Labels, change: str, seed: int) -> tuple[Image, Labels]:
    """Return an 8-bit image and its labels after a change, whose random numbers the seed decides."""
    pixels: Any = np.ascontiguousarray(image.read(0, 0, *image.shape[1:]).transpose(1, 2, 0))
    pixels, labels = CHANGES[change](pixels, labels, default_rng(seed))
    return as_image(pixels), labels
