"""Labelled images as they are and spoilt on purpose, with their true labels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from bench.images import opened, read_shared, simulated
from flowmask.labels.labels import Labels, median_diameter
from flowmask.labels.metrics import sequential
from flowmask.options import Segmentation

SIDE = 400
"""Largest side of an image in px; larger ones are cropped to their middle."""
SMALLER, LARGER = 0.4, 2.5
UNCHANGED, SMALL, LARGE, NOISE, BLUR, ONE_CHANNEL = (
    "as it is", "diameter x 0.4", "diameter x 2.5", "noise", "blur", "one channel",
)  # fmt: skip
SPOILT = (SMALL, LARGE, NOISE, BLUR, ONE_CHANNEL)
Pixels = npt.NDArray[Any]
Case = tuple[str, str, str, Pixels, Labels, int]
"""Source, name, how the image is spoilt, pixels (Y, X, C), true labels (Y, X) and a seed."""


def cases(data: Path, each: int) -> Iterator[Case]:
    """Yield ``each`` images of every source, as they are and spoilt in one way, the sources in turn."""
    sources: dict[str, list[Any]] = {}
    for item in read_shared(data):
        sources.setdefault(item.source, []).append(item)
    for own in sources.values():
        Random(1).shuffle(own)
    real = [opened(own[:each]) for own in sources.values()]
    made: dict[str, list[Any]] = {}
    for sample in simulated(max(1, each // 2)):
        made.setdefault(sample[0], []).append(sample)
    turns = chain.from_iterable(zip_longest(*real, *made.values()))
    for number, (source, name, image, truth) in enumerate(turn for turn in turns if turn):
        pixels = np.ascontiguousarray(image.read(0, 0, *image.shape[1:]).transpose(1, 2, 0))
        pixels, truth = middle(pixels, truth, SIDE)
        for way in (UNCHANGED, SPOILT[number % len(SPOILT)]):
            if truth.any():
                yield source, name, way, pixels, truth, number


def middle(pixels: Pixels, truth: Labels, side: int) -> tuple[Pixels, Labels]:
    """Return the middle of an image (Y, X, C) and of its labels, at most ``side`` px, with ids 1, 2, ....

    >>> middle(np.zeros((1, 5, 3), np.uint8), np.array([[1, 0, 7, 9, 9]], np.int32), 3)[1]
    array([[0, 1, 2]], dtype=int32)
    """
    top, left = (max(0, (length - side) // 2) for length in truth.shape)
    window = np.s_[top : top + side, left : left + side]
    return np.ascontiguousarray(pixels[window]), sequential(truth[window])


def spoilt(case: Case) -> tuple[Pixels, Labels, Segmentation]:
    """Return the image, its true labels and the options of a case."""
    _, _, way, pixels, truth, seed = case
    low, high = np.percentile(pixels, (1, 99))
    if way == NOISE or (way == ONE_CHANNEL and pixels.shape[2] == 1):
        noise = np.random.default_rng(seed).normal(0, 0.5 * (high - low), pixels.shape)
        limits = np.iinfo(pixels.dtype) if pixels.dtype.kind in "ui" else np.finfo(pixels.dtype)
        return (pixels + noise).clip(limits.min, limits.max).astype(pixels.dtype), truth, Segmentation()
    if way == BLUR:
        blurred = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), median_diameter(truth) / 3)
        return blurred.reshape(pixels.shape).astype(pixels.dtype), truth, Segmentation()
    if way == ONE_CHANNEL:
        channel = seed % pixels.shape[2]
        return pixels[..., channel : channel + 1], truth, Segmentation()
    if way in (SMALL, LARGE):
        if way == SMALL:  # the network image becomes large
            pixels, truth = middle(pixels, truth, SIDE // 2)
        factor = SMALLER if way == SMALL else LARGER
        return pixels, truth, Segmentation(diameter=max(1.0, median_diameter(truth) * factor))
    return pixels, truth, Segmentation()
