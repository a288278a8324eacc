"""Same weights, two engines: labels and time of cellpose 3.1 and of ours on the same real images.

    python -m bench.agreement --data ../shared/data [--checkpoint CHECKPOINT.pt] [--images 32]

The checkpoint is written in cellpose's own format, exported from there with `python -m export --cellpose`, and
loaded by the `cellpose` package in its own environment (FLOWMASK_CELLPOSE_PYTHON, .venv-cellpose by default).
Both get the same image, the true diameter and the default thresholds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import chain, islice, zip_longest
from pathlib import Path
from random import Random

import numpy as np
import torch
from flowmask.api import load_network
from flowmask.images.image import open_image
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import f1
from flowmask.options import Settings
from flowmask.pipeline import segment_image

from bench.environments import cellpose_python
from bench.record import ROOT, print_table, write_record
from train.checkpoint import load
from train.families.flow.network import FULL, FlowNetwork
from train.data.readers import Item, read_labels, read_shared

MIN_CELLS = 5
THRESHOLDS = (0.5, 0.75, 0.9)
CHECKPOINT = ROOT / "models" / "cyto-small.pt"


def widened(network: FlowNetwork) -> FlowNetwork:
    """Return the full-width network that computes the same maps: further channels that stay zero.

    cellpose's own pipeline takes no other width.
    """
    wide = FlowNetwork(network.channels, FULL)
    state = {key: torch.zeros_like(value) for key, value in wide.state_dict().items()}
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            state[key] += 1
        state[key][tuple(slice(0, size) for size in value.shape)] = value
    wide.load_state_dict(state)
    return wide.eval()


def cellpose_state(network: FlowNetwork, diameter: float) -> dict[str, torch.Tensor]:
    """Return the weights under the names and in the shapes of cellpose 3.1's state dict."""
    state = {"diam_mean": torch.tensor([diameter]), "diam_labels": torch.tensor([diameter])}
    for key, value in network.state_dict().items():
        side, level, part, *rest = key.split(".")
        if side == "output":
            state[key] = value
        elif part == "proj":
            state[f"{side}sample.{side}.res_{side}_{level}.proj.{'.'.join(rest)}"] = value
        elif part == "style":
            name = f"upsample.up.res_up_{level}.conv.conv_{int(rest[0]) + 1}.full.{rest[1]}"
            state[name] = value[:, :, 0, 0] if rest[1] == "weight" else value
        else:
            inner = "conv." if side == "up" and rest[0] != "0" else ""
            name = f"{side}sample.{side}.res_{side}_{level}.conv.conv_{rest[0]}.{inner}{'.'.join(rest[1:])}"
            state[name] = value
    return state


def choose(items: list[Item], count: int) -> list[Item]:
    """Return ``count`` images with five cells or more: one of each source after the other, in a shuffled order."""
    sources: dict[str, list[Item]] = {}
    for item in items:
        sources.setdefault(item.source, []).append(item)
    for few in sources.values():
        Random(0).shuffle(few)
    turns = chain.from_iterable(zip_longest(*sources.values()))
    usable = (item for item in turns if item and read_labels(item.labels).max() >= MIN_CELLS)
    return list(islice(usable, count))


def run_cellpose(python: Path, weights: Path, jobs: list[dict[str, object]], folder: Path) -> None:
    """Have the cellpose environment segment the jobs; see `bench/cellpose_side.py` for what it writes."""
    job = folder / "job.json"
    job.write_text(json.dumps({"weights": str(weights), "images": jobs, "output": str(folder)}))
    subprocess.run([python, ROOT / "bench" / "cellpose_side.py", job], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="a checkpoint of train/ (three channels)")
    parser.add_argument("--images", type=int, default=32)
    args = parser.parse_args()
    python = cellpose_python()
    network, extras = load(args.checkpoint)
    diameter = float(extras["about"]["mean_diameter"])  # type: ignore[index]
    items = choose(read_shared(args.data), args.images)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, onnx = folder / "cellpose_weights", folder / "same.onnx"
        torch.save(cellpose_state(widened(network), diameter), weights)
        export = [sys.executable, "-m", "export", "--cellpose", weights, "-o", onnx]
        subprocess.run(export, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        diameters = [median_diameter(read_labels(item.labels)) for item in items]
        jobs = [{"path": str(item.image), "diameter": d} for item, d in zip(items, diameters, strict=True)]
        run_cellpose(python, weights, jobs, folder)
        theirs = np.load(folder / "labels.npz")
        seconds = json.loads((folder / "seconds.json").read_text())
        engine = load_network(onnx)
        segment_image(open_image(items[0].image), engine, Settings(diameter=diameters[0]))
        rows, agreements, times = [], [], []
        for index, item in enumerate(items):
            begun = time.perf_counter()
            ours = segment_image(open_image(item.image), engine, Settings(diameter=diameters[index]))
            times.append(time.perf_counter() - begun)
            reference = theirs[str(index)].astype(np.int32)
            agreements.append([f1(reference, ours.labels, t) for t in THRESHOLDS])
            rows.append([item.name, int(reference.max()), ours.cells, *agreements[-1], seconds[index], times[-1]])
    header = ["image", "cells, cellpose", "cells, ours", *(f"F1 at {t}" for t in THRESHOLDS), "s, cellpose", "s, ours"]
    mean = [float(m) for m in np.mean(agreements, axis=0)]
    rows.append(["mean", "", "", *mean, float(np.mean(seconds)), float(np.mean(times))])
    print_table(header, rows)
    ratio = sum(seconds) / sum(times)
    print(f"ours takes 1/{ratio:.2f} of cellpose's time on these {len(items)} images")
    figures = {"images": [dict(zip(header, row, strict=True)) for row in rows], "time_ratio": ratio}
    print(write_record("agreement", figures))


if __name__ == "__main__":
    main()
