"""Diameter estimation in hard cases: tiny and very large cells, two sizes in one image, no cells at all.

Simulated images of every modality with cells of a given diameter, with seeds that no network was trained on; the
simulated training images have cells of 12 to 90 px. The figures of a case are the mean log error of
the estimated diameter, and F1 at IoU 0.5 by the challenge's rules with the estimated and with the true diameter. On
images without cells, the cells that are found are counted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench.images import FRESH
from bench.quality.scores import COLUMNS, score
from bench.record import Record, table
from flowmask.images.image import as_image
from flowmask.labels.labels import Labels
from flowmask.labels.metrics import sequential
from flowmask.network.session import Network
from flowmask.options import Segmentation
from flowmask.pipeline import segment_image
from train.simulate import MODALITIES, simulate

Pixels = npt.NDArray[np.uint8]
Sample = tuple[Pixels, Labels]
"""Pixels (Y, X) or (Y, X, 3) and labels (Y, X)."""
SIDE = 400
SHOWN = ("diameter_error", "f1_estimated", "f1_true")


def of_one_size(modality: str, diameter: float, side: int = SIDE) -> Sample:
    """Return a simulated image of ``side`` x ``side`` px with cells of a diameter in px.

    >>> image, labels = of_one_size("yeast", 15, side=40)
    >>> image.shape[:2], labels.shape
    ((40, 40), (40, 40))
    """
    sample = simulate(modality, (side, side), FRESH, diameter)
    return sample.image, sample.labels


def side_by_side(modality: str, small: float, large: float) -> Sample:
    """Return two simulated images beside each other, with cells of two diameters in px."""
    (left, labels), (right, others) = of_one_size(modality, small), of_one_size(modality, large)
    others = np.where(others, others + labels.max(), 0)
    return np.concatenate([left, right], axis=1), np.concatenate([labels, others], axis=1)


CASES: dict[str, Callable[[str], Sample]] = {
    "cells of 8 px": lambda modality: of_one_size(modality, 8.0, 250),
    "of 30 px": lambda modality: of_one_size(modality, 30.0),
    "of 130 px": lambda modality: of_one_size(modality, 130.0, 900),
    "of 220 px": lambda modality: of_one_size(modality, 220.0, 1200),
    "of 20 px beside 60 px": lambda modality: side_by_side(modality, 20.0, 60.0),
}
"""For each case, a function from a modality to a simulated image."""


def empty_images() -> dict[str, Pixels]:
    """Return images (Y, X) without cells: a single value, two kinds of noise, a gradient, a vignette."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return {
        "one value": np.full((SIDE, SIDE), 90, np.uint8),
        "noise": rng.integers(80, 100, (SIDE, SIDE)).astype(np.uint8),
        "noise of few photons": rng.poisson(3, (SIDE, SIDE)).astype(np.uint8),
        "a gradient": (120 + 60 * x).astype(np.uint8),
        "a noisy vignette": (150 - 60 * (x**2 + y**2) + rng.normal(0, 3, x.shape)).astype(np.uint8),
    }


def scored(case: str, network: Network) -> dict[str, float]:
    """Return the mean over modalities of each score in `SHOWN`, and the number of images with cells."""
    scores = []
    for modality in MODALITIES:
        pixels, labels = CASES[case](modality)
        if labels.any():
            scores.append(score(as_image(pixels), sequential(labels), network, Segmentation())[0])
    return {"images": len(scores)} | {column: float(np.mean([own[column] for own in scores])) for column in SHOWN}


def measured(network: Network) -> Record:
    """Return the scores of each case, and the number of cells found on each image without cells."""
    empty = {name: len(segment_image(as_image(pixels), network).cells) for name, pixels in empty_images().items()}
    return {"cases": {case: scored(case, network) for case in CASES}, "empty": empty}


def text(figures: Record) -> str:
    """Return the table of the cases as Markdown."""
    header = ["", "images", *(COLUMNS[column] for column in SHOWN)]
    rows = [[case, *own.values()] for case, own in figures["cases"].items()]
    empty = ", ".join(f"{name} {cells}" for name, cells in figures["empty"].items())
    return f"{table(header, rows)}\n\nCells found on images without any: {empty}."
