"""Random fields and per-cell maps: the textures from which every modality is composed."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.float32]
Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]
Shape = tuple[int, int]


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur of (Y, X) float32, sigma in px; wide blurs run on a shrunken copy.

    >>> flat = np.full((9, 9), 2, np.float32)
    >>> np.allclose(blur(flat, 1.5), 2)  # an even field stays
    True
    """
    if sigma < 0.2:
        return image
    height, width = image.shape
    shrink = max(1, min(int(sigma / 4), height // 8, width // 8))
    if shrink > 1:
        small = cv2.resize(image, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / shrink, borderType=cv2.BORDER_REFLECT)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    side = 2 * math.ceil(3 * sigma) + 1
    return np.asarray(cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def smooth_noise(rng: Generator, shape: Shape, scale: float) -> Image:
    """Zero-mean (Y, X) noise of about unit deviation whose features measure `scale` px."""
    if scale < 1.5:
        return rng.standard_normal(shape, np.float32)
    rows, columns = (math.ceil(side / scale) + 4 for side in shape)
    coarse = rng.standard_normal((rows, columns), np.float32)
    offset = rng.uniform(1, 2, 2)
    steps = np.float32(1 / scale)
    y = np.arange(shape[0], dtype=np.float32) * steps + np.float32(offset[0])
    x = np.arange(shape[1], dtype=np.float32) * steps + np.float32(offset[1])
    grid_x, grid_y = np.meshgrid(x, y)
    return 1.3 * np.asarray(cv2.remap(coarse, grid_x, grid_y, cv2.INTER_CUBIC), np.float32)


def fractal_noise(rng: Generator, shape: Shape, scale: float, octaves: int = 3) -> Image:
    """Sum of `octaves` smooth noises, each half the size and 0.6 of the height of the one before."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        total += 0.6**octave * smooth_noise(rng, shape, scale / 2**octave)
    return total / math.sqrt(sum(0.36**octave for octave in range(octaves)))


def fibre_noise(rng: Generator, shape: Shape, length: float, width: float) -> Image:
    """Wavy streaks of one dominant direction, `length` by `width` px, of about unit deviation."""
    angle = rng.uniform(0, math.pi)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    along = x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))
    across = y * np.float32(math.cos(angle)) - x * np.float32(math.sin(angle))
    across += np.float32(0.25 * length) * smooth_noise(rng, shape, 2.5 * length)
    tile = rng.standard_normal((256, 256), np.float32)
    along /= np.float32(length)
    across /= np.float32(width)
    streaks = cv2.remap(tile, along, across, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    return 1.3 * np.asarray(streaks, np.float32)


def spots(rng: Generator, mask: Mask, density: float, sigma: float) -> Image:
    """Gaussian dots of height about 1: `density` dots per px of `mask`, each of deviation `sigma` px."""
    where = np.flatnonzero(mask)
    count = rng.poisson(density * len(where))
    dots = np.zeros(mask.size, np.float32)
    if count and len(where):
        np.add.at(dots, rng.choice(where, count), rng.gamma(3.0, 1 / 3, count).astype(np.float32))
    return blur(dots.reshape(mask.shape), sigma) * np.float32(2 * math.pi * max(sigma, 0.4) ** 2)


def boundaries(labels: Labels) -> Mask:
    """Pixels that have a pixel of another label, or background, among their eight neighbours.

    >>> boundaries(np.array([[0, 0, 0, 0, 0], [1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [1, 1, 1, 2, 2]])).astype(int)
    array([[0, 0, 0, 0, 0],
           [1, 1, 1, 1, 1],
           [0, 0, 1, 1, 0],
           [0, 0, 1, 1, 0]])
    """
    values = labels.astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    differs = np.not_equal(cv2.dilate(values, kernel), cv2.erode(values, kernel))
    return np.asarray(differs & (labels > 0))


def depth(labels: Labels) -> Image:
    """Distance in px from each cell pixel to the edge of its own cell; 0 in the background.

    >>> depth(np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]))[2]
    array([0. , 0.5, 1.5, 0.5, 0. ], dtype=float32)
    """
    inner = (labels > 0) & ~boundaries(labels)
    distance = np.asarray(cv2.distanceTransform(inner.astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    return np.asarray(np.minimum(distance, 4096) + 0.5 * (labels > 0), np.float32)


def peak(labels: Labels, values: Image) -> Image:
    """(Y, X) map holding in each cell the maximum of the non-negative `values` within it.

    >>> peak(np.array([[0, 1, 1, 2]]), np.array([[9, 3, 5, 4]], np.float32))
    array([[0., 5., 5., 4.]], dtype=float32)
    """
    highest = np.zeros(int(labels.max(initial=0)) + 1, np.float32)
    np.maximum.at(highest, labels.ravel(), values.ravel())
    highest[0] = 0
    everywhere: Image = highest[labels]
    return everywhere


def dome(labels: Labels, flatness: float) -> Image:
    """Height profile in 0..1 of cells lying on a surface.

    `flatness` 0 gives half ellipsoids; towards 1 the top flattens and the flanks steepen (px-scaled by cell).

    >>> labels = np.zeros((7, 7), np.int32)
    >>> labels[1:6, 1:6] = 1
    >>> dome(labels, 0.0)[3, [0, 3]]  # the background, and the top of the cell
    array([0., 1.], dtype=float32)
    """
    inside = depth(labels)
    rise = np.maximum(peak(labels, inside) * np.float32(1 - 0.8 * flatness), 0.5)
    relative = np.asarray(np.minimum(inside / rise, 1), np.float32)
    return np.asarray(np.sqrt(relative * (2 - relative)), np.float32)


def per_cell(rng: Generator, labels: Labels, spread: float) -> Image:
    """(Y, X) map of one log-normal factor per cell (median 1, log-deviation `spread`); 0 in the background.

    >>> per_cell(np.random.default_rng(0), np.array([[0, 1, 1, 2]]), 0.0)  # without spread, each factor is 1
    array([[0., 1., 1., 1.]], dtype=float32)
    """
    factors = rng.lognormal(0, spread, int(labels.max(initial=0)) + 1).astype(np.float32)
    factors[0] = 0
    everywhere: Image = factors[labels]
    return everywhere
