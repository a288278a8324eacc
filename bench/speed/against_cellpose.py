"""Flowmask against cellpose 3.1: time and memory of one image, labels of real images, speed of the flow dynamics.

    python -m bench.speed.against_cellpose --data DATA [--only image labels dynamics]
        [--checkpoint CHECKPOINT.pt] [--large]

cellpose runs in its own environment (FLOWMASK_CELLPOSE_PYTHON, .venv-cellpose by default), each engine in a process of
its own.

* image: simulated images of --side px; the diameter given is the network's own, so both engines work at scale 1. The
  time excludes imports and the loading of the network; so does the memory "above idle". Three runs for each size:
  cellpose with the weights of --checkpoint, a half-width network of ours, widened by channels that stay zero, as
  cellpose takes no other width; Flowmask with the same widened weights, which is the like-for-like comparison; and
  Flowmask with its default network, which cellpose cannot run. `python -m infer.kernels.build` beforehand gives the
  memory of the container, which does not load Numba.
* labels: agreement of the labels on --images real images, see `bench.speed.agreement`.
* dynamics: maps of --maps-side px into labels, see `bench.speed.dynamics`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import cv2

from bench.cellpose import CHECKPOINT, cellpose_python, export_same, run_task
from bench.images import mosaic
from bench.record import Record, named, table, write_record
from bench.speed import agreement, dynamics
from flowmask.kernels.compiled import AHEAD
from flowmask.network.registry import default_network

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
    "share_of_peak": "peak / cellpose's",
    "above_idle": "above idle, MiB",
    "share_above_idle": "above idle / cellpose's",
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
    """Return the runs with their ratios to the first one, which is cellpose's.

    >>> first, second = {"seconds": 10, "peak": 1000, "idle": 500}, {"seconds": 2, "peak": 300, "idle": 200}
    >>> row = compared({"cellpose": first, "Flowmask": second})[1]
    >>> row["times_faster"], row["share_of_peak"], row["share_above_idle"]
    (5.0, 0.3, 0.2)
    """
    first = next(iter(runs.values()))
    idle = first["peak"] - first["idle"]
    rows = []
    for label, run in runs.items():
        above = run["peak"] - run["idle"]
        ratios = {"times_faster": first["seconds"] / run["seconds"], "share_of_peak": run["peak"] / first["peak"]}
        rows.append({"run": label, **run, **ratios, "above_idle": above, "share_above_idle": above / idle})
    return rows


def measure_image(args: argparse.Namespace) -> Record:
    """Return the figures of both engines for simulated images of each side in px."""
    runs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, full, diameter = export_same(args.checkpoint, folder)
        engines: dict[str, Engine] = {
            "cellpose": (cellpose_python(), "cellpose", weights),
            "Flowmask, same weights": (sys.executable, "ours", full),
            "Flowmask, its default network": (sys.executable, "ours", default_network()),
        }
        cv2.imwrite(str(folder / "small.png"), mosaic(SMALL, SMALL, diameter)[0])
        for side in args.side:
            cv2.imwrite(str(folder / "image.png"), mosaic(side, side, diameter)[0])
            figures = {label: {"side": side, **measure(engine, folder, diameter)} for label, engine in engines.items()}
            runs += compared(figures)
    kernels = "compiled ahead, as in the container" if AHEAD else "compiled by Numba, which stays in memory"
    return {"default": named(default_network()), "kernels": kernels, "diameter": diameter, "runs": runs}


def image_text(figures: Record) -> str:
    """Return the table of `measure_image` as Markdown."""
    rows = [[run[key] for key in COLUMNS] for run in figures["runs"]]
    notes = f"Default network: {figures['default']}. Flowmask's kernels: {figures['kernels']}."
    return f"{table(list(COLUMNS.values()), rows)}\n\n{notes}"


def measure_labels(args: argparse.Namespace) -> Record:
    """Return the agreement of the labels of real images."""
    return agreement.measured(args.data, args.images, args.checkpoint)


def measure_dynamics(args: argparse.Namespace) -> Record:
    """Return the speed of the flow dynamics."""
    return dynamics.measured(args.maps_side, args.repeats, args.large)


PARTS = {
    "image": ("Time and memory of one image", measure_image, image_text),
    "labels": ("Agreement of the labels, same weights", measure_labels, agreement.text),
    "dynamics": ("Speed of the flow dynamics", measure_dynamics, dynamics.text),
}


def text(record: Record) -> str:
    """Return the tables of a record as Markdown, a section for each part."""
    parts = ((title, show, record[part]) for part, (title, _, show) in PARTS.items() if part in record)
    return "\n\n".join(f"### {title}\n\n{show(figures)}" for title, show, figures in parts)


def main() -> None:
    """Measure the parts, print the tables and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with one folder for each source, for the part labels")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="the parts; default: all")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="a checkpoint of train/ (three channels)")
    parser.add_argument("--side", type=int, nargs="+", default=[256, 2048], help="heights and widths of images in px")
    parser.add_argument("--images", type=int, default=32, help="real images for the part labels")
    parser.add_argument("--maps-side", type=int, default=3000, help="height and width in px of the maps for dynamics")
    parser.add_argument("--repeats", type=int, default=3, help="runs of Flowmask's dynamics; the median counts")
    parser.add_argument("--large", action="store_true", help="dynamics: also 10,000 x 10,000 px, without cellpose")
    args = parser.parse_args()
    if args.data is None and "labels" in args.only:
        parser.error("--data is missing; the part labels needs it")
    figures = {part: PARTS[part][1](args) for part in args.only}
    print(text(figures))
    print(write_record("against_cellpose", figures))


if __name__ == "__main__":
    main()
