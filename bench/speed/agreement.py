"""Agreement of Flowmask's labels with those of cellpose 3.1, with the same weights, on the same real images.

The weights are written in cellpose's own format, exported from there with `python -m export --cellpose`, and loaded by
the package `cellpose` in its own environment. Both engines get the same images, the true diameters and the default
thresholds. The time of both is reported too.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.cellpose import cellpose_python, export_same, run_task
from bench.images import Item, choose, read_labels, read_shared
from bench.record import Record, table
from flowmask.api import load_network, segment
from flowmask.labels.labels import Labels, median_diameter
from flowmask.labels.metrics import f1

THRESHOLDS = (0.5, 0.75, 0.9)
"""IoU from which two cells count as the same."""
HEADER = (
    "image", "cells, cellpose", "cells, Flowmask", *(f"F1 at {t}" for t in THRESHOLDS), "s, cellpose", "s, Flowmask",
)  # fmt: skip


def by_cellpose(items: list[Item], diameters: list[float], weights: Path, folder: Path) -> list[tuple[Labels, float]]:
    """Return cellpose's labels (Y, X) of each image, and the seconds it took; ``diameters`` in px."""
    images = [{"path": str(item.image), "diameter": d} for item, d in zip(items, diameters, strict=True)]
    run_task(cellpose_python(), "segment", {"weights": str(weights), "images": images}, folder)
    labels = np.load(folder / "labels.npz")
    seconds = json.loads((folder / "seconds.json").read_text())
    return [(labels[str(index)].astype(np.int32), seconds[index]) for index in range(len(items))]


def by_flowmask(items: list[Item], diameters: list[float], network: Path) -> list[tuple[Labels, float]]:
    """Return Flowmask's labels (Y, X) of each image, and the seconds it took; ``diameters`` in px."""
    opened = load_network(network)
    segment(items[0].image, opened, diameter=diameters[0])  # so that no time includes a first call
    results = []
    for item, diameter in zip(items, diameters, strict=True):
        begun = time.perf_counter()
        labels = segment(item.image, opened, diameter=diameter).labels
        results.append((labels, time.perf_counter() - begun))
    return results


def compared(items: list[Item], checkpoint: Path) -> list[Record]:
    """Segment the images with both engines and return a row for each image."""
    diameters = [median_diameter(read_labels(item.labels)) for item in items]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, network, _ = export_same(checkpoint, folder)
        theirs = by_cellpose(items, diameters, weights, folder)
        ours = by_flowmask(items, diameters, network)
    rows = []
    for item, (reference, seconds), (labels, own_seconds) in zip(items, theirs, ours, strict=True):
        scores = [f1(reference, labels, threshold) for threshold in THRESHOLDS]
        row = [item.name, int(reference.max()), int(labels.max()), *scores, seconds, own_seconds]
        rows.append(dict(zip(HEADER, row, strict=True)))
    return rows


def measured(data: Path, images: int, checkpoint: Path) -> Record:
    """Return a row for each of so many images of a data folder, and how much longer cellpose takes for all."""
    rows = compared(choose(read_shared(data), images), checkpoint)
    ratio = sum(row["s, cellpose"] for row in rows) / sum(row["s, Flowmask"] for row in rows)
    return {"images": rows, "time_ratio": ratio}


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    rows = [[row[column] for column in HEADER] for row in record["images"]]
    means = [float(np.mean([row[column] for row in record["images"]])) for column in HEADER[3:]]
    speed = f"cellpose takes {record['time_ratio']:.2f} times as long as Flowmask on these {len(rows)} images."
    return f"{table(HEADER, [*rows, ['mean', None, None, *means]])}\n\n{speed}"
