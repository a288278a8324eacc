"""What people burn into micrographs: scale bars, letters and numbers. None of it is a cell."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate.fields import Shape

CHANCE = 0.04
"""Share of the images that have something burned in."""
_SMALLEST = 96
"""Shortest side in px of an image that has room for it."""
_UNITS = ("um", "nm", "mm", "px", "X", "h", "min")


def _corner(rng: Generator, shape: Shape, size: Shape) -> tuple[int, int]:
    """Row and column of the top left of a mark of `size` px near a corner of the image."""
    inset = int(rng.integers(3, 12))
    row, column = (int(rng.choice([inset, max(0, side - own - inset)])) for side, own in zip(shape, size, strict=True))
    return row, column


def _text(rng: Generator) -> str:
    """A letter of a figure, a length with its unit, or a time."""
    kind = rng.integers(3)
    if kind == 0:
        return chr(int(rng.integers(26)) + ord("A")) + str(rng.choice(["", "'", str(rng.integers(1, 9))]))
    if kind == 1:
        return f"{rng.integers(1, 500)} {rng.choice(_UNITS)}"
    return f"{rng.integers(0, 48):02d}:{rng.integers(0, 60):02d}"


def _write(rng: Generator, mark: NDArray[np.uint8]) -> None:
    height, width = mark.shape
    text, scale = _text(rng), rng.uniform(0.35, 1.1)
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_TRIPLEX]))
    weight = int(rng.integers(1, 3))
    (across, up), below = cv2.getTextSize(text, font, scale, weight)
    row, column = _corner(rng, (height, width), (up + below, across))
    cv2.putText(mark, text, (column, row + up), font, scale, 255, weight, cv2.LINE_AA)


def _bar(rng: Generator, mark: NDArray[np.uint8]) -> None:
    height, width = mark.shape
    size = int(rng.integers(2, 9)), int(rng.uniform(0.1, 0.35) * width)
    row, column = _corner(rng, (height, width), size)
    mark[row : row + size[0], column : column + size[1]] = 255


def burn_in(rng: Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image (Y, X) or (Y, X, 3), mostly unchanged; with CHANCE, with a bar, text or both near corners.

    The mark is white, black or, in a colour image, of a pure colour. Images of less than 96 px a side stay as they are.
    """
    height, width = image.shape[:2]
    if min(height, width) < _SMALLEST or rng.random() >= CHANCE:
        return image
    mark = np.zeros((height, width), np.uint8)
    kind = rng.integers(3)
    if kind != 1:
        _bar(rng, mark)
    if kind != 0:
        _write(rng, mark)
    ink = rng.choice([0, 255], 3) if image.ndim == 3 and rng.random() < 0.3 else np.full(3, rng.choice([0, 255, 255]))
    cover = (mark / np.float32(255))[..., None]
    planes = image.reshape(height, width, -1)
    burned = planes * (1 - cover) + ink[: planes.shape[2]] * cover
    return np.rint(burned).astype(np.uint8).reshape(image.shape)
