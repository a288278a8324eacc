"""What each output of a slide adds in wall time, processor time and peak memory, each in a process of its own.

    python -m bench.speed.outputs --size 10000 [--pairs 2] [--seed 0] [--work FOLDER]

The image and its labels are simulated (`train.simulate.slide`) and kept in the --work folder. "none" only reads both
and measures the table of the cells; each output, and all of them together, are compared with it. The peak is that of
the kernel (VmHWM, Linux only), with the packages that an output imports.

--pairs N also segments the slide N times with the label file alone and N times with all outputs, in turn: what all of
them add to a run of the command line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
import tifffile

from bench.record import RESULTS, Record, table, write_record
from bench.resident import peak
from bench.speed.slides import Run, slide
from bench.speed.slides import measure as segment
from flowmask.images.readers import open_image
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.labels.labels import Labels
from flowmask.labels.store import STRIP, pack
from flowmask.labels.writers import write_strips
from flowmask.outputs import KINDS, save_outputs
from train.simulate.slide import slide_rows
from train.simulate.slide_plan import DIAMETER

PIXEL_SIZE = 0.5
"""Micrometres, so that the columns in micrometres are written too."""
BUDGET_CELLS, BUDGET_SIDE = 75_000, 10_000
"""The slide for which the budget of all outputs is stated: at most 10 % more time and 200 MB more memory."""


def in_order(shape: tuple[int, int], seed: int) -> Iterator[Labels]:
    """Yield the label rows of a slide in strips, numbered as Flowmask does: in the order of the first pixels."""
    renamed = np.zeros(1, np.int32)
    count = 0
    for _, labels in slide_rows(shape, seed, STRIP):
        renamed = np.pad(renamed, (0, max(0, int(labels.max()) + 1 - len(renamed))))
        present, first = np.unique(labels, return_index=True)
        new = present[np.argsort(first)]
        new = new[(new > 0) & (renamed[new] == 0)]
        renamed[new] = np.arange(count + 1, count + 1 + len(new))
        count += len(new)
        yield renamed[labels]


def label_file(work: Path, side: int, seed: int) -> Path:
    """Return the path of the labels of a slide, an int32 TIFF in strips, written if it is missing."""
    path = work / f"labels_{side}_{seed}.tif"
    if not path.exists():
        write_strips(path, (pack(rows, np.int32) for rows in in_order((side, side), seed)), (side, side), np.int32)
    return path


def strips(path: Path) -> Iterator[Labels]:
    """Yield the rows of a label file, one strip at a time, as the engine reads them from its store."""
    with tifffile.TiffFile(path) as file, open(path, "rb") as data:
        page = file.pages.first
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            data.seek(offset)
            yield np.frombuffer(bytearray(zlib.decompress(data.read(size))), np.int32).reshape(-1, page.imagewidth)


def measure_here(names: list[str], image: Path, labels: Path) -> Record:
    """Write the outputs and return wall and processor seconds, peak memory in MiB, MB of files and cells."""
    builder = CellTableBuilder()
    for rows in strips(labels):
        new = int(rows.max()) - len(builder.table())
        builder.add_cells(*np.full((2, max(0, new)), 0.5))
        builder.add_rows(rows)
    cells = builder.table()
    with TemporaryDirectory(dir=image.parent) as folder:
        begun, used = time.perf_counter(), time.process_time()
        save_outputs(names, Path(folder, "a_label.tiff"), open_image(image), cells, PIXEL_SIZE, strips(labels), {})
        seconds, processor = time.perf_counter() - begun, time.process_time() - used
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    figures = {"seconds": seconds, "cpu_seconds": processor, "peak_mib": peak()}
    return {**figures, "file_mb": size / 1e6, "cells": len(cells)}


def measure(names: list[str], image: Path, labels: Path) -> Record:
    """Return `measure_here` of a process of its own."""
    words = [sys.executable, "-m", __spec__.name, "--only", ",".join(names), "--files", str(image), str(labels)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    figures: Record = json.loads(done.stdout)
    return figures


def measure_pairs(image: Path, pairs: int) -> Record:
    """Segment an image ``pairs`` times without and with all outputs, in turn; return the means and the cells found."""
    choices = {"labels": ["--save", "labels"], "all": ["--save", "all"]}
    options = ["--diameter", f"{DIAMETER:g}", "--pixel-size", f"{PIXEL_SIZE:g}"]
    runs: dict[str, list[Run]] = {name: [] for name in choices}
    for _ in range(pairs):
        for name, save in choices.items():
            runs[name].append(segment(image, [*options, *save]))
    return {
        name: {
            "seconds": fmean(run.seconds for run in some),
            "cpu_seconds": fmean(run.cpu_seconds for run in some),
            "peak_mb": max(run.peak_mb for run in some),
            "cells": some[0].cells,
        }
        for name, some in runs.items()
    }


def measure_all(work: Path, side: int, seed: int, pairs: int) -> Record:
    """Return the figures of each output of a slide, of none and of all, and those of whole runs."""
    image, _ = slide(work, side, seed)
    labels = label_file(work, side, seed)
    measure(["overlay", "table", "geojson"], image, labels)  # Numba compiles in a machine's first run
    runs = {"none": [], **{name: [name] for name in KINDS}, "all": [*KINDS]}
    outputs = {name: measure(some, image, labels) for name, some in runs.items()}
    whole = measure_pairs(image, pairs) if pairs else None
    return {"side": side, "seed": seed, "outputs": outputs, "pairs": pairs, "runs": whole}


def text(record: Record) -> str:
    """Return the table of a record as Markdown: what each output adds to none."""
    found = record["outputs"]
    none = found["none"]
    rows = [
        [name, f"{one['seconds'] - none['seconds']:.2f}", f"{one['cpu_seconds'] - none['cpu_seconds']:.2f}",
         f"{one['peak_mib'] - none['peak_mib']:.0f}", f"{one['file_mb']:.1f}"]
        for name, one in found.items() if name != "none"
    ]  # fmt: skip
    about = f"{record['side']:,} x {record['side']:,} px, {none['cells']:,} cells; none of them: "
    about += f"{none['seconds']:.2f} s, {none['cpu_seconds']:.2f} processor s, {none['peak_mib']:.0f} MiB"
    columns = ["output", "seconds more", "processor s more", "peak more, MiB", "files, MB"]
    return f"{about}. {density(none['cells'], record['side'])}\n\n{table(columns, rows)}{_of_runs(record)}"


def density(cells: int, side: int) -> str:
    """Return a sentence that compares the cells of a slide, side in px, with those of the slide of the budget.

    >>> density(48_000, 8_000)
    'There are 1.00 times as many cells per pixel as on the slide of the budget (75,000 cells on 10,000 x 10,000 px).'
    """
    ratio = cells / side**2 / (BUDGET_CELLS / BUDGET_SIDE**2)
    slide_of_budget = f"{BUDGET_CELLS:,} cells on {BUDGET_SIDE:,} x {BUDGET_SIDE:,} px"
    return f"There are {ratio:.2f} times as many cells per pixel as on the slide of the budget ({slide_of_budget})."


def _of_runs(record: Record) -> str:
    """Return the sentence on whole runs, after a blank line; empty if there were none."""
    if not record.get("runs"):
        return ""
    without, saved = record["runs"]["labels"], record["runs"]["all"]
    wall, processor = saved["seconds"] / without["seconds"], saved["cpu_seconds"] / without["cpu_seconds"]
    return (
        f"\n\nWhole runs, {record['pairs']} without and {record['pairs']} with all outputs, in turn: "
        f"{without['cells']:,} cells; {wall:.2f} times the wall time ({without['seconds']:.0f} and "
        f"{saved['seconds']:.0f} s), {processor:.2f} times the processor time ({without['cpu_seconds']:.0f} and "
        f"{saved['cpu_seconds']:.0f} s), {saved['peak_mb'] - without['peak_mb']:.0f} MB more"
    )


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000, help="side of the slide in px")
    parser.add_argument("--pairs", type=int, default=0, help="whole runs without and with all outputs (default 0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=RESULTS / "slides", help="folder of the slide and its labels")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.files:
        print(json.dumps(measure_here([name for name in args.only.split(",") if name], *args.files)))
        return
    record = measure_all(args.work.resolve(), args.size, args.seed, args.pairs)
    print(text(record))
    print(write_record("outputs", record))


if __name__ == "__main__":
    main()
