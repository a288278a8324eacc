"""Segment a real stained-tissue image and four simulated ones: `python -m bench.demo --output demo`.

Writes NAME.png, NAME_label.tiff and NAME_overlay.png (outlines in yellow) for each, all of them side by side in
overview.png, and prints a table. The diameter of the real image is given, as a user would who knows the nuclei that
are wanted; the others are estimated. Needs only the run-time packages.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from flowmask.api import load_network, segment
from flowmask.cli import MODEL
from flowmask.labels.metrics import f1_challenge
from flowmask.labels.paths import label_path
from flowmask.labels.store import LabelStore
from flowmask.labels.writers import write_labels
from flowmask.options import Settings
from skimage import data
from skimage.segmentation import find_boundaries

from bench.record import print_table
from train.simulate import simulate

SIMULATED = {"brightfield": 1003, "fluorescence_wholecell": 1002, "phase": 1001, "dic": 1000}
"""Modality and seed; the network was trained on the seeds 0 to 59."""
DIAMETER = 34
"""Of the simulated cells, in px; the engine is not told."""
NUCLEI = 12
"""Diameter in px of the nuclei of scikit-image's stained tissue, by eye."""
SIDE = 512
YELLOW = (255, 230, 0)

Picture = npt.NDArray[np.uint8]


def samples() -> Iterator[tuple[str, Picture, Settings, npt.NDArray[np.int32] | None]]:
    """Yield name, image (Y, X) or (Y, X, 3), settings and true labels, None where nobody knows them."""
    yield "tissue_real", data.immunohistochemistry(), Settings(diameter=NUCLEI), None
    for modality, seed in SIMULATED.items():
        sample = simulate(modality, (SIDE, SIDE), seed, DIAMETER)
        yield modality, sample.image, Settings(), sample.labels


def overlay(image: Picture, labels: npt.NDArray[np.int32]) -> Picture:
    """Return the image (Y, X, 3), its contrast stretched, with the outlines of the cells."""
    low, high = np.percentile(image, (0.5, 99.5))
    stretched = np.clip((image.astype(np.float32) - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)
    colour = stretched if image.ndim == 3 else np.repeat(stretched[..., None], 3, axis=-1)
    colour = colour.copy()
    colour[find_boundaries(labels, mode="inner")] = YELLOW
    return colour


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"))
    parser.add_argument("--model", type=Path, default=MODEL)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    network = load_network(args.model)
    # On a machine's first run Numba compiles: that is no part of the figures below.
    segment(np.eye(64, dtype=np.uint8), network)
    rows, overlays = [], []
    for name, image, settings, truth in samples():
        begun = time.perf_counter()
        result = segment(image, network, settings)
        seconds = time.perf_counter() - begun
        with LabelStore(args.output, result.labels.shape) as store:
            store.append(result.labels)
            write_labels(label_path(args.output, name), store, settings.ids)
        overlays.append(overlay(image, result.labels))
        cv2.imwrite(str(args.output / f"{name}.png"), image if image.ndim == 2 else image[..., ::-1])
        cv2.imwrite(str(args.output / f"{name}_overlay.png"), overlays[-1][..., ::-1])
        known = ("", "") if truth is None else (int(truth.max()), f"{f1_challenge(truth, result.labels):.2f}")
        diameter = f"{result.diameter:.1f}{' (given)' if settings.diameter else ''}"
        rows.append([name, result.cells, *known, diameter, f"{seconds:.1f}"])
    cv2.imwrite(str(args.output / "overview.png"), np.hstack(overlays)[..., ::-1])
    print_table(["image", "cells found", "cells drawn", "F1 (IoU 0.5)", "diameter, px", "seconds"], rows)
    print(f"images, labels and overlays are in {args.output}/; start with {args.output}/overview.png")


if __name__ == "__main__":
    main()
