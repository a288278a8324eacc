"""Batches of augmented crops, reproducible from seed and step alone, made ahead in a thread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from train.augment import augmented
from train.config import Config
from train.data import Prepared, weights_by_source
from train.paste import by_source, pasted

Batch = tuple[torch.Tensor, torch.Tensor]
MAX_ZOOM = 6.0
AHEAD = 3


def batch_maker(images: Sequence[Prepared], config: Config) -> Callable[[int], Batch]:
    """Return the function step -> (crops (B, C, S, S), targets (B, 3, S, S) = (cell, dy, dx)), both float32."""
    weights = weights_by_source(images, config)
    real = by_source(images)
    span = math.sqrt(2) * config.augmentation.crop / (config.mean_diameter * config.augmentation.scale[0])

    def drawn(index: int, rng: np.random.Generator) -> Prepared:
        image = images[index]
        if image.source in real and config.paste and rng.random() < config.paste:
            return pasted(image, real[image.source], span, config.paste_cells, rng)
        return image

    def make(step: int) -> Batch:
        rng = np.random.default_rng((config.seed, step))
        chosen = rng.choice(len(images), config.batch, p=weights)
        pairs = [pair(drawn(index, rng), config, rng) for index in chosen]
        crops, targets = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs, strict=True))
        return crops, targets

    return make


def ahead(make: Callable[[int], Batch], start: int, stop: int) -> Iterator[Batch]:
    """Yield the batches of the steps ``start`` to ``stop``, a few of them prepared in advance."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(make, step) for step in range(start, min(start + AHEAD, stop))]
        for step in range(start, stop):
            yield waiting.pop(0).result()
            if step + AHEAD < stop:
                waiting.append(pool.submit(make, step + AHEAD))


def pair(image: Prepared, config: Config, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Return a crop (C, S, S) of an image whose cells have about the mean diameter, and its target (3, S, S)."""
    zoom = min(config.mean_diameter / image.diameter, MAX_ZOOM) if image.diameter else 1.0
    return augmented(
        image.image.astype(np.float32), image.labels, image.flows.astype(np.float32), zoom, config.augmentation, rng
    )
