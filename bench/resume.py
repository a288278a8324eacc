"""Check 6 of whole slides: kill -9 at random moments, then --resume: the same labels, and never a part of them.

    python -m bench.resume [--size 2000] [--kills 10] [--seed 0]

One run without --resume says what is right; each other one begins in an empty folder, is killed at a moment drawn
evenly between the start of its work on the slide and the end of the run, and is started again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import tifffile
from flowmask.labels.paths import label_path, maps_path

from bench.record import ROOT, print_table, write_record
from train.simulate import simulate

DIAMETER = 26
POLL = 0.002


def command(image: Path, output: Path, *options: str) -> list[str | Path]:
    return [sys.executable, "-m", "infer", "-i", image, "-o", output, "--diameter", str(DIAMETER), *options]


def start(image: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start a run and return once it works on the slide; raises RuntimeError when it ends before."""
    maps = maps_path(label_path(output, image.name))
    running = subprocess.Popen(command(image, output, "--resume"), cwd=ROOT, stdout=subprocess.DEVNULL)
    while not maps.exists():
        if running.poll() is not None:
            raise RuntimeError(f"the run ended with exit code {running.returncode} before it began with the slide")
        time.sleep(POLL)
    return running


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def kill_and_resume(image: Path, moment: float, expected: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """Kill a run ``moment`` seconds after it began with the slide and resume it; None where it was done before."""
    with tempfile.TemporaryDirectory() as name:
        output = Path(name)
        target = label_path(output, image.name)
        maps = maps_path(target)
        running = start(image, output)
        time.sleep(moment)
        running.kill()
        if running.wait() == 0:
            return None
        found = sorted(path.name for path in output.iterdir())
        there = whole(target, expected) if target.exists() else None
        kept = maps.stat().st_size if maps.exists() else 0
        seconds = timed(lambda: subprocess.run(command(image, output, "--resume"), cwd=ROOT, check=True))
        return {
            "killed at, s": moment,
            "found": " ".join(found),
            "maps kept, MB": kept / 1e6,
            "label file found": {None: "none", True: "whole", False: "PARTIAL"}[there],
            "resumed, s": seconds,
            "same labels": whole(target, expected),
            "left behind": " ".join(path.name for path in output.iterdir() if path != target),
        }


def whole(path: Path, expected: np.ndarray[Any, Any]) -> bool:
    """Say whether a label file can be read and holds the expected labels, bit for bit."""
    try:
        labels = tifffile.imread(path)
    except (tifffile.TiffFileError, ValueError):
        return False
    return labels.dtype == expected.dtype and np.array_equal(labels, expected)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2000, help="side of the slide in px")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random = Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = folder / "slide.png"
        cv2.imwrite(str(image), simulate("fluorescence_nuclei", (args.size, args.size), args.seed, DIAMETER).image)
        plain = timed(lambda: subprocess.run(command(image, folder / "plain"), cwd=ROOT, check=True))
        expected = tifffile.imread(label_path(folder / "plain", image.name))
        (folder / "kept").mkdir()
        running = start(image, folder / "kept")
        length = timed(running.wait)
        rows: list[dict[str, Any]] = []
        while len(rows) < args.kills:
            row = kill_and_resume(image, random.uniform(0, length), expected)
            if row:
                rows.append(row)
                print(f"{len(rows)} of {args.kills}: killed at {row['killed at, s']:.2f} s", file=sys.stderr)
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    passed = all(r["same labels"] and r["label file found"] != "PARTIAL" and not r["left behind"] for r in rows)
    print(f"{args.size} x {args.size} px, {expected.max()} cells; a run without --resume: {plain:.2f} s")
    print("the same labels each time and never a part of them" if passed else "FAILED")
    figures = {"size": args.size, "cells": int(expected.max()), "plain_s": plain, "passed": passed, "kills": rows}
    print(write_record("resume", figures))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
