"""Segment a real image of stained tissue and four simulated images: `python -m bench.demo --output demo`.

Writes NAME.png, NAME_label.tiff and NAME_overlay.png (outlines in yellow) for each image, puts all overlays side by
side in overview.png, and prints a table. The diameter of the real image is given, because a user would know the size of
the nuclei; the other diameters are estimated. Needs only the run-time packages.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from skimage import data
from skimage.segmentation import find_boundaries

from bench.record import table
from flowmask.api import load_network, segment
from flowmask.labels.labels import Labels
from flowmask.labels.metrics import f1_challenge
from flowmask.labels.paths import label_path
from flowmask.labels.store import LabelStore
from flowmask.labels.writers import write_labels
from flowmask.network.registry import default_network
from flowmask.network.session import Network
from train.simulate import simulate

SIMULATED = {"brightfield": 1003, "fluorescence_wholecell": 1002, "phase": 1001, "dic": 1000}
"""Modality and seed; the network was trained on the seeds 0 to 59."""
DIAMETER = 34
"""Of the simulated cells, in px; the engine estimates it."""
NUCLEI = 12
"""Diameter in px of the nuclei of scikit-image's stained tissue, by eye."""
SIDE = 512
YELLOW = (255, 230, 0)

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """An image of the demo."""

    name: str
    image: Picture
    """(Y, X) or (Y, X, 3)."""
    diameter: float | None = None
    """In px, if it is given to the engine."""
    truth: Labels | None = None
    """True labels (Y, X), if they are known."""


def samples() -> Iterator[Sample]:
    """Yield the images of the demo."""
    yield Sample("tissue_real", data.immunohistochemistry(), NUCLEI)
    for modality, seed in SIMULATED.items():
        made = simulate(modality, (SIDE, SIDE), seed, DIAMETER)
        yield Sample(modality, made.image, truth=made.labels)


def overlay(image: Picture, labels: Labels) -> Picture:
    """Return the image (Y, X, 3) with stretched contrast and the outlines of the cells.

    >>> labels = np.zeros((5, 5), np.int32)
    >>> labels[1:4, 1:4] = 1
    >>> picture = overlay(np.arange(25, dtype=np.uint8).reshape(5, 5), labels)
    >>> (picture == YELLOW).all(axis=2).sum()  # the outline of a cell of 3 x 3 px
    np.int64(8)
    """
    low, high = np.percentile(image, (0.5, 99.5))
    stretched = np.clip((image.astype(np.float32) - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)
    colour = stretched if image.ndim == 3 else np.repeat(stretched[..., None], 3, axis=-1)
    colour = colour.copy()
    colour[find_boundaries(labels, mode="inner")] = YELLOW
    return colour


def segment_sample(sample: Sample, network: Network, output: Path) -> tuple[list[object], Picture]:
    """Segment an image, write its files, and return its row of the table and its overlay (Y, X, 3)."""
    begun = time.perf_counter()
    result = segment(sample.image, network, diameter=sample.diameter)
    seconds = time.perf_counter() - begun
    height, width = result.labels.shape
    with LabelStore(output, (height, width)) as store:
        store.append(result.labels)
        write_labels(label_path(output, sample.name), store, "int32")
    picture = overlay(sample.image, result.labels)
    cv2.imwrite(str(output / f"{sample.name}.png"), sample.image[..., ::-1] if sample.image.ndim == 3 else sample.image)
    cv2.imwrite(str(output / f"{sample.name}_overlay.png"), picture[..., ::-1])
    known: list[object] = ["", ""]
    if sample.truth is not None:
        known = [int(sample.truth.max()), f"{f1_challenge(sample.truth, result.labels):.2f}"]
    diameter = f"{result.diameter:.1f}{' (given)' if sample.diameter else ''}"
    return [sample.name, len(result.cells), *known, diameter, f"{seconds:.1f}"], picture


def main() -> None:
    """Segment the images and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"))
    parser.add_argument("--model", type=Path, default=default_network())
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    network = load_network(args.model)
    # Numba compiles in a machine's first run: that is not part of the figures below.
    segment(np.eye(64, dtype=np.uint8), network)
    rows, overlays = zip(*(segment_sample(sample, network, args.output) for sample in samples()), strict=True)
    cv2.imwrite(str(args.output / "overview.png"), np.hstack(overlays)[..., ::-1])
    print(table(["image", "cells found", "cells drawn", "F1 (IoU 0.5)", "diameter, px", "seconds"], rows))
    print(f"Images, labels and overlays are in {args.output}/; start with {args.output}/overview.png.")


if __name__ == "__main__":
    main()
