"""Maps to labels: our dynamics against cellpose 3.1's on the same maps, and our time per pixel as images grow.

    python -m bench.dynamics [--side 3000] [--large]

The maps are made from simulated labels. Both engines compute on the CPU with the same thresholds, flow-error check
included, and label a small crop before anything is timed. cellpose runs in its own environment
(FLOWMASK_CELLPOSE_PYTHON, .venv-cellpose by default). --large labels 10,000 x 10,000 px too, made of one and the
same 1,000 x 1,000 px, of which 1,000 rows are held.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from flowmask.families.flow.strip import label_rows
from flowmask.families.flow.targets import Flows
from flowmask.labels.labels import Labels
from flowmask.labels.metrics import matches
from flowmask.options import Settings

from bench.environments import cellpose_python
from bench.mosaic import mosaic, network_like
from bench.record import ROOT, print_table, write_record

DIAMETER = 30
"""Of the simulated cells, in px: 3,000 x 3,000 px hold about 8,000."""
CROP, TEMPLATE, LARGE = 300, 1000, 10_000
ROWS = 50
"""Rows of maps that are handed over at a time, about as many as in the pipeline."""
PATCH = 1000
IOU = 0.9
SETTINGS = Settings(flow_threshold=0.4, min_size=15)


def parts(template: Flows, height: int) -> Iterator[Flows]:
    """Yield maps (3, n, X) of ``height`` rows: the template's, over and over."""
    for top in range(0, height, ROWS):
        first = top % template.shape[1]
        yield template[:, first : first + min(ROWS, height - top)]


def rows_of_labels(template: Flows, height: int) -> Iterator[Labels]:
    """Yield the rows of our labels (n, X) for maps of ``height`` rows."""
    shape = (height, template.shape[2])
    return label_rows(parts(template, height), shape, shape, SETTINGS)


def time_ours(template: Flows, height: int, repeats: int) -> tuple[int, float, float]:
    """Return cells, seconds and CPU seconds of our dynamics for ``height`` rows of maps, the times as medians."""
    times = []
    for _ in range(repeats):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        cells = max(int(rows.max(initial=0)) for rows in rows_of_labels(template, height))
        times.append((time.perf_counter() - begun, time.process_time() - begun_cpu))
    seconds, cpu = np.median(times, axis=0)
    return cells, float(seconds), float(cpu)


def run_cellpose(maps: Flows) -> tuple[Labels, float, float]:
    """Return labels, seconds and CPU seconds of cellpose's dynamics, from its own environment."""
    python = cellpose_python()
    with tempfile.TemporaryDirectory() as folder:
        given, job = Path(folder, "maps.npy"), Path(folder, "job.json")
        np.save(given, maps)
        job.write_text(json.dumps({"maps": str(given), "crop": CROP, "output": folder}))
        subprocess.run([python, ROOT / "bench" / "dynamics_side.py", job], check=True)
        seconds, cpu = json.loads(Path(folder, "seconds.json").read_text())
        return np.load(Path(folder, "labels.npy")), seconds, cpu


def f1_by_patches(reference: Labels, labels: Labels) -> float:
    """Return the F1 at `IOU`, counted over patches, at whose borders both are cut."""
    counts = np.zeros(3, np.int64)
    for top in range(0, labels.shape[0], PATCH):
        for left in range(0, labels.shape[1], PATCH):
            window = np.s_[top : top + PATCH, left : left + PATCH]
            counts += matches(reference[window], labels[window], IOU)
    return float(2 * counts[0] / (counts[1] + counts[2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=3000, help="height and width in px of the maps for both engines")
    parser.add_argument("--repeats", type=int, default=3, help="runs of ours, of which the median counts")
    parser.add_argument("--large", action="store_true", help=f"label {LARGE:,} x {LARGE:,} px too, ours alone, once")
    args = parser.parse_args()
    maps = network_like(mosaic(args.side, args.side, DIAMETER)[1])
    template = network_like(mosaic(TEMPLATE, TEMPLATE, DIAMETER)[1])
    time_ours(np.ascontiguousarray(maps[:, :CROP, :CROP]), CROP, 1)
    runs = [("ours", args.side, *time_ours(maps, args.side, args.repeats))]
    ours = np.concatenate(list(rows_of_labels(maps, args.side)))
    theirs, *times = run_cellpose(maps)
    runs.append(("cellpose", args.side, int(theirs.max()), *times))
    for side in (TEMPLATE, LARGE) if args.large else (TEMPLATE,):
        wide = np.tile(template, (1, 1, side // TEMPLATE))
        runs.append(("ours", side, *time_ours(wide, side, 1 if side == LARGE else args.repeats)))
    header = ["dynamics", "side, px", "cells", "seconds", "CPU seconds", "ns per px"]
    rows = [[*run, 1e9 * run[3] / run[1] ** 2] for run in runs]
    print_table(header, rows)
    figures = {
        "runs": [dict(zip(header, row, strict=True)) for row in rows],
        "times_faster": rows[1][3] / rows[0][3],
        "times_less_cpu": rows[1][4] / rows[0][4],
        "f1": f1_by_patches(theirs, ours),
        "ns_per_px_large_over_small": rows[3][-1] / rows[2][-1] if args.large else None,
    }
    print(f"ours: {figures['times_faster']:.1f} times faster, {figures['times_less_cpu']:.1f} times less CPU time")
    print(f"F1 of ours against cellpose at IoU {IOU}: {figures['f1']:.4f}")
    if args.large:
        print(f"ns per px, {LARGE:,} px over {TEMPLATE:,} px: {figures['ns_per_px_large_over_small']:.2f}")
    print(write_record("dynamics", figures))


if __name__ == "__main__":
    main()
