"""Diameters where they are hard to tell: tiny and very large cells, two sizes in one image, none at all.

    python -m bench.sizes [--model models/cyto-small.onnx]

Simulated images of every modality with cells of a given diameter, of seeds that no network was trained on; the
simulated images of the training have cells of 12 to 90 px. Printed for each case: the mean log error of the estimated
diameter, and F1 at IoU 0.5 by the challenge's rules with the estimated and with the true one. On images without cells
it counts the cells that are found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from flowmask.api import load_network
from flowmask.cli import MODEL
from flowmask.images.image import as_image
from flowmask.labels.labels import Labels
from flowmask.labels.metrics import sequential
from flowmask.network.session import Network
from flowmask.options import Settings
from flowmask.pipeline import segment_image

from bench.quality import FRESH, score
from bench.record import named, print_table, write_record
from train.simulate import MODALITIES, simulate

Pixels = npt.NDArray[np.uint8]
Made = tuple[Pixels, Labels]
"""Pixels (Y, X) or (Y, X, 3) and labels (Y, X)."""
SIDE = 400
COLUMNS = ("diameter_error", "f1_estimated", "f1_true")


def of_one_size(modality: str, diameter: float, side: int = SIDE) -> Made:
    made = simulate(modality, (side, side), FRESH, diameter)
    return made.image, made.labels


def side_by_side(modality: str, few: float, many: float) -> Made:
    """Return two images beside each other, with cells of two diameters."""
    (left, labels), (right, others) = of_one_size(modality, few), of_one_size(modality, many)
    others = np.where(others, others + labels.max(), 0)
    return np.concatenate([left, right], axis=1), np.concatenate([labels, others], axis=1)


CASES: dict[str, Callable[[str], Made]] = {
    "cells of 8 px": lambda modality: of_one_size(modality, 8.0, 250),
    "of 30 px": lambda modality: of_one_size(modality, 30.0),
    "of 130 px": lambda modality: of_one_size(modality, 130.0, 900),
    "of 220 px": lambda modality: of_one_size(modality, 220.0, 1200),
    "of 20 px beside 60 px": lambda modality: side_by_side(modality, 20.0, 60.0),
}


def empty_images() -> dict[str, Pixels]:
    """Return images without cells: one value, noise of two kinds, a gradient, a vignette."""
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
    """Return the mean over modalities of each of `COLUMNS`, and the number of images with cells."""
    found = []
    for modality in MODALITIES:
        pixels, labels = CASES[case](modality)
        if labels.any():
            found.append(score(as_image(pixels), sequential(labels), network, Settings())[0])
    return {"images": len(found)} | {column: float(np.mean([one[column] for one in found])) for column in COLUMNS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    args = parser.parse_args()
    network = load_network(args.model)
    cases = {case: scored(case, network) for case in CASES}
    empty = {
        name: int(segment_image(as_image(pixels), network, Settings()).labels.max())
        for name, pixels in empty_images().items()
    }
    print(f"{named(args.model)}\n")
    header = ["", "images", "log error of diameter", "F1, estimated diameter", "F1, true diameter"]
    print_table(header, [[case, *found.values()] for case, found in cases.items()])
    print(f"\nCells found on images without any: {', '.join(f'{name} {n}' for name, n in empty.items())}.")
    print(write_record("sizes", {"model": named(args.model), "cases": cases, "empty": empty}))


if __name__ == "__main__":
    main()
