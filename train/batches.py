"""Batches of augmented crops, reproducible from seed and step alone, made ahead in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from train.augment import augmented
from train.config import Config
from train.data import Prepared, weights_by_source

Batch = tuple[torch.Tensor, torch.Tensor]
MAX_ZOOM = 6.0
AHEAD = 3


def batch_maker(images: Sequence[Prepared], config: Config) -> Callable[[int], Batch]:
    """Return the function step -> (crops (B, C, S, S), targets (B, 3, S, S) = (cell, dy, dx)), both float32."""
    shares = {p.source: config.simulated_share for p in images if p.source.startswith("simulated ")} | config.shares
    weights = weights_by_source(images, shares, config.source_limit)

    def make(step: int) -> Batch:
        rng = np.random.default_rng((config.seed, step))
        pairs = [_pair(images[index], config, rng) for index in rng.choice(len(images), config.batch, p=weights)]
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


def _pair(image: Prepared, config: Config, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    zoom = min(config.mean_diameter / image.diameter, MAX_ZOOM) if image.diameter else 1.0
    return augmented(
        image.image.astype(np.float32), image.labels, image.flows.astype(np.float32), zoom, config.augmentation, rng
    )
