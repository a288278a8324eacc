"""What changes F1: the options of the engine, changes of the images, and unusual sizes of the cells.

    python -m bench.quality.variations --data DATA [--model NAME] [--each 6]
        [--only options images sizes]

All parts give F1 at IoU 0.5 by the challenge's rules, as the mean over the images of a source.

* options: choices in the use of a network, on all held-out images.
* images: changes as other cameras, file formats and fields of view make them, on --each held-out images of every source
  and one simulated image of every modality, with all options at their defaults.
* sizes: simulated images of every modality with tiny and very large cells, of two sizes beside each other, and without
  cells; also the mean log error of the estimated diameter. The part needs no --data.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.images import SIMULATED, Labelled, at_most, held_out, simulated
from bench.quality import sizes
from bench.quality.changes import CHANGES, UNCHANGED, changed, lonely
from bench.record import Record, named, table, write_record
from flowmask.api import load_network
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import f1_challenge
from flowmask.network.registry import default_network, find_network
from flowmask.network.session import Network
from flowmask.options import Segmentation
from flowmask.pipeline import segment_image

Scores = dict[str, float]
"""Mean F1 of each source."""
ESTIMATED, NONE, TRUE = "estimated", "none", "true"
FLUORESCENT = "fluo"
"""In the names of the sources of fluorescence images."""


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


def score(images: Iterable[Labelled], network: Network, use: Use, change: str = UNCHANGED) -> Scores:
    """Return the mean F1 of each source for a way to use the network, after a change of the images."""
    found: dict[str, list[float]] = defaultdict(list)
    for seed, (source, _, image, truth) in enumerate(images):
        if CHANGES[change] is lonely and FLUORESCENT not in source:
            continue
        pixels, labels = (image, truth) if change == UNCHANGED else changed(image, truth, change, seed)
        diameters = {ESTIMATED: None, NONE: network.contract.mean_diameter, TRUE: median_diameter(labels)}
        options = replace(use.options, diameter=diameters[use.diameter])
        found[source].append(f1_challenge(labels, segment_image(pixels, network, options).labels))
    return {source: float(np.mean(each)) for source, each in found.items()}


def mean(scores: Scores) -> float:
    """Return the mean over sources.

    >>> mean({"one": 0.5, "other": 1.0})
    0.75
    """
    return float(np.mean(list(scores.values())))


def measure_options(network: Network, args: argparse.Namespace) -> Record:
    """Return the scores of each way to use the network on the held-out images."""
    images = at_most(held_out(args.data), 0)
    return {"images": len(images), "scores": {name: score(images, network, use) for name, use in USES.items()}}


def measure_changes(network: Network, args: argparse.Namespace) -> Record:
    """Return the scores after each change of the images; the simulated modalities count as one source."""
    images = at_most(held_out(args.data), args.each)
    images += [(SIMULATED.strip(), *image[1:]) for image in simulated(1) if image[3].any()]
    return {"images": len(images), "scores": {change: score(images, network, Use(), change) for change in CHANGES}}


def measure_sizes(network: Network, args: argparse.Namespace) -> Record:
    """Return the scores for unusual sizes of cells, and the cells found on images without any."""
    return sizes.measured(network)


def options_text(figures: Record) -> str:
    """Return a table of the choices as Markdown: mean over sources, its distance from the first row, each source.

    >>> print(options_text({"images": 2, "scores": {"default": {"a": 0.5}, "other": {"a": 0.75}}}))
    2 images
    <BLANKLINE>
    | choice  | F1    | change | a     |
    | ------- | ----- | ------ | ----- |
    | default | 0.500 | +0.000 | 0.500 |
    | other   | 0.750 | +0.250 | 0.750 |
    """
    results: dict[str, Scores] = figures["scores"]
    first = next(iter(results.values()))
    rows = [
        [name, mean(scores), f"{mean(scores) - mean(first):+.3f}", *(scores[source] for source in first)]
        for name, scores in results.items()
    ]
    return f"{figures['images']} images\n\n{table(['choice', 'F1', 'change', *first], rows)}"


def changes_text(figures: Record) -> str:
    """Return a table of the changes of images as Markdown."""
    scores = figures["scores"]
    sources = list(scores[UNCHANGED])
    rows = [[change, *(own.get(source) for source in sources)] for change, own in scores.items()]
    return f"{figures['images']} images\n\n{table(['change', *sources], rows)}"


PARTS = {
    "options": ("The options of the engine", measure_options, options_text),
    "images": ("Changed images", measure_changes, changes_text),
    "sizes": ("Diameter estimation in hard cases", measure_sizes, sizes.text),
}


def text(record: Record) -> str:
    """Return the tables of a record as Markdown, a section for each part."""
    sections = [f"### {title}\n\n{show(record[part])}" for part, (title, _, show) in PARTS.items() if part in record]
    return "\n\n".join([record["model"], *sections])


def main() -> None:
    """Score the parts, print the tables and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with one folder for each source")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="the parts; default: all")
    parser.add_argument("--model", type=find_network, default=default_network())
    parser.add_argument("--each", type=int, default=6, help="images of each source for the part images; 0: all")
    args = parser.parse_args()
    if args.data is None and args.only != ["sizes"]:
        parser.error("--data is missing; only the part sizes needs none")
    network = load_network(args.model)
    figures: Record = {"model": named(args.model)}
    for part in args.only:
        figures[part] = PARTS[part][1](network, args)
    print(text(figures))
    print(write_record("variations", figures))


if __name__ == "__main__":
    main()
