"""Flowmask beside cellpose 3.1, cellpose 4, StarDist and InstanSeg on the CPU: time and memory of one image.

    python -m bench.speed.peers --sides 512 2048 [--only flowmask cellpose3 cellpose4 stardist instanseg]
        [--limit SECONDS] [--memory GB] [--repeats 1] [--cellpose4 PYTHON] [--stardist PYTHON] [--instanseg PYTHON]

`make peers` installs the other programs, each in an environment of its own; FLOWMASK_CELLPOSE_PYTHON,
FLOWMASK_CELLPOSE4_PYTHON, FLOWMASK_STARDIST_PYTHON and FLOWMASK_INSTANSEG_PYTHON name others. Each run is a process of
its own. In each repeat all programs run once on the same image, and the fastest run of each counts, because other work
on the machine can only add to it. The image repeats a simulated one of 1,000 px, whose cells have the diameter of the
networks, so no program rescales it; it is an uncompressed TIFF file.

* cellpose 3.1 has the weights of a half-width network of Flowmask, and Flowmask runs these too, for a comparison of
  like with like (`bench.speed.against_cellpose`). Flowmask's own row is its default network.
* The trained networks of the others are downloads. They run with random weights and label nothing: what their labels
  cost comes on top of their figures (`bench.peer_runner`).

The time of the image is from its path to the labels in memory; a first image of 256 px ran before it. The start-up is
the rest of the process: imports, opening the network, the first image. The peak is that of the whole process (VmHWM,
Linux only). A program that passes the limit on time or memory is stopped, and does not run on larger images.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil
import tifffile

from bench.cellpose import CHECKPOINT, cellpose_python, command_of, environment_of, export_same
from bench.images import repeated
from bench.record import RESULTS, ROOT, Record, named, table, write_record
from bench.watched import run_process
from flowmask.kernels.compiled import AHEAD
from flowmask.network.registry import default_network

SMALL = 256
"""Height and width in px of the image that runs first: one tile of each network."""
RUNNER = "bench.peer_runner"
NAMES = {
    "flowmask": "Flowmask, its default network",
    "flowmask_same": "Flowmask, cellpose 3.1's weights",
    "cellpose3": "cellpose 3.1",
    "cellpose4": "cellpose 4",
    "stardist": "StarDist",
    "instanseg": "InstanSeg",
}
TRAINED = ("flowmask", "flowmask_same", "cellpose3")
HEADER = ("program", "px", "weights", "cells", "image, s", "/ Flowmask", "processor s", "start-up, s", "peak, MB", "")


@dataclass(frozen=True)
class Limits:
    """What a run may take: seconds, and bytes of memory."""

    seconds: float
    memory: float


def python_of(program: str) -> Path:
    """Return the Python of a program: named by a variable of the environment, otherwise that of `make peers`."""
    if program.startswith("flowmask"):
        return Path(sys.executable)
    if program == "cellpose3":
        return cellpose_python()
    return Path(os.environ.get(f"FLOWMASK_{program.upper()}_PYTHON", ROOT / f".venv-{program}/bin/python"))


def measured(program: str, python: Path, network: Path | None, folder: Path, diameter: float, limits: Limits) -> Record:
    """Return the figures of one run on ``folder``/image.tif, or under ``ended`` why there are none."""
    if not python.exists():
        name = "cellpose" if program == "cellpose3" else program
        return {"ended": f"not installed: `make .venv-{name}/.ready`"}
    images = {stem: str(folder / f"{stem}.tif") for stem in ("small", "image")}
    job = {"engine": program.removesuffix("_same"), "network": str(network), "diameter": diameter, **images}
    command = command_of(RUNNER, python, "measure", job, folder)
    run = run_process(command, limits.seconds, limits.memory, environment_of(python))
    if run.ended:
        return {"ended": run.ended}
    figures: Record = json.loads((folder / "figures.json").read_text())
    return figures | {"startup": run.seconds - figures["seconds"], "ended": ""}


def fastest(runs: list[Record]) -> Record:
    """Return the run with the least time for the image; the last run, where one failed."""
    return runs[-1] if any(run["ended"] for run in runs) else min(runs, key=lambda run: float(run["seconds"]))


def measure_side(side: int, args: argparse.Namespace, networks: dict[str, Path], folder: Path) -> list[Record]:
    """Return a row for each program that ``args`` names and that can still run."""
    tifffile.imwrite(folder / "image.tif", repeated(side, args.diameter), photometric="rgb")
    runs: dict[str, list[Record]] = {program: [] for program in args.only}
    for _ in range(args.repeats):
        for program, own in runs.items():
            if not own or not own[-1]["ended"]:
                python, network = args.pythons[program], networks.get(program)
                own.append(measured(program, python, network, folder, args.diameter, args.limits))
                print(f"{side} px, {NAMES[program]}: {own[-1]}", file=sys.stderr, flush=True)
    return [{"program": program, "side": side, **fastest(own)} for program, own in runs.items()]


def measure(args: argparse.Namespace) -> Record:
    """Return the figures of all sides, the smallest first; the record is written after each."""
    memory = psutil.virtual_memory().total
    record: Record = {
        "hardware": f"{processor()}, {memory / 1e9:.0f} GB of memory",
        "default": named(default_network()),
        "kernels": "compiled ahead, as in the container" if AHEAD else "compiled by Numba, which stays in memory",
        "repeats": args.repeats,
        "runs": [],
    }
    stopped: dict[str, Record] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, same, args.diameter = export_same(CHECKPOINT, folder)
        networks = {"flowmask": default_network(), "flowmask_same": same, "cellpose3": weights}
        tifffile.imwrite(folder / "small.tif", repeated(SMALL, args.diameter), photometric="rgb")
        tifffile.imwrite(folder / "image.tif", repeated(SMALL, args.diameter), photometric="rgb")
        # Numba compiles in a machine's first run: that is not part of the start-up.
        measured("flowmask", args.pythons["flowmask"], default_network(), folder, args.diameter, args.limits)
        programs = list(args.only)
        for side in sorted(args.sides):
            args.only = [program for program in programs if program not in stopped]
            rows = {row["program"]: row for row in measure_side(side, args, networks, folder)}
            record["runs"] += [rows.get(program) or stopped[program] | {"side": side} for program in programs]
            stopped |= {program: later(row) for program, row in rows.items() if row["ended"]}
            write_record("peers", record)
    return record


def later(row: Record) -> Record:
    """Return the row of a program on larger images than that on which it failed.

    >>> later({"program": "stardist", "side": 512, "ended": "stopped after 9 s"})["ended"]
    'stopped after 9 s at 512 px'
    """
    why = row["ended"]
    return {"program": row["program"], "ended": why if "not installed" in why else f"{why} at {row['side']:,} px"}


def processor() -> str:
    """Return the name of the processor (Linux), otherwise "unknown processor"."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else "unknown processor"


def row_of(run: Record, ours: float | None) -> list[object]:
    """Return the row of a run in the table; ``ours``: the seconds of Flowmask's default network, None if not known."""
    trained = run["program"] in TRAINED
    start = [NAMES[run["program"]], f"{run['side']:,}", "trained" if trained else "random"]
    if run["ended"]:
        return [*start, *[None] * 6, run["ended"]]
    ratio = f"{run['seconds'] / ours:.2f}" if ours else None
    figures = [f"{run[name]:.1f}" for name in ("cpu_seconds", "startup")]
    cells = f"{run['cells']:,}" if trained else None
    remark = "" if trained else "makes no labels"
    return [*start, cells, f"{run['seconds']:.1f}", ratio, *figures, f"{run['peak_mb']:,.0f}", remark]


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    ours = {run["side"]: run["seconds"] for run in record["runs"] if run["program"] == "flowmask" and not run["ended"]}
    rows = [row_of(run, ours.get(run["side"])) for run in record["runs"]]
    versions = {f"{package} {v}" for run in record["runs"] for package, v in run.get("versions", {}).items()}
    notes = (
        f"{record['hardware']}. Versions: {', '.join(sorted(versions))}. Default network: {record['default']}. "
        f"Flowmask's kernels: {record['kernels']}. The fastest of {record['repeats']} runs. Programs with random "
        "weights make no labels; with trained ones they need more time and memory than these figures."
    )
    return f"{table(HEADER, rows)}\n\n{notes}"


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 2048], help="heights and widths of images in px")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), help="the programs; default: all")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that a process may take")
    parser.add_argument("--memory", type=float, help="GB that a process may take; default: 0.8 of what is free")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each program; the fastest counts")
    for program in ("cellpose3", "cellpose4", "stardist", "instanseg"):
        parser.add_argument(f"--{program}", type=Path, metavar="PYTHON", default=python_of(program))
    args = parser.parse_args()
    args.limits = Limits(args.limit, args.memory * 1e9 if args.memory else 0.8 * psutil.virtual_memory().available)
    args.pythons = {program: getattr(args, program, python_of(program)) for program in NAMES}
    print(text(measure(args)))
    print(RESULTS / "peers.json")


if __name__ == "__main__":
    main()
