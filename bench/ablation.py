"""What each choice in the use of a network is worth on held-out sources.

    python -m bench.ablation --data DATA [--model models/cyto-small.onnx] [--images N]

F1 at IoU 0.5 by the challenge's rules: the mean over the images of a source, then over the sources that are held out.
What the choices in training are worth was measured once: see the page on experiments.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.record import Record, named, table, write_record
from flowmask.api import load_network
from flowmask.images.image import Image
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import f1_challenge
from flowmask.network.registry import default_network
from flowmask.network.session import Network
from flowmask.options import Segmentation
from flowmask.pipeline import segment_image
from train.config import Split
from train.data.readers import read_item, read_shared
from train.recipes.held_out import HELD_OUT

Labels = npt.NDArray[np.int32]
Labelled = list[tuple[str, Image, Labels]]
"""Source, image and labels of every image to score."""
Scores = dict[str, float]
"""Mean F1 of each source."""
ESTIMATED, NONE, TRUE = "estimated", "none", "true"


@dataclass(frozen=True)
class Use:
    """A way to use a network."""

    options: Segmentation = Segmentation()
    diameter: str = ESTIMATED


USES = {
    "default": Use(),
    "no diameter estimation": Use(diameter=NONE),
    "true diameter": Use(diameter=TRUE),
    "flow threshold 0": Use(Segmentation(flow_threshold=0.0)),
    "average over mirror images": Use(Segmentation(augment=True)),
}


def held_out_images(data: Path, split: Split, most: int) -> Labelled:
    """Return the held-out images with cells, at most so many of each source; 0: all."""
    images: Labelled = []
    counts: dict[str, int] = defaultdict(int)
    for item in split.divide(read_shared(data))[1]:
        image, truth = read_item(item)
        if truth.any() and (not most or counts[item.source] < most):
            counts[item.source] += 1
            images.append((item.source, image, truth))
    return images


def score(images: Labelled, network: Network, use: Use) -> Scores:
    """Return the mean F1 of each source."""
    found: dict[str, list[float]] = defaultdict(list)
    for source, image, truth in images:
        diameters = {ESTIMATED: None, NONE: network.contract.mean_diameter, TRUE: median_diameter(truth)}
        options = replace(use.options, diameter=diameters[use.diameter])
        found[source].append(f1_challenge(truth, segment_image(image, network, options).labels))
    return {source: float(np.mean(each)) for source, each in found.items()}


def mean(scores: Scores) -> float:
    """Return the mean over sources.

    >>> mean({"one": 0.5, "other": 1.0})
    0.75
    """
    return float(np.mean(list(scores.values())))


def text(record: Record) -> str:
    """Return the table of a record as Markdown: mean over sources, its distance from the first row, each source."""
    results: dict[str, Scores] = record["scores"]
    first = next(iter(results.values()))
    rows = [
        [name, mean(scores), f"{mean(scores) - mean(first):+.3f}", *(scores[source] for source in first)]
        for name, scores in results.items()
    ]
    return f"{record['model']}, {record['images']} images\n\n{table(['choice', 'F1', 'change', *first], rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--model", type=Path, default=default_network())
    parser.add_argument("--images", type=int, default=0, help="images of each held-out source; 0: all")
    args = parser.parse_args()
    images = held_out_images(args.data, HELD_OUT, args.images)
    network = load_network(args.model)
    results = {name: score(images, network, use) for name, use in USES.items()}
    record = {"model": named(args.model), "images": len(images), "scores": results}
    print(text(record))
    print(write_record("ablation", record))


if __name__ == "__main__":
    main()
