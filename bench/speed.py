"""End to end against cellpose 3.1: time and peak memory for one image, each engine in a process of its own.

    python -m bench.speed [--checkpoint CHECKPOINT.pt] [--side 256 2048]

Simulated images; the diameter given is the network's own, so both work at scale 1. Three runs for each:

* cellpose, full width: our checkpoint's network widened by channels that stay zero, as cellpose takes no other width;
* ours, full width: the same weights, exported from cellpose's format: the same sums, the like-for-like comparison;
* ours, half width: the network as it was trained and is delivered, which computes the same maps with less work.

cellpose runs in its own environment (FLOWMASK_CELLPOSE_PYTHON, .venv-cellpose by default). Imports and the loading of
the network are left out of the time, and of the memory too in the figures "above idle".
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import torch

from bench.agreement import CHECKPOINT, cellpose_state, widened
from bench.environments import cellpose_python
from bench.mosaic import mosaic
from bench.record import ROOT, print_table, write_record
from train.checkpoint import load

SMALL = 300
"""Height and width in px of the image that goes first."""
COLUMNS = {
    "side": "px",
    "cells": "cells",
    "seconds": "seconds",
    "times_faster": "times faster",
    "peak": "peak, MiB",
    "share_of_peak": "share of cellpose's",
    "above_idle": "above idle, MiB",
    "share_above_idle": "share of cellpose's",
}


def environment_of(python: str | Path) -> dict[str, str]:
    """Return the environment for a Python: without this one's packages and libraries where it is another."""
    own = {} if str(python) == sys.executable else {"PYTHONPATH", "LD_LIBRARY_PATH"}
    return {name: value for name, value in os.environ.items() if name not in own}


def measure(
    python: str | Path,
    engine: str,
    network: Path,
    folder: Path,
    diameter: float,
    device: str = "cpu",
    limit: float | None = None,
) -> dict[str, Any]:
    """Return what `bench/speed_side.py` measures of an engine with the images in ``folder``; ``limit`` in s."""
    images = {stem: str(folder / f"{stem}.png") for stem in ("small", "image")}
    job, output = folder / "job.json", folder / "figures.json"
    job.write_text(
        json.dumps({"network": str(network), "diameter": diameter, "device": device, "output": str(output), **images})
    )
    command = [python, "-m", "bench.speed_side", engine, job]
    subprocess.run(command, cwd=ROOT, check=True, timeout=limit, env=environment_of(python))
    return json.loads(output.read_text())  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="a checkpoint of train/ (three channels)")
    parser.add_argument("--side", type=int, nargs="+", default=[256, 2048], help="heights and widths of images in px")
    args = parser.parse_args()
    python = cellpose_python()
    network, extras = load(args.checkpoint)
    diameter = float(extras["about"]["mean_diameter"])  # type: ignore[index]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cv2.imwrite(str(folder / "small.png"), mosaic(SMALL, SMALL, diameter)[0])
        weights, full, half = folder / "cellpose_weights", folder / "full.onnx", folder / "half.onnx"
        torch.save(cellpose_state(widened(network), diameter), weights)
        for source, target in ((["--cellpose", weights], full), ([args.checkpoint.resolve()], half)):
            subprocess.run(
                [sys.executable, "-m", "export", *source, "-o", target], cwd=ROOT, stdout=sys.stderr, check=True
            )
        networks = {
            "cellpose, full width": (python, "cellpose", weights),
            "ours, full width": (sys.executable, "ours", full),
            "ours, half width": (sys.executable, "ours", half),
        }
        runs = []
        for side in args.side:
            cv2.imwrite(str(folder / "image.png"), mosaic(side, side, diameter)[0])
            runs += compared(
                {label: {"side": side, **measure(*how, folder, diameter)} for label, how in networks.items()}
            )
    print_table(["run", *COLUMNS.values()], [[run["run"], *(run[key] for key in COLUMNS)] for run in runs])
    print(write_record("speed", {"diameter": diameter, "runs": runs}))


def compared(runs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs with their names and their figures as shares of the first one's."""
    reference = next(iter(runs.values()))
    for label, run in runs.items():
        run["run"] = label
        run["above_idle"] = run["peak"] - run["idle"]
        run["times_faster"] = reference["seconds"] / run["seconds"]
        run["share_of_peak"] = run["peak"] / reference["peak"]
        run["share_above_idle"] = run["above_idle"] / (reference["peak"] - reference["idle"])
    return list(runs.values())


if __name__ == "__main__":
    main()
