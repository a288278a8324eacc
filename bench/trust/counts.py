"""More cells than int16 can count, through predict.sh and the challenge's scoring.

    python -m bench.trust.counts [--cells 40000 200000]

Bright discs on a dark ground, none of them hidden, so that every cell can be found. The int16 file, in which ids are
used again, must score like the int32 file by the challenge's rules (patches of 2,000 px from 25 Mpx on, labels as
int16), and the int32 file must hold as many ids as cells were reported.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from bench.record import ROOT, Record, table, write_record
from flowmask.labels.labels import Labels
from flowmask.labels.metrics import f1_challenge
from flowmask.labels.paths import FULL_SUFFIX, LABEL_SUFFIX

PITCH, DIAMETER = 26, 18
"""Distance of the cells' places and mean diameter in px; 40,000 cells take 27 Mpx."""
JITTER = 3
BLUR = 3.0
"""Standard deviation in px of the blur; the default network ignores flat discs with sharp edges."""
FOUND = 0.99
"""Least share of the drawn cells that must be found, so that the other checks mean something."""
NAME = "slide"


def discs(cells: int, seed: int = 0) -> tuple[npt.NDArray[np.uint8], Labels]:
    """Return an image (Y, X) uint8 of at least so many discs and their labels (Y, X) int32."""
    across = int(np.ceil(np.sqrt(cells)))
    rng = np.random.default_rng(seed)
    labels = np.zeros((across * PITCH, across * PITCH), np.int32)
    places = np.moveaxis(np.mgrid[:across, :across], 0, -1).reshape(-1, 2)[:, ::-1] * PITCH + PITCH // 2
    places += rng.integers(-JITTER, JITTER + 1, places.shape)
    radii = DIAMETER // 2 + rng.integers(-1, 2, len(places))
    for number, ((x, y), radius) in enumerate(zip(places.tolist(), radii.tolist(), strict=True), 1):
        cv2.circle(labels, (x, y), radius, number, -1)
    bright = rng.integers(110, 200, len(places) + 1, dtype=np.uint8)
    bright[0] = 20
    image = cv2.GaussianBlur(bright[labels], (0, 0), BLUR)
    noise: npt.NDArray[np.uint8] = rng.integers(0, 12, labels.shape, dtype=np.uint8)
    return cv2.add(image, noise).astype(np.uint8), labels


def measure(cells: int) -> Record:
    """Segment an image with ``cells`` cells with predict.sh and return the counts and scores."""
    image, truth = discs(cells)
    with tempfile.TemporaryDirectory() as name:
        inputs, outputs = Path(name, "inputs"), Path(name, "outputs")
        inputs.mkdir()
        tifffile.imwrite(inputs / f"{NAME}.tiff", image, compression="zlib")
        begun = time.perf_counter()
        command = ["sh", str(ROOT / "predict.sh"), str(inputs), str(outputs), "--diameter", str(DIAMETER)]
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        seconds = time.perf_counter() - begun
        reused = tifffile.imread(outputs / f"{NAME}{LABEL_SUFFIX}")
        full_file = outputs / f"{NAME}{FULL_SUFFIX}"
        full = tifffile.imread(full_file) if full_file.exists() else reused
    match = re.search(r": (\d+) cells", done.stdout)
    if match is None:
        raise ValueError(f"the command line reported no number of cells: {done.stdout!r}")
    return {
        "megapixels": image.size / 1e6,
        "cells drawn": int(truth.max()),
        "cells reported": int(match[1]),
        "ids, int32 file": len(np.unique(full[full > 0])),
        "F1, int32 file": f1_challenge(truth, full),
        "label file": str(reused.dtype),
        "F1, label file": f1_challenge(truth, reused),
        "seconds": seconds,
    }


def text(record: Record) -> str:
    """Return the table of a record as Markdown.

    >>> print(text({"runs": [{"cells": 9, "F1": 0.5}]}))
    | cells | F1    |
    | ----- | ----- |
    | 9     | 0.500 |
    """
    runs = record["runs"]
    return table(list(runs[0]), [list(run.values()) for run in runs])


def main() -> None:
    """Measure, print the table and write the record; ends with an error if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[40_000, 200_000])
    runs = [measure(cells) for cells in parser.parse_args().cells]
    print(text({"runs": runs}))
    print(write_record("counts", {"runs": runs}))
    for run in runs:
        if run["cells reported"] < FOUND * run["cells drawn"]:
            raise SystemExit("too few of the drawn cells were found")
        if run["ids, int32 file"] != run["cells reported"] or run["F1, label file"] != run["F1, int32 file"]:
            raise SystemExit("the label file does not score like the int32 file, or the int32 file lacks a cell")


if __name__ == "__main__":
    main()
