"""F1 of a network file on labelled images, as a user gets it: diameters are estimated by the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowmask.api import load_network
from flowmask.labels.metrics import f1_challenge
from flowmask.options import Segmentation
from flowmask.pipeline import segment_image
from retrain.images import Labelled
from retrain.progress import bar


@dataclass(frozen=True)
class Change:
    """The score of one held-back image: F1 at IoU 0.5 by the challenge's rules."""

    name: str
    before: float
    after: float


def scores_of(network: Path, images: Sequence[Labelled], phase: str) -> list[float]:
    """Return the F1 of a network file on each image."""
    loaded = load_network(network, device="cpu")
    return [
        f1_challenge(one.labels, segment_image(one.image, loaded, Segmentation()).labels)
        for one in bar(images, phase, "image")
    ]


def table(changes: Sequence[Change]) -> str:
    """Return the scores as text, a line for each image and the mean.

    >>> print(table([Change("a.tif", 0.5, 0.75)]))
    held-back image  F1 before  F1 after
    a.tif                0.500     0.750
    mean                 0.500     0.750
    """
    before, after = mean(changes)
    rows = [*((one.name, one.before, one.after) for one in changes), ("mean", before, after)]
    width = max(len("held-back image"), *(len(name) for name, _, _ in rows))
    lines = [f"{name:<{width}}  {old:9.3f}  {new:8.3f}" for name, old, new in rows]
    return "\n".join([f"{'held-back image':<{width}}  F1 before  F1 after", *lines])


def mean(changes: Sequence[Change]) -> tuple[float, float]:
    """Return the mean F1 before and after.

    >>> mean([Change("a", 0.0, 0.5), Change("b", 0.5, 1.0)])
    (0.25, 0.75)
    """
    return float(np.mean([one.before for one in changes])), float(np.mean([one.after for one in changes]))
