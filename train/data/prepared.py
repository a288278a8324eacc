"""Training images made ready for the loop, and how often each is drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from flowmask.families.flow.targets import labels_to_flows
from flowmask.images.image import Image
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import sequential
from flowmask.tiles.normalise import channel_plan, levels, mix, normalise

from train.config import Config
from train.readers import Item, read_item, read_shared

MIN_CELL = 12
"""Smallest training label in px; smaller ones have no usable flow."""
PERCENTILES = (1.0, 99.0)
FAR = 1e4
"""Normalised values beyond plus or minus this are cut, so that half precision holds them."""
SIMULATED = "simulated "
"""What the names of simulated sources begin with."""


@dataclass(frozen=True)
class Prepared:
    """An image in memory as the network's crops are cut from it."""

    source: str
    image: npt.NDArray[np.float16]
    """(Y, X, C), normalised, cut at plus and minus `FAR`."""
    labels: npt.NDArray[np.int32]
    flows: npt.NDArray[np.float16]
    """(Y, X, 2) as (dy, dx)."""
    diameter: float
    """Median equivalent diameter of the cells in px; 0 for an image without cells."""


def network_input(image: Image, policy: str, percentiles: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Return the whole image (C, Y, X) as the network sees it, at its own resolution."""
    channels, height, width = image.shape
    plan = channel_plan(policy, channels)
    return normalise(mix(image.read(0, 0, height, width), plan), levels(image, plan, percentiles))


def prepare(image: Image, labels: npt.NDArray[np.int32], source: str, policy: str) -> Prepared:
    """Normalise an image, drop labels too small to learn from and compute the flows."""
    areas = np.bincount(labels.ravel())
    labels = sequential(np.where(areas[labels] >= MIN_CELL, labels, 0))
    return made_ready(network_input(image, policy, PERCENTILES), labels, source)


def made_ready(pixels: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], source: str) -> Prepared:
    """Compute the flows of sequential labels (Y, X) and keep them with the normalised pixels (C, Y, X)."""
    flows = labels_to_flows(labels)
    return Prepared(
        source,
        np.ascontiguousarray(pixels.transpose(1, 2, 0).clip(-FAR, FAR).astype(np.float16)),
        labels,
        np.ascontiguousarray(flows.transpose(1, 2, 0).astype(np.float16)),
        median_diameter(labels),
    )


def prepare_items(items: Iterable[Item], policy: str) -> list[Prepared]:
    """Read and prepare images from disk."""
    return [prepare(*read_item(item), item.source, policy) for item in items]


def prepare_simulated(folder: Path, policy: str) -> list[Prepared]:
    """Read the pool that `python -m train.pool` wrote and prepare it; each modality is a source."""
    items = read_shared(folder)
    return [
        Prepared(f"{SIMULATED}{p.source}", p.image, p.labels, p.flows, p.diameter) for p in prepare_items(items, policy)
    ]


def weights_by_source(images: Sequence[Prepared], config: Config) -> npt.NDArray[np.float64]:
    """Return the probability of drawing each image.

    A source of n images has the weight sqrt(min(n, source_limit)), times its entry in ``shares`` (default 1, or
    ``simulated_share``), split evenly over its images, so that no source drowns the others.
    """
    shares = {p.source: config.simulated_share for p in images if p.source.startswith(SIMULATED)} | config.shares
    counts: dict[str, int] = defaultdict(int)
    for image in images:
        counts[image.source] += 1
    total = {source: np.sqrt(min(n, config.source_limit)) * shares.get(source, 1.0) for source, n in counts.items()}
    weights = np.array([total[image.source] / counts[image.source] for image in images])
    return weights / weights.sum()


def write_sample(folder: Path, name: str, image: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32]) -> None:
    """Write one image (Y, X) or (Y, X, 3) RGB and its labels in the layout of `readers.read_shared`."""
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), image if image.ndim == 2 else image[..., ::-1])
    cv2.imwrite(str(folder / f"{name}_label.png"), labels.astype(np.uint16))
