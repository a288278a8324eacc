"""Time and memory of the command line on simulated slides, and how both grow with the size of the slide.

    python -m bench.speed.slides --size 2000 5000 10000 [--model NAME] [--diameter 20] [--memory 4G] [--seed 0]

Each slide is a run of its own, `python -m infer`. The peak is the kernel's figure for the largest process of the run
(VmHWM, Linux only); it includes mapped files. The idle runtime is the same command on a slide of 64 x 64 px: it
imports, opens the network and segments one tile. The processor time, compared with the wall time, shows how far other
work on the machine disturbed the figures. The slides stay in the --work folder for later runs; remove it when the
simulator changes.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import tifffile

from bench.record import RESULTS, Record, named, table, write_record
from bench.watched import run_process
from flowmask.network.registry import default_network, find_network
from train.simulate.slide import write_slide
from train.simulate.slide_plan import DIAMETER

IDLE_SIDE = 64
LIMIT = 6 * 3600.0
"""Seconds that a slide may take."""
COLUMNS = {
    "side": "side, px",
    "placed": "cells placed",
    "found": "cells found",
    "seconds": "seconds",
    "cpu_seconds": "processor s",
    "pixels_per_second": "px/s without start-up",
    "peak_mb": "peak, MB",
    "above_idle_mb": "above idle, MB",
    "time_per_pixel_ratio": "time per px / first",
    "memory_ratio": "memory above idle / first",
}


@dataclass(frozen=True)
class Run:
    """Wall and processor time in s and peak resident memory in MB of one run, and the number of cells it reported."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    cells: int


def slide(work: Path, side: int, seed: int) -> tuple[Path, int]:
    """Return the path of a slide of ``side`` x ``side`` px, written if it is missing, and its number of cells."""
    path = work / f"slide_{side}_{seed}.tif"
    if path.exists():
        with tifffile.TiffFile(path) as file:
            return path, int(json.loads(file.pages.first.description)["cells"])
    work.mkdir(parents=True, exist_ok=True)
    return path, write_slide(path, (side, side), seed)


def cpu_of_children() -> float:
    """Return the processor time in s, user and system, of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(image: Path, options: list[str]) -> Run:
    """Segment one image with the command line. Raises RuntimeError when that fails."""
    output, report = image.parent / "labels", image.parent / "run.json"
    command = [sys.executable, "-m", "infer", "-i", str(image), "-o", str(output), "--report", str(report), *options]
    before = cpu_of_children()
    done = run_process(command, LIMIT)
    if done.ended:
        raise RuntimeError(f"{image}: {done.ended}")
    (file,) = json.loads(report.read_text())["files"]
    return Run(done.seconds, cpu_of_children() - before, done.peak_mb or 0.0, file["cells"])


def figures(side: int, placed: int, run: Run, idle: Run) -> dict[str, float]:
    """Return the figures of one slide, without the ratios.

    >>> run, idle = Run(seconds=12, cpu_seconds=20, peak_mb=700, cells=9), Run(2, 2, 200, 0)
    >>> found = figures(1000, 10, run, idle)
    >>> found["pixels_per_second"], found["above_idle_mb"]
    (100000.0, 500)
    """
    working = run.seconds - idle.seconds
    return {
        "side": side,
        "placed": placed,
        "found": run.cells,
        "seconds": run.seconds,
        "cpu_seconds": run.cpu_seconds,
        "pixels_per_second": side**2 / working,
        "peak_mb": run.peak_mb,
        "above_idle_mb": run.peak_mb - idle.peak_mb,
    }


def with_ratios(slides: list[dict[str, float]]) -> list[dict[str, float]]:
    """Add to each slide its time per pixel and its memory above the idle runtime, over those of the first.

    >>> slides = [{"pixels_per_second": 8.0, "above_idle_mb": 100}, {"pixels_per_second": 4.0, "above_idle_mb": 150}]
    >>> with_ratios(slides)[1]["time_per_pixel_ratio"], with_ratios(slides)[1]["memory_ratio"]
    (2.0, 1.5)
    """
    first = slides[0]
    return [
        one
        | {
            "time_per_pixel_ratio": first["pixels_per_second"] / one["pixels_per_second"],
            "memory_ratio": one["above_idle_mb"] / first["above_idle_mb"],
        }
        for one in slides
    ]


def measure_slides(args: argparse.Namespace) -> Record:
    """Segment a slide of each size and return the figures; the record is written after each slide."""
    options = ["--model", str(args.model.resolve()), "--diameter", f"{args.diameter:g}"]
    options += ["--memory", args.memory] if args.memory else []
    tiny, _ = slide(args.work, IDLE_SIDE, args.seed)
    measure(tiny, options)  # Numba compiles in a machine's first run: that is not part of the idle runtime
    idle = measure(tiny, options)
    record: Record = {
        "model": named(args.model),
        "diameter": args.diameter,
        "memory": args.memory,
        "seed": args.seed,
        "idle": {"seconds": idle.seconds, "cpu_seconds": idle.cpu_seconds, "peak_mb": idle.peak_mb},
    }
    slides: list[dict[str, float]] = []
    for side in args.size:
        path, placed = slide(args.work, side, args.seed)
        slides.append(figures(side, placed, measure(path, options), idle))
        record["slides"] = with_ratios(slides)
        write_record("slides", record)
    return record


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    rows = [[f"{one[c]:.2f}" if "ratio" in c else f"{one[c]:,.0f}" for c in COLUMNS] for one in record["slides"]]
    idle = record["idle"]
    notes = f"{record['model']}. Idle runtime: {idle['peak_mb']:.0f} MB, {idle['seconds']:.1f} s"
    return f"{table(list(COLUMNS.values()), rows)}\n\n{notes}"


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[2000], help="sides of the slides in px")
    parser.add_argument("--model", type=find_network, default=default_network())
    parser.add_argument("--diameter", type=float, default=DIAMETER, help="px; default: that of the simulated nuclei")
    parser.add_argument("--memory", help="the command line's --memory, such as 4G")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=RESULTS / "slides", help="folder of the slides and their labels")
    args = parser.parse_args()
    args.work = args.work.resolve()
    record = measure_slides(args)
    print(text(record))
    print(RESULTS / "slides.json")


if __name__ == "__main__":
    main()
