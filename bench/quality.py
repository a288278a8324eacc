"""Every score of `flowmask.labels.metrics` for each held-out source, with estimated and with true diameters.

    python -m bench.quality --data ../shared/data [--model models/cyto-small.onnx] [--augment] [--simulated N]
        [--plot FILE.png]

The challenge's F1 at IoU 0.5 with both diameters; LIVECell's AP and AFNR over IoU 0.50:0.95 and Dice (which is the
semantic F1) with the estimated one. Cells are ordered by their mean cell probability for AP. Mean and median are
over the images of a source; LIVECell's own way, all images of a source together, stands in a table of its own, and
so do simulated images of every modality, which no network has been trained on. Of images without cells it says how
many cells are found there.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import numpy.typing as npt
from flowmask.api import load_network
from flowmask.cli import MODEL
from flowmask.images.image import Image, as_image
from flowmask.labels.labels import Labels, median_diameter
from flowmask.labels.metrics import Ranked, average_precision, dice, f1_challenge, false_negative_ratio, ranked
from flowmask.map_cache import MapCache
from flowmask.network.session import Network
from flowmask.options import Settings
from flowmask.pipeline import segment_image, segment_rows
from flowmask.tiles.rescale import network_length

from bench.record import named, print_table, write_record
from train.data.prepared import SIMULATED
from train.data.readers import Item, read_item, read_shared
from train.recipes.held_out import HELD_OUT
from train.simulate import MODALITIES, simulate

Scores = dict[str, float]
Labelled = tuple[str, str, Image, Labels]
"""An image to score: its source and name, its pixels and its true labels (Y, X)."""
FRESH = 1_000_000
"""The first seed of the simulated images; the pools that networks are trained on begin with 0."""
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
        with MapCache(path, {}) as kept:
            diameter, parts = segment_rows(image, network, settings, kept=kept)
            labels = np.concatenate(list(parts))
        with MapCache(path, {}) as kept:
            width = network_length(image.shape[2], network.contract.mean_diameter / diameter)
            maps = np.concatenate(list(kept.parts(width)), axis=1)
    return labels, diameter, cell_confidence(labels, maps)


def held_out(items: Sequence[Item]) -> Iterator[Labelled]:
    for item in items:
        yield item.source, item.image.stem, *read_item(item)


def simulated(each: int) -> Iterator[Labelled]:
    """Yield so many images of each modality."""
    for modality in MODALITIES:
        for seed in range(FRESH, FRESH + each):
            sample = simulate(modality, seed=seed)
            yield SIMULATED + modality, str(seed), as_image(sample.image), sample.labels


def score(image: Image, truth: Labels, network: Network, settings: Settings) -> tuple[Scores, Ranked]:
    """Return the scores of one image with cells, and its cells as AP ranks them."""
    diameter = median_diameter(truth)
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
    """Draw the estimated against the true diameter of every image, a colour for each source, simulated ones crosses."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=colormaps["tab20"].colors)
    for source, few in images.items():
        true, estimated = zip(*((one["true_diameter"], one["diameter"]) for one in few.values()), strict=True)
        axes.loglog(true, estimated, "x" if source.startswith(SIMULATED) else "o", label=source, markersize=4)
    low, high = (
        edge(one[key] for few in images.values() for one in few.values() for key in KEYS) for edge in (min, max)
    )
    axes.plot([low, high], [low, high], "-", color="grey")
    axes.set(xlabel="true diameter, px", ylabel="estimated diameter, px", aspect="equal")
    figure.legend(fontsize="small", loc="outside right upper")
    figure.savefig(path, dpi=100)


def table(title: str, columns: dict[str, str], sources: dict[str, Scores], counts: dict[str, int]) -> Scores:
    """Print a table with a row for each source and return its last row, the means over sources."""
    overall = summary(list(sources.values()), np.mean)
    rows = [[source, counts[source], *(scores[c] for c in columns)] for source, scores in sources.items()]
    rows.append(["mean over sources", sum(counts.values()), *(overall[c] for c in columns)])
    print(f"\n{title}\n")
    print_table(["source", "images", *columns.values()], rows)
    return overall


class Group:
    """Images scored together: the scores by source and name, and how many cells are found on empty ones."""

    def __init__(self, images: Iterable[Labelled], network: Network, settings: Settings) -> None:
        self.images: dict[str, dict[str, Scores]] = defaultdict(dict)
        self._cells: dict[str, list[Ranked]] = defaultdict(list)
        self.on_empty: dict[str, int] = {}
        for source, name, image, truth in images:
            if truth.any():
                self.images[source][name], one = score(image, truth, network, settings)
                self._cells[source].append(one)
            else:
                self.on_empty[f"{source}/{name}"] = int(segment_image(image, network, settings).labels.max())

    def report(self, what: str) -> dict[str, object]:
        """Print the tables and return their figures; ends the program where no image has cells."""
        if not self.images:
            raise SystemExit(f"None of the {what} has cells: there is nothing to score.")
        counts = {source: len(few) for source, few in self.images.items()}
        means, medians = (
            {source: summary(list(few.values()), over) for source, few in self.images.items()}
            for over in (np.mean, np.median)
        )
        together = {
            source: {"ap": average_precision(few), "afnr": false_negative_ratio(few)}
            for source, few in self._cells.items()
        }
        figures: dict[str, object] = {
            "mean": table(f"Mean over the {what} of each source", COLUMNS, means, counts),
            "median": table(f"Median over the {what} of each source", COLUMNS, medians, counts),
            "together": table(f"LIVECell's scores of all {what} of a source together", TOGETHER, together, counts),
        }
        if self.on_empty:
            print(f"\n{len(self.on_empty)} {what} without cells: {sum(self.on_empty.values())} cells found on them.")
        sources = {s: {"mean": means[s], "median": medians[s], "together": together[s]} for s in self.images}
        return {**figures, "sources": sources, "images": self.images, "on_empty": self.on_empty}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--augment", action="store_true", help="average over mirror images, as the engine's --augment")
    parser.add_argument("--simulated", type=int, default=0, metavar="N", help="score N images of each modality too")
    parser.add_argument("--plot", type=Path, help="PNG to draw estimated against true diameters into")
    args = parser.parse_args()
    settings = Settings(augment=args.augment)
    network = load_network(args.model)
    items = HELD_OUT.divide(read_shared(args.data))[1]
    groups = {"images": Group(held_out(items), network, settings)}
    if args.simulated:
        groups["simulated images"] = Group(simulated(args.simulated), network, settings)
    if args.plot:
        draw({source: few for group in groups.values() for source, few in group.images.items()}, args.plot)
    print(named(args.model))
    figures = {what: group.report(what) for what, group in groups.items()}
    print(write_record("quality", {"model": named(args.model), "settings": asdict(settings), **figures}))


if __name__ == "__main__":
    main()
