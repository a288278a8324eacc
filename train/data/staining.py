"""Changes of a training crop that depend on its cells or colours: other stains, dim cells, holes in tissue."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
LEAST_CONTRAST = 0.25
"""Smallest factor on the contrast of a dimmed cell."""
MIX = 0.35
"""Largest share of another channel that a mixed one gets or loses."""
BRIGHT_BACKGROUND = 0.45
"""A background at least this bright is that of transmitted light."""
HOLES = (2, 12)
"""Range of the number of holes that are tried in a crop."""
HOLE_RADIUS = (4.0, 22.0)
"""Range of a hole's radii in network pixels."""
NOISE = 0.21
"""Standard deviation of an empty channel's noise after normalisation: 1 % to 99 % are 4.7 of them."""


def is_grey(image: Array) -> bool:
    """Return whether all channels of (Y, X, C) are the same.

    >>> grey = np.full((2, 2, 3), 0.5, np.float32)
    >>> is_grey(grey), is_grey(grey * np.float32([1, 1, 0.5]))
    (True, False)
    """
    return bool((image[..., 1:] == image[..., :1]).all())


def dim_cells(image: Array, labels: Labels, rng: np.random.Generator) -> Array:
    """Return (Y, X, C) with about half of the cells closer to the median of the background."""
    background = labels == 0
    if not background.any():
        return image
    count = int(labels.max()) + 1
    gains = np.where(rng.random(count) < 0.5, np.exp(rng.uniform(np.log(LEAST_CONTRAST), 0, count)), 1.0)
    gains[0] = 1
    gain = cv2.GaussianBlur(gains.astype(np.float32)[labels], (0, 0), 1.0)[..., None]
    level = np.median(image[background], axis=0)
    return np.asarray(level + (image - level) * gain, np.float32)


def punch_holes(image: Array, labels: Labels, rng: np.random.Generator) -> Array:
    """Return (Y, X, C) with white discs between the cells, as fat and vessels leave in stained tissue.

    An image without colours or with a dark background stays as it is.
    """
    background = labels == 0
    if is_grey(image) or not background.any() or np.median(image[background]) < BRIGHT_BACKGROUND:
        return image
    holes = np.zeros(labels.shape, np.float32)
    for _ in range(rng.integers(*HOLES)):
        centre = tuple(int(rng.integers(length)) for length in labels.shape[::-1])
        axes = tuple(int(axis) for axis in rng.uniform(*HOLE_RADIUS, 2))
        disc = cv2.ellipse(np.zeros(labels.shape, np.uint8), centre, axes, rng.uniform(0, 180), 0, 360, 1, -1) > 0
        if not labels[disc].any():
            holes[disc] = 1
    soft = cv2.GaussianBlur(holes, (0, 0), rng.uniform(0.5, 1.5))[..., None]
    return np.asarray(image + soft * (rng.uniform(0.9, 1.1) - image), np.float32)


def mix_colours(image: Array, rng: np.random.Generator) -> Array:
    """Return (Y, X, C) with other hues: each channel gets or loses shares of the others; white and black stay.

    >>> grey = np.full((1, 1, 3), 0.5, np.float32)
    >>> np.allclose(mix_colours(grey, np.random.default_rng(0)), grey)  # grey pixels stay, colours do not
    True
    """
    channels = image.shape[-1]
    matrix = rng.uniform(-MIX, MIX, (channels, channels))
    np.fill_diagonal(matrix, 0)
    np.fill_diagonal(matrix, 1 - matrix.sum(axis=1))
    return np.asarray(image @ matrix.T.astype(np.float32), np.float32)


def empty_channels(image: Array, rng: np.random.Generator) -> Array:
    """Return (Y, X, C) in which at least one channel is left and at least one is empty: 0, or noise.

    >>> bright = np.full((4, 4, 3), 7, np.float32)
    >>> left = (empty_channels(bright, np.random.default_rng(0)) == 7).all(axis=(0, 1))
    >>> left.sum() in (1, 2)
    True
    """
    image = image.copy()
    channels = image.shape[-1]
    for channel in rng.permutation(channels)[: rng.integers(1, channels)]:
        noise = 0.5 + NOISE * rng.standard_normal(image.shape[:2], np.float32)
        image[..., channel] = 0 if rng.random() < 0.5 else noise
    return image
