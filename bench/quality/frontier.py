"""Accuracy against time: each network's F1 on held-out images and its milliseconds a tile on the CPU, as a plot.

    python -m bench.quality.frontier small large models/cyto-small.pt --data DATA [--cellpose models/cyto-small.pt]
        [--threads 2] [--plot docs/frontier.svg]

A network is a name, an .onnx file or a checkpoint, which is exported first. F1 is the challenge's at IoU 0.5 with
estimated diameters, the mean over the images of a source and then over the sources. The time is that of
`bench.speed.tile`, one tile of 224 x 224 px. --cellpose adds cellpose 3.1, which runs the weights of a checkpoint in
PyTorch on the same images, with the diameters that our engine estimates with these weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.cellpose import cellpose_python, run_task, write_cellpose_weights
from bench.images import read_labels, read_shared
from bench.record import ROOT, Record, named, table, write_record
from bench.speed.tile import fastest
from flowmask.api import load_network, segment
from flowmask.labels.labels import Labels
from flowmask.labels.metrics import f1_challenge
from flowmask.network.registry import find_network
from flowmask.pipeline import Result
from train.data.readers import Item
from train.recipes.held_out import HELD_OUT

TILE, REPEATS = 224, 30


def with_cells(data: Path) -> list[Item]:
    """Return the held-out images of a data folder in which there are cells."""
    return [item for item in HELD_OUT.divide(read_shared(data))[1] if read_labels(item.labels).any()]


def mean_f1(items: Sequence[Item], found: Sequence[Labels]) -> float:
    """Return the mean over sources of the mean F1 of their images."""
    scores: dict[str, list[float]] = {}
    for item, labels in zip(items, found, strict=True):
        scores.setdefault(item.source, []).append(f1_challenge(read_labels(item.labels), labels))
    return float(np.mean([np.mean(own) for own in scores.values()]))


def file_of(network: str, folder: Path) -> Path:
    """Return the .onnx file of a network; a checkpoint is exported into ``folder``."""
    if not network.endswith(".pt"):
        return find_network(network)
    path = folder / f"{Path(network).stem}.onnx"
    if not path.exists():
        subprocess.run([sys.executable, "-m", "export", network, "-o", str(path)], cwd=ROOT, check=True)
    return path


def segmented(items: Sequence[Item], file: Path) -> list[Result]:
    """Return what our engine finds in each image, everything at its default."""
    network = load_network(file, "cpu")
    return [segment(item.image, network) for item in items]


def of_cellpose(items: Sequence[Item], checkpoint: str, threads: int, folder: Path) -> Record:
    """Return the point of cellpose with the weights of a checkpoint of ours."""
    diameters = [float(result.diameter) for result in segmented(items, file_of(checkpoint, folder))]
    weights = folder / "weights"
    write_cellpose_weights(Path(checkpoint), weights)
    images = [{"path": str(item.image), "diameter": d} for item, d in zip(items, diameters, strict=True)]
    run_task(cellpose_python(), "segment", {"weights": str(weights), "images": images}, folder)
    labels = np.load(folder / "labels.npz")
    found = [labels[str(index)].astype(np.int32) for index in range(len(items))]
    job = {"weights": str(weights), "side": TILE, "threads": threads, "repeats": REPEATS}
    run_task(cellpose_python(), "tile", job, folder)
    seconds = json.loads((folder / "seconds.json").read_text())
    return {"name": f"cellpose 3.1, {Path(checkpoint).name}", "f1": mean_f1(items, found), "ms": 1000 * seconds}


def text(record: Record) -> str:
    """Return the table of a record as Markdown.

    >>> print(text({"threads": 1, "points": [{"name": "small", "f1": 0.8, "ms": 20.04}]}))
    | network | F1    | ms a tile, threads: 1 |
    | ------- | ----- | --------------------- |
    | small   | 0.800 | 20.0                  |
    """
    rows = [[point["name"], point["f1"], f"{point['ms']:.1f}"] for point in record["points"]]
    return table(["network", "F1", f"ms a tile, threads: {record['threads']}"], rows)


def draw(points: Sequence[Record], path: Path) -> None:
    """Draw F1 against the time for a tile, each point with its name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for point in points:
        axes.plot(point["ms"], point["f1"], "s" if point["name"].startswith("cellpose") else "o", color="C0")
        at = (point["ms"], point["f1"])
        axes.annotate(point["name"].split(" (")[0], at, (0, 8), textcoords="offset points", ha="center")
    axes.set(xscale="log", xlabel=f"ms for a tile of {TILE} x {TILE} px", ylabel="F1, mean over held-out sources")
    axes.margins(x=0.25, y=0.15)
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Score and time the networks, draw the plot, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NAME|FILE")
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--cellpose", action="append", default=[], metavar="CHECKPOINT")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="SVG or PNG file")
    args = parser.parse_args()
    items = with_cells(args.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [file_of(network, folder) for network in args.networks]
        times = fastest([load_network(file, "cpu", threads=args.threads) for file in files], TILE, REPEATS)
        points: list[Record] = [
            {"name": named(file), "f1": mean_f1(items, [one.labels for one in segmented(items, file)]), "ms": 1000 * s}
            for file, s in zip(files, times, strict=True)
        ]
        points += [of_cellpose(items, checkpoint, args.threads, folder) for checkpoint in args.cellpose]
    if args.plot:
        draw(points, args.plot)
    record = {"threads": args.threads, "points": points}
    print(text(record))
    print(write_record("frontier", record))


if __name__ == "__main__":
    main()
