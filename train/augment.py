"""One training crop: an affine map applied to image, labels and flows alike, then photometric changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
MISFIT = (0.1, 20.0)
"""Range of what a crop's values are multiplied by where the percentiles miss its cells."""
MISFIT_NOISE = 0.25
"""Upper end of the noise where the percentiles span nothing but noise: 1 % to 99 % are 4.7 standard deviations."""
SPECKS, SPECK = 0.01, 30.0
"""Upper ends of the share of hot pixels and of how bright they are."""
DIM, MIX, BRIGHT_GROUND = 0.25, 0.35, 0.45
"""Least contrast of a dimmed cell, share of other channels in a mixed one, level of a bright ground."""
FILLED = 0.7
JPEG_QUALITY, JPEG_ZOOM = (15, 90), (0.7, 2.0)
"""Ranges of a file's quality and of its sampling, in pixels of the file for each of the network."""


@dataclass(frozen=True)
class Augmentation:
    """What a training crop may undergo; lengths in pixels, probabilities per crop."""

    crop: int = 224
    scale: tuple[float, float] = (0.65, 1.5)
    """Range of the factor by which a cell of the target diameter may be resized."""
    scale_even_in_log: bool = True
    """Whether that factor is even in its logarithm, and not itself."""
    shuffle: float = 0.5
    """Probability that the channels change places."""
    drop: float = 0.1
    """Probability that a colour image is seen in grey (the mean of its channels)."""
    invert: float = 0.3
    by_channel: float = 0.3
    """Probability that gain, offset and gamma are drawn for each channel."""
    gain: tuple[float, float] = (0.7, 1.3)
    offset: float = 0.15
    """Standard deviation of an additive shift, in units of the 1-99 percentile range."""
    gamma: tuple[float, float] = (0.6, 1.6)
    blur: float = 0.25
    """Probability of a Gaussian blur of 0.3 to 1.5 network pixels."""
    noise: float = 0.08
    """Upper end of the standard deviation of additive noise."""
    illumination: float = 0.3
    """Probability of a smooth multiplicative field."""
    misfit: float = 0.0
    """Probability that the percentiles miss the cells: of a few cells on a wide ground the noise spans 0 to 1 and the
    cells lie up to 20 times as high, beside bright debris they have down to a tenth of the range."""
    specks: float = 0.0
    """Probability of hot pixels: up to 1 % of the pixels, 1 to 30 ranges bright."""
    jpeg: float = 0.0
    """Probability that the crop was kept in a JPEG file."""
    fill: bool = False
    """Whether an image that would fill less than `FILLED` of a crop's side is shown there four times."""
    dim: float = 0.0
    """Probability that half of the cells stand out less from the background than they do, down to `DIM`."""
    holes: float = 0.0
    """Probability of white discs between the cells of a colour image with a bright ground, as fat leaves in tissue."""
    mix: float = 0.0
    """Probability that the colours are mixed: other stains, other hues."""
    lone: float = 0.0
    """Probability that a colour image is seen in grey with a weight drawn for each channel: one stain alone."""
    tint: float = 0.0
    """Probability that a grey image is seen in one or two channels only; the rest is empty or noise."""


def affine(shape: tuple[int, int], crop: int, zoom: float, angle: float, flip: bool, rng: np.random.Generator) -> Array:
    """Return the (2, 3) float32 map from (x, y) of an image of ``shape`` to (x, y) of a random crop."""
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]])
    if flip:
        matrix = matrix @ np.diag([-1.0, 1.0])
    half = crop / 2 / zoom
    centre = np.array([_centre(length, half, rng) for length in (shape[1], shape[0])])
    return np.column_stack([matrix, (crop - 1) / 2 - matrix @ centre]).astype(np.float32)


def _centre(length: int, half: float, rng: np.random.Generator) -> float:
    """Draw the crop's centre along one axis so that the crop leaves the image as little as possible."""
    low, high = half - 0.5, length - 0.5 - half
    return rng.uniform(low, high) if high > low else (length - 1) / 2


def warp(
    image: Array, labels: npt.NDArray[np.int32], flows: Array, matrix: Array, crop: int
) -> tuple[Array, npt.NDArray[np.int32], Array]:
    """Apply an affine map to image (Y, X, C), labels (Y, X) and flows (Y, X, 2) given as (dy, dx).

    Returns the same three of side ``crop``; the vectors are turned with the image and have unit length again.
    """
    size = (crop, crop)
    image = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR).reshape(crop, crop, -1)
    # OpenCV warps no 32-bit integers: 16 bits are enough for the ids of one image of the training set.
    turned = cv2.warpAffine(labels.astype(np.uint16), matrix, size, flags=cv2.INTER_NEAREST).astype(np.int32)
    field = cv2.warpAffine(flows, matrix, size, flags=cv2.INTER_LINEAR)
    field = (field[..., ::-1] @ matrix[:, :2].T)[..., ::-1]
    field = field / (np.linalg.norm(field, axis=-1, keepdims=True) + 1e-20) * (turned > 0)[..., None]
    return image, turned, field.astype(np.float32)


def photometric(image: Array, options: Augmentation, rng: np.random.Generator) -> Array:
    """Change the values of a normalised crop (Y, X, C) the way microscopes and stains differ."""
    channels = image.shape[-1]
    grey = is_grey(image)
    if not grey and rng.random() < options.mix:
        image = _mixed(image, rng)
    if not grey and rng.random() < options.lone:
        image = np.repeat((image @ rng.dirichlet([0.7] * channels).astype(np.float32))[..., None], channels, axis=-1)
    if rng.random() < options.drop:
        image = np.repeat(image.mean(axis=-1, keepdims=True), channels, axis=-1)
    if rng.random() < options.shuffle:
        image = image[..., rng.permutation(channels)]
    if rng.random() < options.invert:
        image = 1 - image
    low, high = np.log(options.gamma)
    # A stain or a lamp changes each channel by itself, an exposure all of them alike.
    each = channels if rng.random() < options.by_channel else 1
    image = np.sign(image) * np.abs(image) ** np.exp(rng.uniform(low, high, each)).astype(np.float32)
    image = image * rng.uniform(*options.gain, each) + rng.normal(0, options.offset, each)
    if rng.random() < options.illumination:
        field = cv2.resize(rng.uniform(0.6, 1.4, (3, 3)), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        image = image * field[..., None]
    if rng.random() < options.blur:
        sigma = rng.uniform(0.3, 1.5)
        image = cv2.GaussianBlur(np.ascontiguousarray(image, np.float32), (0, 0), sigma)
    factor = math.exp(rng.uniform(*np.log(MISFIT))) if rng.random() < options.misfit else 1.0
    if factor > 1:
        image = factor * (image - np.median(image)) + 0.5
    amount = rng.uniform(0, options.noise if factor <= 1 else MISFIT_NOISE)
    noise = rng.standard_normal((*image.shape[:2], rng.choice((1, channels))), np.float32)
    image = (image + amount * noise) * min(factor, 1.0)
    if rng.random() < options.specks:
        image = image + _specks(image.shape, rng)
    if grey and rng.random() < options.tint:
        image = _tinted(image, rng)
    if rng.random() < options.jpeg:
        image = _from_jpeg(image, rng)
    return image.astype(np.float32)


def _specks(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw bright pixels (Y, X, 1) or (Y, X, C), which resampling may have made wider."""
    specks = rng.random((*shape[:2], rng.choice((1, shape[2]))), np.float32) < SPECKS * rng.random()
    bright = specks * np.exp(rng.uniform(0, np.log(SPECK), specks.shape)).astype(np.float32)
    wide = rng.choice((0, 0.5, 1.0))
    if wide:
        bright = 2 * np.pi * wide**2 * cv2.GaussianBlur(bright, (0, 0), wide).reshape(specks.shape)
    return bright


def _from_jpeg(image: Array, rng: np.random.Generator) -> Array:
    """Write a crop (Y, X, C) of any sampling to a JPEG file, its range as 0 to 255, and read it again.

    Three channels are one colour file; others are grey files of one quality.
    """
    zoom = math.exp(rng.uniform(*np.log(JPEG_ZOOM)))
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*JPEG_QUALITY))]
    pixels = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    low, high = float(pixels.min()), float(pixels.max())
    grey = np.atleast_3d(np.round(255 * (pixels - low) / (high - low + 1e-20)).astype(np.uint8))
    parts = [grey] if grey.shape[-1] == 3 else np.dsplit(grey, grey.shape[-1])
    files = [cv2.imencode(".jpg", part, quality)[1] for part in parts]
    read = np.dstack([cv2.imdecode(file, cv2.IMREAD_UNCHANGED) for file in files]).astype(np.float32)
    back = cv2.resize(read / 255 * (high - low) + low, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    return back.reshape(image.shape)


def _dimmed(image: Array, labels: npt.NDArray[np.int32], rng: np.random.Generator) -> Array:
    """Bring half of the cells of (Y, X, C) nearer to the median of the background."""
    outside = labels == 0
    if not outside.any():
        return image
    count = int(labels.max()) + 1
    gains = np.where(rng.random(count) < 0.5, np.exp(rng.uniform(np.log(DIM), 0, count)), 1.0).astype(np.float32)
    gains[0] = 1
    gain = cv2.GaussianBlur(gains[labels], (0, 0), 1.0)[..., None]
    ground = np.median(image[outside], axis=0)
    dimmed: Array = ground + (image - ground) * gain
    return dimmed


def _with_holes(image: Array, labels: npt.NDArray[np.int32], rng: np.random.Generator) -> Array:
    """Draw white discs where (Y, X, C) shows no cell, if it has colours and a bright ground."""
    outside = labels == 0
    if is_grey(image) or not outside.any() or np.median(image[outside]) < BRIGHT_GROUND:
        return image
    hole = np.zeros(labels.shape, np.float32)
    for _ in range(rng.integers(2, 12)):
        centre = tuple(int(rng.integers(length)) for length in labels.shape[::-1])
        axes = tuple(int(axis) for axis in rng.uniform(4, 22, 2))
        disc = cv2.ellipse(np.zeros(labels.shape, np.uint8), centre, axes, rng.uniform(0, 180), 0, 360, 1, -1)
        if not labels[disc > 0].any():
            hole[disc > 0] = 1
    hole = cv2.GaussianBlur(hole, (0, 0), rng.uniform(0.5, 1.5))[..., None]
    drawn: Array = image + hole * (np.float32(rng.uniform(0.9, 1.1)) - image)
    return drawn


def is_grey(image: Array) -> bool:
    """Whether all channels of (Y, X, C) are the same."""
    return bool((image[..., 1:] == image[..., :1]).all())


def _mixed(image: Array, rng: np.random.Generator) -> Array:
    """Mix the colours of (Y, X, 3); white and black stay."""
    matrix = np.eye(image.shape[-1]) + rng.uniform(-MIX, MIX, (image.shape[-1],) * 2)
    return image @ (matrix / matrix.sum(1, keepdims=True)).T.astype(np.float32)


def _tinted(image: Array, rng: np.random.Generator) -> Array:
    """Keep one or two channels of (Y, X, C); percentiles make of an empty one 0, of a dark one noise."""
    image = image.copy()
    for channel in rng.permutation(image.shape[-1])[: rng.integers(1, image.shape[-1])]:
        empty = rng.random() < 0.5
        image[..., channel] = 0 if empty else 0.5 + 0.21 * rng.standard_normal(image.shape[:2], np.float32)
    return image


def _turned(
    image: Array, labels: npt.NDArray[np.int32], flows: Array, factor: float, crop: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int32], Array]:
    """Return a crop of image, labels and flows that are turned at random and resized by ``factor``."""
    matrix = affine(labels.shape, crop, factor, rng.uniform(0, 2 * np.pi), rng.random() < 0.5, rng)
    return warp(image, labels, flows, matrix, crop)


def _in_square(parts: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    """Put four equal squares (S, S, ...) together to one of twice the side."""
    upper, lower = (np.concatenate(parts[start : start + 2], axis=1) for start in (0, 2))
    return np.concatenate([upper, lower], axis=0)


def _scale(options: Augmentation, rng: np.random.Generator) -> float:
    if options.scale_even_in_log:
        return math.exp(rng.uniform(*np.log(options.scale)))
    return rng.uniform(*options.scale)


def augmented(
    image: Array,
    labels: npt.NDArray[np.int32],
    flows: Array,
    zoom: float,
    options: Augmentation,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Return one training pair: crop (3, S, S) and target (3, S, S) = (cell, dy, dx), float32.

    ``zoom`` takes the image's cells to the target diameter; a factor within ``options.scale`` is drawn on top.
    """
    factor = zoom * _scale(options, rng)
    small = options.fill and max(labels.shape) * factor < FILLED * options.crop
    turns = [_turned(image, labels, flows, factor, options.crop // (1 + small), rng) for _ in range(4 if small else 1)]
    crop, turned, field = (_in_square(parts) for parts in zip(*turns, strict=True)) if small else turns[0]
    if rng.random() < options.dim:
        crop = _dimmed(crop, turned, rng)
    if rng.random() < options.holes:
        crop = _with_holes(crop, turned, rng)
    crop = photometric(crop, options, rng)
    target = np.stack([(turned > 0).astype(np.float32), field[..., 0], field[..., 1]])
    return np.ascontiguousarray(crop.transpose(2, 0, 1)), target
