"""Time and memory of `flowmask view` on a slide: to open it, and for the tiles of each level, in a process of its own.

    python -m bench.speed.viewer --size 40000 [--work FOLDER]

The slide is made of one JPEG tile and of 25 strips of labels, over and over, so that it is written in seconds. The
numbers of the cells come again every 1,600 rows, and the arrays of cells are as long as without this. The peak is that
of the kernel (VmHWM, Linux only).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tifffile

from bench.record import RESULTS, Record, table, write_record
from bench.resident import peak
from flowmask.labels.labels import Labels
from flowmask.labels.provenance import description
from flowmask.labels.store import STRIP, pack
from flowmask.labels.writers import write_strips
from flowmask.viewer.cells import Filter
from flowmask.viewer.found import find_results
from flowmask.viewer.slide import open_slide

TILE, PERIOD, CELL, DIFFERENT = 512, 32, 24, 25
"""Side of an image tile; distance and side of the cells, in px; number of different strips of labels."""
SCREEN = 4, 6
"""Rows and columns of tiles that a screen shows."""


def make_slide(folder: Path, height: int, width: int) -> None:
    """Write slide.tif, tiled and compressed as JPEG, and slide_label.tiff into a folder."""
    rng = np.random.default_rng(0)
    cells = np.kron(rng.integers(90, 220, (TILE // PERIOD,) * 2), np.ones((PERIOD, PERIOD)))
    tile = np.stack([(cells + rng.normal(0, 6, cells.shape)).clip(0, 255)] * 3, axis=-1).astype(np.uint8)
    tifffile.imwrite(folder / "tile.tif", tile, tile=(TILE, TILE), compression="jpeg", photometric="rgb")
    with tifffile.TiffFile(folder / "tile.tif") as file:
        page = file.pages.first
        file.filehandle.seek(page.dataoffsets[0])
        data = file.filehandle.read(page.databytecounts[0])
    (folder / "tile.tif").unlink()
    count = -(-height // TILE) * -(-width // TILE)
    tifffile.imwrite(
        folder / "slide.tif", iter([data] * count), shape=(height, width, 3), dtype=np.uint8, tile=(TILE, TILE),
        compression="jpeg", photometric="rgb",
    )  # fmt: skip
    strips = [pack(label_strip(number, width), np.int32) for number in range(DIFFERENT)]
    cells_of_all = height // STRIP * int(label_strip(0, width).max())
    whole = (strips[at % DIFFERENT] for at in range(height // STRIP))
    about = description({}, cells_of_all, float(CELL))
    write_strips(folder / "slide_label.tiff", whole, (height // STRIP * STRIP, width), np.int32, about)


def label_strip(number: int, width: int) -> Labels:
    """Return a strip of labels (64, X): squares in rows and columns, numbered on from the strips before it.

    >>> strip = label_strip(0, 2 * PERIOD)
    >>> strip.shape == (STRIP, 2 * PERIOD), strip[0, 0], strip[0, PERIOD]
    (True, np.int32(1), np.int32(2))
    """
    rows, columns = STRIP // PERIOD, width // PERIOD
    ids = 1 + number * rows * columns + np.arange(rows * columns).reshape(rows, columns)
    inside = np.arange(PERIOD) < CELL
    strip = np.kron(ids, inside[:, None] & inside).astype(np.int32)
    return np.pad(strip, ((0, 0), (0, width - strip.shape[1])))


def measure_here(folder: Path) -> Record:
    """Open the slide, fetch a screen of tiles of each level, and return seconds and the peak of memory in MiB."""
    (found,), _ = find_results(folder, [folder / "slide.tif"])
    begun = time.perf_counter()
    slide = open_slide(found)
    opened, at_open, levels = time.perf_counter() - begun, peak(), []
    for level in range(slide.levels):
        rows, columns = (-(-length // (slide.step(level) * 256)) for length in slide.shape)
        top, left = max(0, rows // 2 - SCREEN[0] // 2), max(0, columns // 2 - SCREEN[1] // 2)
        tiles = [
            (row, column)
            for row in range(top, min(rows, top + SCREEN[0]))
            for column in range(left, min(columns, left + SCREEN[1]))
        ]
        times = []
        for kind in ("image", "outlines"):
            begun = time.perf_counter()
            for row, column in tiles:
                if kind == "image":
                    slide.picture(level, row, column)
                else:
                    slide.layer(kind, level, row, column, Filter())
            times.append((time.perf_counter() - begun) / len(tiles))
        levels.append({"step": slide.step(level), "tiles": len(tiles), "image": times[0], "outlines": times[1]})
    return {"shape": slide.shape, "seconds": opened, "peak_open_mib": at_open, "peak_mib": peak(), "levels": levels}


def measure(folder: Path) -> Record:
    """Return `measure_here` of a process of its own."""
    words = [sys.executable, "-m", __spec__.name, "--folder", str(folder)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    figures: Record = json.loads(done.stdout)
    return figures


def text(record: Record) -> str:
    """Return a record as Markdown."""
    rows = [
        [f"1:{one['step']}", one["tiles"], f"{1000 * one['image']:.0f}", f"{1000 * one['outlines']:.0f}"]
        for one in record["levels"]
    ]
    about = (
        f"{record['shape'][1]:,} x {record['shape'][0]:,} px: opened in {record['seconds']:.0f} s, peak of memory "
        f"{record['peak_open_mib']:.0f} MiB, after looking around {record['peak_mib']:.0f} MiB"
    )
    return f"{about}\n\n{table(['level', 'tiles', 'ms a tile of the image', 'ms a tile of outlines'], rows)}"


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=40_000, help="side of the slide in px; a multiple of 64")
    parser.add_argument("--work", type=Path, default=RESULTS / "slides", help="folder of the slide and its labels")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder:
        print(json.dumps(measure_here(args.folder)))
        return
    if args.size < STRIP or args.size % STRIP:
        parser.error(f"--size {args.size} is not a multiple of {STRIP}; give one, such as 40000")
    folder = args.work.resolve() / f"viewer_{args.size}"
    if not (folder / "slide_label.tiff").exists():
        folder.mkdir(parents=True, exist_ok=True)
        make_slide(folder, args.size, args.size)
    record = measure(folder)
    print(text(record))
    print(write_record("viewer", record))


if __name__ == "__main__":
    main()
