"""Time and peak memory of one image against cellpose 3.1; each engine runs in a process of its own.

    python -m bench.speed.against_cellpose [--checkpoint CHECKPOINT.pt] [--side 256 2048]

Simulated images; the diameter given is the network's own, so both engines work at scale 1. Three runs for each size:

* cellpose, full width: our network, widened by channels that stay zero, as cellpose takes no other width;
* Flowmask, full width: the same weights, exported from cellpose's format: the like-for-like comparison;
* Flowmask, as it ships: the network at its own width, which computes the same maps with less work.

cellpose runs in its own environment (FLOWMASK_CELLPOSE_PYTHON, .venv-cellpose by default). The time excludes imports
and the loading of the network; so does the memory "above idle".
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

from bench.cellpose import CHECKPOINT, cellpose_python, run_task, write_cellpose_weights
from bench.images import mosaic
from bench.record import ROOT, Record, table, write_record

SMALL = 300
"""Height and width in px of the image that runs first."""
Engine = tuple[str | Path, str, Path]
"""Python, engine (ours or cellpose) and network file."""
COLUMNS = {
    "run": "run",
    "side": "px",
    "cells": "cells",
    "seconds": "seconds",
    "times_faster": "times faster",
    "peak": "peak, MiB",
    "share_of_peak": "share of cellpose's",
    "above_idle": "above idle, MiB",
    "share_above_idle": "share of cellpose's",
}


def measure(engine: Engine, folder: Path, diameter: float, device: str = "cpu", limit: float | None = None) -> Record:
    """Return the seconds, cells, idle and peak memory (MiB) of an engine on ``folder``/image.png.

    diameter: of the cells, in px. limit: seconds. ``folder`` also holds small.png, which runs first.
    """
    python, name, network = engine
    images = {stem: str(folder / f"{stem}.png") for stem in ("small", "image")}
    job = {"engine": name, "network": str(network), "diameter": diameter, "device": device, **images}
    run_task(python, "measure", job, folder, limit)
    return json.loads((folder / "figures.json").read_text())  # type: ignore[no-any-return]


def compared(runs: dict[str, Record]) -> list[Record]:
    """Return the runs with their ratios to the first one, which is cellpose's."""
    first = next(iter(runs.values()))
    idle = first["peak"] - first["idle"]
    rows = []
    for label, run in runs.items():
        above = run["peak"] - run["idle"]
        ratios = {"times_faster": first["seconds"] / run["seconds"], "share_of_peak": run["peak"] / first["peak"]}
        rows.append({"run": label, **run, **ratios, "above_idle": above, "share_above_idle": above / idle})
    return rows


def measured(checkpoint: Path, sides: list[int]) -> Record:
    """Return the figures of both engines for images of these sides in px."""
    runs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, full, own = folder / "cellpose_weights", folder / "full.onnx", folder / "own.onnx"
        diameter = write_cellpose_weights(checkpoint, weights)
        for source, target in ((["--cellpose", weights], full), ([checkpoint.resolve()], own)):
            export = [sys.executable, "-m", "export", *map(str, source), "-o", str(target)]
            subprocess.run(export, cwd=ROOT, stdout=sys.stderr, check=True)
        engines: dict[str, Engine] = {
            "cellpose, full width": (cellpose_python(), "cellpose", weights),
            "Flowmask, full width": (sys.executable, "ours", full),
            "Flowmask, as it ships": (sys.executable, "ours", own),
        }
        cv2.imwrite(str(folder / "small.png"), mosaic(SMALL, SMALL, diameter)[0])
        for side in sides:
            cv2.imwrite(str(folder / "image.png"), mosaic(side, side, diameter)[0])
            figures = {label: {"side": side, **measure(engine, folder, diameter)} for label, engine in engines.items()}
            runs += compared(figures)
    return {"diameter": diameter, "runs": runs}


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    return table(list(COLUMNS.values()), [[run[key] for key in COLUMNS] for run in record["runs"]])


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="a checkpoint of train/ (three channels)")
    parser.add_argument("--side", type=int, nargs="+", default=[256, 2048], help="heights and widths of images in px")
    args = parser.parse_args()
    figures = measured(args.checkpoint, args.side)
    print(text(figures))
    print(write_record("against_cellpose", figures))


if __name__ == "__main__":
    main()
