"""Accuracy for each held-out source, with estimated and with true cell diameters.

    python -m bench.quality.scores --data DATA [--model NAME] [--augment] [--simulated N]
        [--plot FILE.png]

The challenge's F1 at IoU 0.5 with both diameters; LIVECell's AP and AFNR over IoU 0.50:0.95, and Dice (which is the
semantic F1), with the estimated diameter. AP orders cells by their mean cell probability. Mean and median are over the
images of a source. LIVECell itself scores all images of a source together; these scores have a table of their own.
--simulated adds images of every modality that no network was trained on. For images without cells, the script reports
how many cells the engine finds there.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from bench.images import SIMULATED, Labelled, held_out, simulated
from bench.record import Record, named, table, write_record
from flowmask.api import load_network
from flowmask.families import family_of
from flowmask.images.image import Image
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.labels.labels import Labels, median_diameter
from flowmask.labels.metrics import Ranked, average_precision, dice, f1_challenge, false_negative_ratio, ranked
from flowmask.network.registry import default_network, find_network
from flowmask.network.session import Network
from flowmask.options import Runtime, Segmentation
from flowmask.pipeline import plan_image, run_tiles, segment_image

Scores = dict[str, float]
COLUMNS = {
    "f1_estimated": "F1, estimated diameter",
    "f1_true": "F1, true diameter",
    "ap": "AP",
    "afnr": "AFNR",
    "dice": "Dice",
    "diameter_error": "log error of diameter",
}
KEYS = ("true_diameter", "diameter")
TOGETHER = {"ap": "AP", "afnr": "AFNR"}


def cell_confidence(labels: Labels, logit: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return (n,) the mean cell probability, 0 to 1, of each label 1..n of (Y, X).

    logit: (y, x) float32, the logit of the cell probability at network resolution.

    >>> cell_confidence(np.array([[0, 1, 1, 2]]), np.array([[-9, 0, 0, 9]], np.float32)).round(3)
    array([0.5, 1. ])
    """
    resized = cv2.resize(logit, labels.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float64)
    total = np.bincount(labels.ravel(), 1 / (1 + np.exp(-resized)).ravel())
    means: npt.NDArray[np.float64] = (total / np.bincount(labels.ravel()))[1:]
    return means


def segmented(image: Image, network: Network, options: Segmentation) -> tuple[Labels, float, npt.NDArray[np.float64]]:
    """Return the labels (Y, X) of an image, the diameter in px that was used and the confidence (n,) of each cell.

    The last map channel of a network is taken as the logit of the cell probability.
    """
    plan = plan_image(image, network, options, Runtime())
    maps = list(run_tiles(image, network, plan))
    labels = np.concatenate(list(family_of(network.contract).label_rows(maps, plan, CellTableBuilder())))
    return labels, plan.diameter, cell_confidence(labels, np.concatenate([part[-1] for part in maps]))


def score(image: Image, truth: Labels, network: Network, options: Segmentation) -> tuple[Scores, Ranked]:
    """Return the scores of one image with cells, and its cells as AP ranks them."""
    diameter = median_diameter(truth)
    labels, estimated, confidence = segmented(image, network, options)
    with_truth = segment_image(image, network, replace(options, diameter=diameter)).labels
    cells = ranked(truth, labels, confidence)
    scores = {
        "f1_estimated": f1_challenge(truth, labels),
        "f1_true": f1_challenge(truth, with_truth),
        "ap": average_precision([cells]),
        "afnr": false_negative_ratio([cells]),
        "dice": dice(truth, labels),
        "diameter_error": float(abs(np.log(estimated / diameter))),
        "diameter": estimated,
        "true_diameter": diameter,
    }
    return scores, cells


def summary(images: Sequence[Scores], over: Callable[[list[float]], np.floating]) -> Scores:
    """Return the mean or the median over images of each score.

    >>> summary([{"f1": 0.5}, {"f1": 1.0}], np.mean)
    {'f1': 0.75}
    """
    return {column: float(over([image[column] for image in images])) for column in images[0]}


class Group:
    """Images that are scored together: the scores by source and name, and the cells found on empty images."""

    def __init__(self, images: Iterable[Labelled], network: Network, options: Segmentation) -> None:
        self.images: dict[str, dict[str, Scores]] = defaultdict(dict)
        self._cells: dict[str, list[Ranked]] = defaultdict(list)
        self.on_empty: dict[str, int] = {}
        for source, name, image, truth in images:
            if truth.any():
                self.images[source][name], cells = score(image, truth, network, options)
                self._cells[source].append(cells)
            else:
                self.on_empty[f"{source}/{name}"] = len(segment_image(image, network, options).cells)

    def figures(self) -> Record:
        """Return all scores of the group: for each source, and the mean over sources."""
        means, medians = (
            {source: summary(list(scores.values()), over) for source, scores in self.images.items()}
            for over in (np.mean, np.median)
        )
        together = {
            source: {"ap": average_precision(cells), "afnr": false_negative_ratio(cells)}
            for source, cells in self._cells.items()
        }
        kinds = {"mean": means, "median": medians, "together": together}
        overall = {kind: summary(list(scores.values()), np.mean) for kind, scores in kinds.items() if scores}
        sources = {source: {kind: scores[source] for kind, scores in kinds.items()} for source in self.images}
        return {**overall, "sources": sources, "images": self.images, "on_empty": self.on_empty}


TABLES = {
    "mean": ("Mean over the {} of each source", COLUMNS),
    "median": ("Median over the {} of each source", COLUMNS),
    "together": ("LIVECell's scores of all {} of a source together", TOGETHER),
}
"""Title and columns of each table."""


def text(record: Record) -> str:
    """Return the tables of a record as Markdown."""
    parts = [record["model"]]
    for what in (what for what in ("images", "simulated images") if what in record):
        group = record[what]
        for kind, (title, columns) in TABLES.items():
            scores = {source: own[kind] for source, own in group["sources"].items()}
            counts = {source: len(group["images"][source]) for source in scores}
            parts += [title.format(what), source_table(columns, scores, counts)]
        if group["on_empty"]:
            found = sum(group["on_empty"].values())
            parts.append(f"Cells found on the {len(group['on_empty'])} {what} without cells: {found}.")
    return "\n\n".join(parts)


def source_table(columns: dict[str, str], scores: dict[str, Scores], counts: dict[str, int]) -> str:
    """Return a table with a row for each source and for their means, in which each source has the same weight.

    The second mean leaves out sources of a single image, whose scores depend on chance.

    >>> scores = {"a": {"f1": 0.5}, "b": {"f1": 0.7}}
    >>> print(source_table({"f1": "F1"}, scores, {"a": 1, "b": 4}))
    | source                              | images | F1    |
    | ----------------------------------- | ------ | ----- |
    | a                                   | 1      | 0.500 |
    | b                                   | 4      | 0.700 |
    | mean over sources                   | 5      | 0.600 |
    | mean over sources of several images | 4      | 0.700 |
    """
    rows = [[source, counts[source], *(own[column] for column in columns)] for source, own in scores.items()]
    means = {"mean over sources": [*scores]}
    several = [source for source in scores if counts[source] > 1]
    if 0 < len(several) < len(scores):
        means["mean over sources of several images"] = several
    for title, sources in means.items():
        overall = summary([scores[source] for source in sources], np.mean)
        rows.append([title, sum(counts[source] for source in sources), *(overall[column] for column in columns)])
    return table(["source", "images", *columns.values()], rows)


def draw(images: dict[str, dict[str, Scores]], path: Path) -> None:
    """Draw the estimated against the true diameter of every image: a colour for each source, crosses if simulated."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=colormaps["tab20"](range(20)))
    for source, scores in images.items():
        true, estimated = zip(*((one["true_diameter"], one["diameter"]) for one in scores.values()), strict=True)
        axes.loglog(true, estimated, "x" if source.startswith(SIMULATED) else "o", label=source, markersize=4)
    diameters = [one[key] for scores in images.values() for one in scores.values() for key in KEYS]
    ends = [min(diameters), max(diameters)]
    axes.plot(ends, ends, "-", color="grey")
    axes.set(xlabel="true diameter, px", ylabel="estimated diameter, px", aspect="equal")
    figure.legend(fontsize="small", loc="outside right upper")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Score the images, print the tables and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--model", type=find_network, default=default_network())
    parser.add_argument("--augment", action="store_true", help="average over mirror images, as the engine's --augment")
    parser.add_argument("--simulated", type=int, default=0, metavar="N", help="also score N images of each modality")
    parser.add_argument("--plot", type=Path, help="PNG file for a plot of estimated against true diameters")
    args = parser.parse_args()
    options = Segmentation(augment=args.augment)
    network = load_network(args.model)
    groups = {"images": Group(held_out(args.data), network, options)}
    if args.simulated:
        groups["simulated images"] = Group(simulated(args.simulated), network, options)
    for what, group in groups.items():
        if not group.images:
            raise SystemExit(f"None of the {what} has cells: there is nothing to score.")
    if args.plot:
        draw({source: scores for group in groups.values() for source, scores in group.images.items()}, args.plot)
    figures: Record = {"model": named(args.model), "options": asdict(options)}
    figures |= {what: group.figures() for what, group in groups.items()}
    print(text(figures))
    default = args.model == default_network()
    print(write_record("scores" if default else f"scores_{args.model.stem}", figures))


if __name__ == "__main__":
    main()
