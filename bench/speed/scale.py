"""Time and memory of Flowmask over the area of an image whose windows are computed when they are read.

    python -m bench.speed.scale --height 1000 4000 16000 [--width 1000] [--model NAME] [--threads 2] [--seed 0]

Each height is a process of its own with the Python interface (`flowmask.segment_rows`), which hands over finished rows
of labels; they go into the engine's store of labels, a temporary file. So neither the image nor its labels are ever in
memory. The image is a simulated slide. The processor time for computing its windows is the simulator's, and is shown
beside that of the process. For a given width the time of a pixel and the memory should stay the same: the last columns
are both over those of the first height. "Idle" includes the plan from which the simulator computes windows; it is
small, but grows with the area.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.record import ROOT, Record, named, table, write_record
from bench.resident import forget_peak, peak, resident
from bench.speed.peers import processor
from flowmask.api import load_network, segment_rows
from flowmask.images.memmap import Pixels
from flowmask.images.metadata import ImageInfo
from flowmask.labels.store import LabelStore
from flowmask.network.registry import default_network, find_network
from train.simulate.slide import SlideWindows
from train.simulate.slide_plan import DIAMETER

IDLE = 64
"""Height and width in px of the image that runs first."""
MIB = 2**20 / 1e6
COLUMNS = {
    "megapixels": "Mpx",
    "shape": "height x width, px",
    "cells": "cells",
    "seconds": "seconds",
    "cpu_seconds": "processor s",
    "simulator_seconds": "of them simulator",
    "idle_mb": "idle, MB",
    "above_idle_mb": "above idle, MB",
    "time_ratio": "engine's processor time per px / first",
    "memory_ratio": "above idle / first",
}


class Simulated:
    """A simulated slide as an image (3, Y, X) of `flowmask.images.image.Image`; ``seconds``: its processor time."""

    def __init__(self, shape: tuple[int, int], seed: int) -> None:
        self._windows = SlideWindows(shape, seed)
        self.shape = (3, *shape)
        self.dtype: np.dtype[np.generic] = np.dtype(np.uint8)
        self.info = ImageInfo("simulated")
        self.seconds = 0.0

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (3, bottom - top, right - left) uint8."""
        begun = time.thread_time()
        window = np.moveaxis(self._windows.read(top, left, bottom, right)[0], 2, 0)
        self.seconds += time.thread_time() - begun
        return window


def segment(job: Record) -> Record:
    """Segment one simulated slide; return seconds, cpu_seconds, simulator_seconds, cells, idle_mb, above_idle_mb."""
    network = load_network(job["model"], "cpu", job["threads"])

    def run(image: Simulated) -> int:
        with tempfile.TemporaryDirectory() as folder, LabelStore(Path(folder), image.shape[1:]) as store:
            for rows in segment_rows(image, network, diameter=job["diameter"]):
                store.append(rows)
            return store.cells

    run(Simulated((IDLE, IDLE), job["seed"]))
    image = Simulated((job["height"], job["width"]), job["seed"])
    idle = resident() * MIB
    forget_peak()
    begun, begun_cpu = time.perf_counter(), time.process_time()
    cells = run(image)
    return {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - begun_cpu,
        "simulator_seconds": image.seconds,
        "cells": cells,
        "idle_mb": idle,
        "above_idle_mb": peak() * MIB - idle,
    }


def measured(job: Record) -> Record:
    """Return the figures of a height, measured in a process of its own."""
    command = [sys.executable, "-m", "bench.speed.scale", "--job", json.dumps(job)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    shape = {"height": job["height"], "width": job["width"]}
    figures: Record = shape | json.loads(done.stdout.splitlines()[-1])
    return figures


def with_ratios(runs: list[Record]) -> list[Record]:
    """Return the runs with the area, and with time of a pixel and memory over those of the first."""
    costs = [(run["cpu_seconds"] - run["simulator_seconds"]) / (run["height"] * run["width"]) for run in runs]
    return [
        run
        | {
            "megapixels": run["height"] * run["width"] / 1e6,
            "time_ratio": cost / costs[0],
            "memory_ratio": run["above_idle_mb"] / runs[0]["above_idle_mb"],
        }
        for run, cost in zip(runs, costs, strict=True)
    ]


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    rows = []
    for run in with_ratios(record["runs"]):
        shown = run | {"shape": f"{run['height']:,} x {run['width']:,}"}
        cells = (shown[name] for name in COLUMNS)
        rows.append([one if isinstance(one, str) else f"{one:,.2f}" if one < 10 else f"{one:,.0f}" for one in cells])
    notes = f"{record['model']}, {record['threads']} threads, diameter {record['diameter']:g} px. {record['hardware']}."
    return f"{table(list(COLUMNS.values()), rows)}\n\n{notes}"


def main() -> None:
    """Measure each height, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, nargs="+", default=[1000, 4000], help="px")
    parser.add_argument("--width", type=int, default=1000, help="px")
    parser.add_argument("--model", type=find_network, default=default_network())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(segment(args.job)))
        return
    job = {"model": str(args.model.resolve()), "width": args.width, "threads": args.threads, "seed": args.seed}
    job |= {"diameter": DIAMETER}
    record = {"hardware": processor(), **job, "model": named(args.model), "runs": []}
    for height in args.height:
        record["runs"].append(measured(job | {"height": height}))
        path = write_record("scale", record)
        print(text(record), flush=True)
    print(path)


if __name__ == "__main__":
    main()
