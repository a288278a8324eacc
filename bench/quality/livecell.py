"""The tables of the two studies of LIVECell, for any networks and for LIVECell or images that stand in for it.

    python -m bench.quality.livecell --data DATA --model NAME [NAME ...] [--images PATTERN ...] [--each N]

DATA is a folder of labelled images in any layout of `python -m train`: LIVECell's COCO files as downloaded, of the test
images, or one folder for each source. A source, in LIVECell the cell type, is one split.

Mesmer on LIVECell: for each network the average IoU of the pixels, a mean over the images, and F1, the harmonic mean of
precision and recall of the cells of all images at IoU 0.5; F1 for each cell type. Give networks of several backbones,
heads or cell types. U-Net and CenterMask on LIVECell: for each split the semantic F1 (Dice, a mean over the images), AP
and AFNR of the cells of all images, IoU 0.50:0.95, at most 2,000 cells an image; AP also for small, medium and large
cells by LIVECell's bounds of 18^2 and 31^2 px. AP orders cells by their mean cell probability. Cells at the border of
an image count in both studies.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from bench.record import Record, named, table, write_record
from flowmask.api import load_network
from flowmask.images.image import Image
from flowmask.labels.labels import Labels
from flowmask.labels.metrics import (
    AREAS,
    Ranked,
    average_precision,
    dice,
    false_negative_ratio,
    matches,
    pixel_iou,
    ranked,
)
from flowmask.network.registry import find_network
from flowmask.network.session import Network
from flowmask.pipeline import segment_image
from train.data.readers import Item, read_folder, read_item

CELL_TYPES = ("A172", "BT474", "BV2", "Huh7", "MCF7", "SHSY5Y", "SkBr3", "SKOV3")
"""LIVECell's cell types, as the names of its images begin."""
Networks = Mapping[str, Mapping[str, Record]]
"""The figures of each network for each split."""
ALL = "all"
"""The split of all images."""


@dataclass(frozen=True)
class Scored:
    """What one network gave for one image."""

    pixel_iou: float
    dice: float
    counts: tuple[int, int, int]
    """True positives, true cells and predicted cells at IoU 0.5."""
    cells: Mapping[str, Ranked]
    """For each range of areas, by its name in `AREAS`."""
    seconds: float


def score(image: Image, truth: Labels, network: Network) -> Scored:
    """Segment one image with default options and return its scores."""
    began = time.monotonic()
    result = segment_image(image, network)
    seconds = time.monotonic() - began
    return Scored(
        pixel_iou=pixel_iou(truth, result.labels),
        dice=dice(truth, result.labels),
        counts=matches(truth, result.labels),
        cells={name: ranked(truth, result.labels, result.cells.probability, area) for name, area in AREAS.items()},
        seconds=seconds,
    )


def figures(images: Sequence[Scored]) -> Record:
    """Return the figures of one network for one split; AP and AFNR are None without true cells of that size.

    >>> cells = dict.fromkeys(AREAS, Ranked(np.array([0.9]), np.ones((10, 1), bool), np.ones((10, 1), bool), 2))
    >>> found = figures([Scored(0.5, 0.6, (1, 2, 1), cells, 2.0)])
    >>> found["images"], found["pixel_iou"], round(found["f1"], 3), found["afnr"]
    (1, 0.5, 0.667, 0.5)
    """
    hits, true, predicted = (sum(image.counts[k] for image in images) for k in range(3))
    cells = {name: [image.cells[name] for image in images] for name in AREAS}
    ap = {
        name: average_precision(ranked) if any(image.cells for image in ranked) else None
        for name, ranked in cells.items()
    }
    return {
        "images": len(images),
        "cells": true,
        "pixel_iou": float(np.mean([image.pixel_iou for image in images])),
        "f1": 2 * hits / (true + predicted) if true + predicted else 1.0,
        "dice": float(np.mean([image.dice for image in images])),
        "ap": ap.pop("all"),
        "afnr": false_negative_ratio(cells["all"]) if true else None,
        "ap_by_size": ap,
        "seconds": float(np.mean([image.seconds for image in images])),
    }


def measure(items: Sequence[Item], network: Network) -> dict[str, Record]:
    """Return the figures of a network for each split: all images, then each source."""
    return measure_each((item, network) for item in items)


def measure_each(pairs: Iterable[tuple[Item, Network]]) -> dict[str, Record]:
    """Return the figures of images with the network for each, for each split as `measure` does."""
    splits: dict[str, list[Scored]] = defaultdict(list)
    for item, network in pairs:
        found = score(*read_item(item), network)
        splits[ALL].append(found)
        splits[item.source].append(found)
    return {split: figures(images) for split, images in splits.items()}


def text(record: Record) -> str:
    """Return the tables of a record as Markdown."""
    networks: Networks = record["networks"]
    sizes = [[split, own["images"], own["cells"]] for split, own in next(iter(networks.values())).items()]
    overall = [
        [name, own[ALL]["pixel_iou"], own[ALL]["f1"], round(1000 * own[ALL]["seconds"])]
        for name, own in networks.items()
    ]
    by_size = {name: {split: found["ap_by_size"] for split, found in own.items()} for name, own in networks.items()}
    return "\n\n".join(
        [
            record["about"],
            table(["split", "images", "true cells"], sizes),
            "Mesmer on LIVECell, table 1: networks",
            table(["network", "average pixel IoU", "F1", "ms an image"], overall),
            "Mesmer on LIVECell, figures 5 and 6: networks and cell types",
            by_split(networks, {"pixel_iou": "pixel IoU", "f1": "F1"}),
            "U-Net and CenterMask on LIVECell, tables 1 to 4: semantic F1, AP and AFNR",
            by_split(networks, {"dice": "F1", "ap": "AP", "afnr": "AFNR"}),
            "AP of small cells (at most 18^2 px), medium and large ones (at least 31^2 px)",
            by_split(by_size, {size: f"{size} cells" for size in [*AREAS][1:]}),
        ]
    )


def by_split(networks: Networks, columns: Mapping[str, str]) -> str:
    """Return a table with a row for each split and, for each network, a column for each key of ``columns``.

    networks: figures by network and split; the first network has all splits. columns: key -> name.

    >>> print(by_split({"a": {"all": {"f1": 0.5}, "BV2": {"f1": 0.4}}, "b": {"all": {"f1": 1.0}}}, {"f1": "F1"}))
    | split | a, F1 | b, F1 |
    | ----- | ----- | ----- |
    | all   | 0.500 | 1.000 |
    | BV2   | 0.400 |       |
    """
    header = ["split", *(f"{name}, {title}" for name in networks for title in columns.values())]
    rows = [
        [split, *(own.get(split, {}).get(key) for own in networks.values() for key in columns)]
        for split in next(iter(networks.values()))
    ]
    return table(header, rows)


def about(items: Sequence[Item]) -> str:
    """Return a sentence that says whether the images are LIVECell's or stand in for them.

    >>> about([Item(Path("a/BV2_1.tif"), Path("a.json"), "BV2")])
    'Images of LIVECell: BV2.'
    >>> about([Item(Path("t/1.png"), Path("t/1_label.png"), "t")])
    'Not LIVECell: these images stand in for it: t. The figures cannot be compared with those of the studies.'
    """
    sources = list(dict.fromkeys(item.source for item in items))
    if set(sources) <= set(CELL_TYPES):
        return f"Images of LIVECell: {', '.join(sources)}."
    return (
        f"Not LIVECell: these images stand in for it: {', '.join(sources)}. The figures cannot be compared with those "
        "of the studies."
    )


def chosen(data: Path, patterns: Sequence[str], each: int) -> list[Item]:
    """Return the images that match a pattern of source/name, at most ``each`` of a source; 0: all."""
    return first_of_each(
        (item for item in read_folder(data) if any(fnmatch(item.name, pattern) for pattern in patterns)), each
    )


def first_of_each(items: Iterable[Item], each: int) -> list[Item]:
    """Return the first ``each`` items of each source; 0: all.

    >>> [item.name for item in first_of_each([Item(Path(f"{name}.png"), Path(), "lab") for name in "abc"], 2)]
    ['lab/a', 'lab/b']
    """
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if not 0 < each <= len(found[item.source]):
            found[item.source].append(item)
    return [item for own in found.values() for item in own]


def main(argv: list[str] | None = None) -> None:
    """Score the images with each network, print the tables and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="labelled images, in any layout of `python -m train`")
    parser.add_argument("--model", type=find_network, nargs="+", required=True, metavar="NAME", help="names or files")
    parser.add_argument("--images", nargs="+", default=["*"], metavar="PATTERN", help="source/name (default all)")
    parser.add_argument("--each", type=int, default=0, metavar="N", help="at most N images of a source (default all)")
    args = parser.parse_args(argv)
    items = chosen(args.data, args.images, args.each)
    if not items:
        parser.error(f"{args.data}: no image matches {', '.join(args.images)}")
    if len({model.stem for model in args.model}) < len(args.model):
        parser.error("two of the networks have the same name; rename one")
    record: Record = {
        "about": about(items),
        "models": [named(model) for model in args.model],
        "networks": {model.stem: measure(items, load_network(model)) for model in args.model},
    }
    print(text(record))
    print(write_record("livecell", record))


if __name__ == "__main__":
    main()
