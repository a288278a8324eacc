"""Every score of `infer.metrics` for each held-out source, with estimated and with true diameters.

python -m bench.quality --data ../shared/data [--model models/cyto-small.onnx] [--config wider] [--augment]

The challenge's F1 at IoU 0.5 with both diameters; LIVECell's AP and AFNR over IoU 0.50:0.95 and Dice (which is the
semantic F1) with the estimated one. Cells are ordered by their mean cell probability for AP. Mean and median are
over the images of a source; LIVECell's own way, all images of a source together, stands in a table of its own.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import numpy.typing as npt

from bench.record import print_table, write_record
from infer.api import load_network
from infer.cli import MODEL
from infer.image import Image
from infer.labels import Labels, median_diameter
from infer.metrics import Ranked, average_precision, dice, f1_challenge, false_negative_ratio, ranked
from infer.pipeline import segment_rows
from infer.rescale import network_length
from infer.resume import MapsFile
from infer.session import Network
from infer.settings import Settings
from train.config import load_config, split
from train.readers import Item, read_item, read_shared

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


def cell_confidence(labels: Labels, maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return (n,) the mean cell probability, 0 to 1, of each label 1..n of (Y, X); maps (3, y, x) as the network's."""
    logit = cv2.resize(maps[2], labels.shape[::-1], interpolation=cv2.INTER_LINEAR)
    total = np.bincount(labels.ravel(), 1 / (1 + np.exp(-logit.astype(np.float64))).ravel())
    return (total / np.bincount(labels.ravel()))[1:]


def segmented(image: Image, network: Network, settings: Settings) -> tuple[Labels, float, npt.NDArray[np.float64]]:
    """Return the labels (Y, X) of an image, the diameter in px that was used and the confidence of each cell."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "maps"
        with MapsFile(path, {}) as kept:
            diameter, parts = segment_rows(image, network, settings, kept=kept)
            labels = np.concatenate(list(parts))
        with MapsFile(path, {}) as kept:
            width = network_length(image.shape[2], network.contract.mean_diameter / diameter)
            maps = np.concatenate(list(kept.parts(width)), axis=1)
    return labels, diameter, cell_confidence(labels, maps)


def score(item: Item, network: Network, settings: Settings) -> tuple[Scores, Ranked] | None:
    """Return the scores of one image, and its cells as AP ranks them; None for an image without cells."""
    image, truth = read_item(item)
    diameter = median_diameter(truth)
    if not diameter:
        return None
    labels, estimated, confidence = segmented(image, network, settings)
    cells = ranked(truth, labels, confidence)
    scores = {
        "f1_estimated": f1_challenge(truth, labels),
        "f1_true": f1_challenge(truth, segmented(image, network, replace(settings, diameter=diameter))[0]),
        "ap": average_precision([cells]),
        "afnr": false_negative_ratio([cells]),
        "dice": dice(truth, labels),
        "diameter_error": float(abs(np.log(estimated / diameter))),
        "diameter": estimated,
        "true_diameter": diameter,
    }
    return scores, cells


def summary(images: Sequence[Scores], over: Callable[[list[float]], np.floating]) -> Scores:
    """Return the mean or the median over images of each score."""
    return {column: float(over([image[column] for image in images])) for column in images[0]}


def draw(images: dict[str, dict[str, Scores]], path: Path) -> None:
    """Draw the estimated against the true diameter of every image, a colour for each source."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    for source, few in images.items():
        true, estimated = zip(*((one["true_diameter"], one["diameter"]) for one in few.values()), strict=True)
        axes.loglog(true, estimated, "o", label=source, markersize=4)
    low, high = (
        edge(one[key] for few in images.values() for one in few.values() for key in KEYS) for edge in (min, max)
    )
    axes.plot([low, high], [low, high], "-", color="grey")
    axes.set(xlabel="true diameter, px", ylabel="estimated diameter, px", aspect="equal")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=100)


def report(title: str, columns: dict[str, str], sources: dict[str, Scores], counts: dict[str, int]) -> Scores:
    """Print a table with a row for each source and return its last row, the means over sources."""
    overall = summary(list(sources.values()), np.mean)
    rows = [[source, counts[source], *(scores[c] for c in columns)] for source, scores in sources.items()]
    rows.append(["mean over sources", sum(counts.values()), *(overall[c] for c in columns)])
    print(f"\n{title}\n")
    print_table(["source", "images", *columns.values()], rows)
    return overall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--config", default="wider", help="the config whose held-out images are scored")
    parser.add_argument("--augment", action="store_true", help="average over mirror images, as the engine's --augment")
    parser.add_argument("--plot", type=Path, help="PNG to draw estimated against true diameters into")
    args = parser.parse_args()
    settings = Settings(augment=args.augment)
    network = load_network(args.model)
    _, held_out = split(read_shared(args.data), load_config(args.config))
    images: dict[str, dict[str, Scores]] = defaultdict(dict)
    cells: dict[str, list[Ranked]] = defaultdict(list)
    for item in held_out:
        if (result := score(item, network, settings)) is not None:
            images[item.source][item.image.stem], one = result
            cells[item.source].append(one)
    if args.plot:
        draw(images, args.plot)
    counts = {source: len(few) for source, few in images.items()}
    means = {source: summary(list(few.values()), np.mean) for source, few in images.items()}
    medians = {source: summary(list(few.values()), np.median) for source, few in images.items()}
    together = {
        source: {"ap": average_precision(few), "afnr": false_negative_ratio(few)} for source, few in cells.items()
    }
    figures: dict[str, object] = {
        "mean": report("Mean over the images of each source", COLUMNS, means, counts),
        "median": report("Median over the images of each source", COLUMNS, medians, counts),
        "together": report("LIVECell's scores of all images of a source together", TOGETHER, together, counts),
    }
    figures["sources"] = {s: {"mean": means[s], "median": medians[s], "together": together[s]} for s in images}
    print(
        write_record("quality", {"model": args.model.name, "settings": asdict(settings), **figures, "images": images})
    )


if __name__ == "__main__":
    main()
