"""Time and memory of the command line on simulated slides: how both grow with the slide.

    python -m bench.slides --size 2000 5000 10000 [--network NET.onnx] [--diameter 20] [--memory 4G] [--seed 0]

Each slide is a run of its own, `python -m infer`; the peak is the kernel's for the largest of its processes (VmHWM:
Linux only) and counts mapped files too, such as a store on disk. The idle runtime is what the same command takes for a
slide of 64 x 64 px in the same run: it imports, opens the network and segments one tile. Processor time beside wall
time tells how far other work on the machine disturbed the figures. Slides are kept in the --work folder and used
again; remove it when the simulator changes.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import tifffile
from flowmask.cli import MODEL

from bench.record import RESULTS, print_table, write_record
from bench.watched import run_process
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
    """What one process took: wall and processor time in s, peak resident memory in MB; the cells that it reported."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    cells: int


def slide(work: Path, side: int, seed: int) -> tuple[Path, int]:
    """Return the path of a slide of ``side`` x ``side`` px, written unless it is there, and its number of cells."""
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
    """Segment one image by the command line; raises RuntimeError when that fails."""
    output, report = image.parent / "labels", image.parent / "run.json"
    command = [sys.executable, "-m", "infer", "-i", str(image), "-o", str(output), "--report", str(report), *options]
    before = cpu_of_children()
    done = run_process(command, LIMIT)
    if done.ended:
        raise RuntimeError(f"{image}: {done.ended}")
    (file,) = json.loads(report.read_text())["files"]
    return Run(done.seconds, cpu_of_children() - before, done.peak_mb or 0.0, file["cells"])


def figures(side: int, placed: int, run: Run, idle: Run) -> dict[str, float]:
    """Return the figures of one slide, without the ratios."""
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
    """Add to each slide its time per pixel and its memory above the idle runtime, over those of the first."""
    first = slides[0]
    return [
        one
        | {
            "time_per_pixel_ratio": first["pixels_per_second"] / one["pixels_per_second"],
            "memory_ratio": one["above_idle_mb"] / first["above_idle_mb"],
        }
        for one in slides
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[2000], help="sides of the slides in px")
    parser.add_argument("--network", type=Path, default=MODEL)
    parser.add_argument("--diameter", type=float, default=DIAMETER, help="px; the simulated nuclei's when not given")
    parser.add_argument("--memory", help="handed to the command line, such as 4G")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=RESULTS / "slides", help="folder of the slides and their labels")
    args = parser.parse_args()
    args.work = args.work.resolve()
    options = ["--model", str(args.network.resolve()), "--diameter", f"{args.diameter:g}"]
    options += ["--memory", args.memory] if args.memory else []
    tiny, _ = slide(args.work, IDLE_SIDE, args.seed)
    # On a machine's first run Numba compiles: that is no part of the idle runtime.
    measure(tiny, options)
    idle = measure(tiny, options)
    slides: list[dict[str, float]] = []
    for side in args.size:
        path, placed = slide(args.work, side, args.seed)
        slides.append(figures(side, placed, measure(path, options), idle))
        about = {"network": args.network.name, "diameter": args.diameter, "memory": args.memory, "seed": args.seed}
        idle_figures = {"seconds": idle.seconds, "cpu_seconds": idle.cpu_seconds, "peak_mb": idle.peak_mb}
        record = write_record("slides", {**about, "idle": idle_figures, "slides": with_ratios(slides)})
    rows = [[f"{one[c]:.2f}" if "ratio" in c else f"{one[c]:,.0f}" for c in COLUMNS] for one in with_ratios(slides)]
    print_table(list(COLUMNS.values()), rows)
    print(f"idle runtime: {idle.peak_mb:.0f} MB, {idle.seconds:.1f} s")
    print(record)


if __name__ == "__main__":
    main()
