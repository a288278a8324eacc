"""Speed of the flow dynamics (maps to labels), against cellpose 3.1 on the same maps and as images grow.

The maps are made from simulated labels. Both engines compute on the CPU with the same thresholds, including the check
of the flow error, and label a small crop before anything is timed. The large maps, 10,000 x 10,000 px, are the same
1,000 x 1,000 px again and again, of which 1,000 rows are in memory; cellpose does not get them.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from bench.cellpose import cellpose_python, run_task
from bench.images import mosaic
from bench.record import Record, table
from flowmask.families.flow.strip import label_rows
from flowmask.families.flow.targets import Flows, labels_to_flows
from flowmask.labels.labels import Labels
from flowmask.labels.metrics import matches
from flowmask.options import Segmentation

DIAMETER = 30
"""Of the simulated cells, in px: 3,000 x 3,000 px hold about 8,000."""
CROP, TEMPLATE, LARGE = 300, 1000, 10_000
"""Sides in px of the maps that run first, of the repeated ones and of the large ones."""
ROWS = 50
"""Rows of maps that are handed over at a time, about as many as in the pipeline."""
PATCH = 1000
IOU = 0.9
OPTIONS = Segmentation(flow_threshold=0.4, min_size=15)
LOGIT = 6.0
NOISE = 0.25
"""Standard deviation of the noise on each of the three maps (flows have length 5)."""
ROUGHNESS = 0.1
"""Standard deviation of a slowly varying factor on the maps: flows are too short here and too long there."""
HEADER = ("dynamics", "side, px", "cells", "seconds", "CPU seconds", "ns per px")


def network_like(labels: Labels, seed: int = 0) -> Flows:
    """Return maps (3, Y, X) float32 as a good network might give them for labels (Y, X) int32.

    True flows times 5, and a logit of +-`LOGIT` with smooth edges, both with noise and a varying factor.
    """
    rng = np.random.default_rng(seed)
    height, width = labels.shape
    logit = cv2.GaussianBlur(np.where(labels > 0, LOGIT, -LOGIT).astype(np.float32), (0, 0), 1)
    maps = np.concatenate([5 * labels_to_flows(labels), logit[None]])
    coarse = rng.standard_normal((height // 100 + 2, width // 100 + 2), np.float32)
    maps *= 1 + ROUGHNESS * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    maps += NOISE * rng.standard_normal(maps.shape, np.float32)
    return maps


def in_parts(template: Flows, height: int) -> Iterator[Flows]:
    """Yield maps (channels, n, X) of ``height`` rows in all: those of the template, again and again."""
    for top in range(0, height, ROWS):
        first = top % template.shape[1]
        yield template[:, first : first + min(ROWS, height - top)]


def rows_of_labels(template: Flows, height: int) -> Iterator[Labels]:
    """Yield the rows of Flowmask's labels (n, X) for maps of ``height`` rows."""
    shape = (height, template.shape[2])
    return label_rows(in_parts(template, height), shape, shape, OPTIONS)


def time_ours(template: Flows, height: int, repeats: int) -> tuple[int, float, float]:
    """Return cells, seconds and CPU seconds of Flowmask for ``height`` rows of maps; the times are medians."""
    times = []
    for _ in range(repeats):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        cells = max(int(rows.max(initial=0)) for rows in rows_of_labels(template, height))
        times.append((time.perf_counter() - begun, time.process_time() - begun_cpu))
    seconds, cpu = np.median(times, axis=0)
    return cells, float(seconds), float(cpu)


def time_cellpose(maps: Flows) -> tuple[Labels, float, float]:
    """Return labels (Y, X), seconds and CPU seconds of cellpose's dynamics."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "maps.npy", maps)
        run_task(cellpose_python(), "dynamics", {"maps": str(folder / "maps.npy"), "crop": CROP}, folder)
        seconds, cpu = json.loads((folder / "seconds.json").read_text())
        return np.load(folder / "labels.npy"), seconds, cpu


def f1_by_patches(reference: Labels, labels: Labels) -> float:
    """Return the F1 at `IOU`, counted over patches, at whose borders the cells of both are cut.

    >>> labels = np.zeros((20, 20), np.int32)
    >>> labels[2:8, 2:8] = 1
    >>> f1_by_patches(labels, labels)
    1.0
    """
    counts = np.zeros(3, np.int64)
    for top in range(0, labels.shape[0], PATCH):
        for left in range(0, labels.shape[1], PATCH):
            window = np.s_[top : top + PATCH, left : left + PATCH]
            counts += matches(reference[window], labels[window], IOU)
    return float(2 * counts[0] / (counts[1] + counts[2]))


def measured(side: int, repeats: int, large: bool) -> Record:
    """Return the figures of both engines on maps of ``side`` x ``side`` px, and of Flowmask as images grow."""
    maps = network_like(mosaic(side, side, DIAMETER)[1])
    template = network_like(mosaic(TEMPLATE, TEMPLATE, DIAMETER)[1])
    time_ours(np.ascontiguousarray(maps[:, :CROP, :CROP]), CROP, 1)
    runs = [("Flowmask", side, *time_ours(maps, side, repeats))]
    ours = np.concatenate(list(rows_of_labels(maps, side)))
    theirs, seconds, cpu = time_cellpose(maps)
    runs.append(("cellpose", side, int(theirs.max()), seconds, cpu))
    for length in (TEMPLATE, LARGE) if large else (TEMPLATE,):
        wide = np.tile(template, (1, 1, length // TEMPLATE))
        runs.append(("Flowmask", length, *time_ours(wide, length, 1 if length == LARGE else repeats)))
    per_pixel = [1e9 * run[3] / run[1] ** 2 for run in runs]
    return {
        "runs": [dict(zip(HEADER, (*run, ns), strict=True)) for run, ns in zip(runs, per_pixel, strict=True)],
        "times_faster": runs[1][3] / runs[0][3],
        "times_less_cpu": runs[1][4] / runs[0][4],
        "f1": f1_by_patches(theirs, ours),
        "ns_per_px_large_over_small": per_pixel[3] / per_pixel[2] if large else None,
    }


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    faster, cpu = record["times_faster"], record["times_less_cpu"]
    lines = [
        f"Flowmask: {faster:.1f} times faster, {cpu:.1f} times less CPU time",
        f"F1 of Flowmask's labels against cellpose's at IoU {IOU}: {record['f1']:.4f}",
    ]
    if record["ns_per_px_large_over_small"] is not None:
        lines.append(f"ns per px, {LARGE:,} px over {TEMPLATE:,} px: {record['ns_per_px_large_over_small']:.2f}")
    rows = [[run[column] for column in HEADER] for run in record["runs"]]
    return table(HEADER, rows) + "\n\n" + "  \n".join(lines)
