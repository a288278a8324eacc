"""One training crop: an affine map applied to image and labels alike, then changes of the pixel values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from train.data.jpeg import as_jpeg, as_one_hue_jpeg
from train.data.staining import dim_cells, empty_channels, is_grey, mix_colours, punch_holes

Array = npt.NDArray[np.float32]
MISFIT = (0.1, 20.0)
"""Range of the factor on a crop's values if the percentiles miss its cells."""
MISFIT_NOISE = 0.25
"""Largest noise if the percentiles span only noise: from 1 % to 99 % are 4.7 standard deviations."""
SPECKS, SPECK = 0.01, 30.0
"""Largest fraction of hot pixels, and their largest brightness."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How a training crop may be changed; lengths in network pixels, probabilities per crop.

    Rotation by any angle and mirroring are always applied. No field has a default: a recipe states every value.
    """

    crop: int
    """Side of the crop."""
    scale: tuple[float, float]
    """Range of the random factor on the zoom, uniform in its logarithm."""
    shuffle: float
    """Probability that the channels change places."""
    drop: float
    """Probability that a colour image is turned into grey (the mean of its channels)."""
    invert: float
    """Probability that bright and dark are exchanged."""
    by_channel: float
    """Probability that gain, offset and gamma are drawn for each channel separately."""
    gain: tuple[float, float]
    """Range of a factor on the values."""
    offset: float
    """Standard deviation of an additive shift, in units of the 1-99 percentile range."""
    gamma: tuple[float, float]
    """Range of an exponent of the values."""
    blur: float
    """Probability of a Gaussian blur of 0.3 to 1.5 network pixels."""
    noise: float
    """Upper end of the standard deviation of additive noise."""
    illumination: float
    """Probability of a smooth multiplicative field."""
    misfit: float
    """Probability that the percentiles miss the cells: if a few cells lie on a wide background, the noise spans 0 to 1
    and the cells are up to 20 times as bright; beside bright debris they have only a tenth of the range."""
    specks: float
    """Probability of hot pixels: up to 1 % of the pixels, 1 to 30 times the range."""
    jpeg: float
    """Probability that the crop is compressed as a JPEG file."""
    dim: float
    """Probability that about half of the cells have less contrast."""
    holes: float
    """Probability of white holes between the cells of stained tissue."""
    mix: float
    """Probability that the colours of a colour image are mixed, as if other stains had been used."""
    empty: float
    """Probability that a grey image is shown in one or two channels only, and the others are empty."""
    hue: float
    """Probability that a grey image is stored in colour, as a JPEG picture of one hue, and read as grey again."""


UNCHANGED = Augmentation(
    crop=224,
    scale=(1, 1),
    shuffle=0,
    drop=0,
    invert=0,
    by_channel=0,
    gain=(1, 1),
    offset=0,
    gamma=(1, 1),
    blur=0,
    noise=0,
    illumination=0,
    misfit=0,
    specks=0,
    jpeg=0,
    dim=0,
    holes=0,
    mix=0,
    empty=0,
    hue=0,
)
"""Only rotation and mirroring: a base for `dataclasses.replace`."""


def affine(shape: tuple[int, int], crop: int, zoom: float, angle: float, flip: bool, rng: np.random.Generator) -> Array:
    """Return the (2, 3) float32 map from (x, y) of an image of ``shape`` to (x, y) of a random crop.

    >>> affine((8, 8), 8, 1.0, 0.0, False, np.random.default_rng(0))[:, :2]  # neither turned nor rescaled
    array([[ 1., -0.],
           [ 0.,  1.]], dtype=float32)
    """
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]])
    if flip:
        matrix = matrix @ np.diag([-1.0, 1.0])
    half = crop / 2 / zoom
    centre = np.array([_centre(length, half, rng) for length in (shape[1], shape[0])])
    return np.column_stack([matrix, (crop - 1) / 2 - matrix @ centre]).astype(np.float32)


def _centre(length: int, half: float, rng: np.random.Generator) -> float:
    """Draw the crop's centre along one axis so that as little of the crop as possible lies outside the image."""
    low, high = half - 0.5, length - 0.5 - half
    return rng.uniform(low, high) if high > low else (length - 1) / 2


def warp(image: Array, labels: npt.NDArray[np.int32], matrix: Array, crop: int) -> tuple[Array, npt.NDArray[np.int32]]:
    """Apply an affine map to image (Y, X, C) and labels (Y, X); return both with side ``crop``."""
    size = (crop, crop)
    pixels = np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR), np.float32).reshape(crop, crop, -1)
    return pixels, warp_labels(labels, matrix, crop)


def warp_labels(labels: npt.NDArray[np.int32], matrix: Array, crop: int) -> npt.NDArray[np.int32]:
    """Apply an affine map to labels (Y, X); return those of a crop with side ``crop``.

    >>> shift = np.array([[1, 0, -1], [0, 1, 0]], np.float32)  # one pixel to the left
    >>> warp_labels(np.array([[0, 5, 6], [7, 0, 8]], np.int32), shift, 2)
    array([[5, 6],
           [0, 8]], dtype=int32)
    """
    # OpenCV warps no 32-bit integers: 16 bits are enough for the ids of one image of the training set.
    ids = cv2.warpAffine(labels.astype(np.uint16), matrix, (crop, crop), flags=cv2.INTER_NEAREST)
    return np.asarray(ids, np.int32)


def photometric(image: Array, options: Augmentation, rng: np.random.Generator) -> Array:
    """Change the values of a normalised crop (Y, X, C) in the ways in which microscopes and stains differ."""
    channels, grey = image.shape[-1], is_grey(image)
    values: npt.NDArray[Any] = image
    if not grey and rng.random() < options.mix:
        values = mix_colours(image, rng)
    if rng.random() < options.drop:
        values = np.repeat(values.mean(axis=-1, keepdims=True), channels, axis=-1)
    if rng.random() < options.shuffle:
        values = values[..., rng.permutation(channels)]
    if rng.random() < options.invert:
        values = 1 - values
    low, high = np.log(options.gamma)
    # A stain or a lamp changes each channel separately, an exposure all channels alike.
    draws = channels if rng.random() < options.by_channel else 1
    values = np.sign(values) * np.abs(values) ** np.exp(rng.uniform(low, high, draws)).astype(np.float32)
    values = values * rng.uniform(*options.gain, draws) + rng.normal(0, options.offset, draws)
    if rng.random() < options.illumination:
        field = cv2.resize(rng.uniform(0.6, 1.4, (3, 3)), values.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        values = values * field[..., None]
    if rng.random() < options.blur:
        sigma = rng.uniform(0.3, 1.5)
        values = cv2.GaussianBlur(np.ascontiguousarray(values, np.float32), (0, 0), sigma)
    factor = math.exp(rng.uniform(*np.log(MISFIT))) if rng.random() < options.misfit else 1.0
    if factor > 1:
        values = factor * (values - np.median(values)) + 0.5
    amount = rng.uniform(0, options.noise if factor <= 1 else MISFIT_NOISE)
    noise = rng.standard_normal((*values.shape[:2], rng.choice((1, channels))), np.float32)
    values = (values + amount * noise) * min(factor, 1.0)
    if rng.random() < options.specks:
        values = values + _specks(values.shape, rng)
    if grey and channels > 1 and rng.random() < options.empty:
        values = empty_channels(np.asarray(values, np.float32), rng)
    if grey and rng.random() < options.hue:
        values = as_one_hue_jpeg(values, rng)
    elif rng.random() < options.jpeg:
        values = as_jpeg(values, rng)
    return values.astype(np.float32)


def _specks(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw bright pixels (Y, X, 1) or (Y, X, C), sometimes blurred as if the image had been resampled."""
    specks = rng.random((*shape[:2], rng.choice((1, shape[2]))), np.float32) < SPECKS * rng.random()
    brightness = np.exp(rng.uniform(0, np.log(SPECK), specks.shape)).astype(np.float32)
    bright: npt.NDArray[Any] = specks.astype(np.float32) * brightness
    sigma = rng.choice((0, 0.5, 1.0))
    if sigma:
        bright = 2 * np.pi * sigma**2 * cv2.GaussianBlur(bright, (0, 0), sigma).reshape(specks.shape)
    return bright


def augmented(
    image: Array,
    labels: npt.NDArray[np.int32],
    zoom: float,
    options: Augmentation,
    rng: np.random.Generator,
) -> tuple[Array, npt.NDArray[np.int32], Array]:
    """Return a random crop (C, S, S) float32, its labels (S, S), and the map (2, 3) from image to crop.

    The map takes (x, y). ``zoom`` brings the image's cells to the mean diameter; it is multiplied by a random factor
    from ``options.scale``.
    """
    factor = zoom * math.exp(rng.uniform(*np.log(options.scale)))
    matrix = affine(labels.shape, options.crop, factor, rng.uniform(0, 2 * np.pi), rng.random() < 0.5, rng)
    crop, labels = warp(image, labels, matrix, options.crop)
    if rng.random() < options.dim:
        crop = dim_cells(crop, labels, rng)
    if rng.random() < options.holes:
        crop = punch_holes(crop, labels, rng)
    return np.ascontiguousarray(photometric(crop, options, rng).transpose(2, 0, 1)), labels, matrix
