"""Batches of augmented crops. Each follows from seed and step alone; some are prepared in advance in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from train.config import Stage
from train.data.augment import Array, Augmentation, augmented
from train.data.prepared import Prepared, weights_by_source

Batch = tuple[torch.Tensor, torch.Tensor]
TargetMaker = Callable[[npt.NDArray[np.int32], Prepared, Array], Array]
"""(labels (S, S) of the crop, the image, map (2, 3) from image to crop) -> target (K, S, S)."""
MAX_ZOOM = 6.0
IN_ADVANCE = 3


def batch_maker(
    images: Sequence[Prepared], stage: Stage, mean_diameter: float | None, target: TargetMaker
) -> Callable[[int], Batch]:
    """Return the function step -> (crops (B, C, S, S), targets (B, K, S, S)), both float32."""
    weights = weights_by_source(images, stage.source_limit, stage.shares, stage.simulated_share)

    def make(step: int) -> Batch:
        rng = np.random.default_rng((stage.seed, step))
        chosen = rng.choice(len(images), stage.batch, p=weights)
        pairs = [crop_and_target(images[index], mean_diameter, stage.augmentation, target, rng) for index in chosen]
        crops, targets = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs, strict=True))
        return crops, targets

    return make


def in_advance(make: Callable[[int], Batch], start: int, stop: int) -> Iterator[Batch]:
    """Yield the batches of the steps ``start`` to ``stop``; a thread prepares the next few.

    >>> list(in_advance(lambda step: step * 10, 2, 5))
    [20, 30, 40]
    """
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(make, step) for step in range(start, min(start + IN_ADVANCE, stop))]
        for step in range(start, stop):
            yield waiting.pop(0).result()
            if step + IN_ADVANCE < stop:
                waiting.append(pool.submit(make, step + IN_ADVANCE))


def crop_and_target(
    image: Prepared,
    mean_diameter: float | None,
    augmentation: Augmentation,
    target: TargetMaker,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Return a crop (C, S, S) of an image whose cells have about the mean diameter, and its target (K, S, S).

    Without a mean diameter, or without cells, the crop has the image's own scale.
    """
    zoom = min(mean_diameter / image.diameter, MAX_ZOOM) if mean_diameter and image.diameter else 1.0
    crop, labels, matrix = augmented(image.image.astype(np.float32), image.labels, zoom, augmentation, rng)
    return crop, target(labels, image, matrix)
