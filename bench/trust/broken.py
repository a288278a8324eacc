"""A folder in which every third file is broken, each in its own way.

    python -m bench.trust.broken [--files 200]

All good files must be segmented, with the labels that they have in a folder without broken files. The record must name
each broken file with the reason, and the exit code must be that of a run in which some files failed.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from bench.record import ROOT, Record, table, write_record
from bench.trust.encode import tiff, tiff_tags
from bench.trust.fuzz import mutated
from bench.trust.samples import samples
from flowmask.errors import ImageError
from flowmask.images.readers import open_image
from flowmask.runs.record import DONE, FAILED
from train.simulate import simulate

DIAMETER = 24
SIZE = 96
SUFFIXES = ("png", "tif", "bmp")
KINDS = 4
"""Number of different good images."""


def by_hand() -> Iterator[tuple[str, bytes]]:
    """Yield files that are not images, hold several images, or cannot be segmented; each with a name for the reason."""
    grey = np.zeros((40, 50), np.uint8)
    yield from (("empty", b""), ("text", b"notes of the day"), ("zeros", bytes(5000)), ("zip", b"PK\x03\x04"))
    yield "stack", _written(np.zeros((5, 40, 50), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    yield "complex", _written(grey.astype(np.complex64))
    yield "colours", _written(np.zeros((40, 50, 3), np.uint8), photometric="cielab")
    yield "million", tiff([b""], tiff_tags(10**6, 10**6, 8))
    yield "no_pixels", tiff([b""], tiff_tags(0, 50, 8))
    yield "codec", tiff([b"something"], tiff_tags(40, 50, 8, compression=32809))
    yield "gif", _saved(Image.fromarray(grey), "GIF")


def broken(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield files without end, each broken in another way, with a name for it; ``folder`` holds one at a time."""
    yield from by_hand()
    originals = samples()
    for name, data in originals.items():
        yield f"half_{name.replace(' ', '_')}", data[: len(data) // 2]
    for index in range(sys.maxsize):
        name, data = mutated(originals, 5, index)
        (folder / "file").write_bytes(data)
        if not _can_be_read(folder / "file"):
            yield f"mutated_{index}_{name.replace(' ', '_')}", data


def write_folder(folder: Path, files: int) -> tuple[list[str], list[str]]:
    """Write ``files`` files, every third one broken, and return the names of the good and of the broken ones."""
    good, bad = [], []
    images = [simulate("fluorescence_nuclei", (SIZE, SIZE), seed, DIAMETER).image for seed in range(KINDS)]
    with tempfile.TemporaryDirectory() as name:
        ways = islice(broken(Path(name)), (files + 1) // 3)
        for index in range(files):
            if index % 3 == 1:
                way, data = next(ways)
                bad.append(f"{index:03}_{way}.tif")
                (folder / bad[-1]).write_bytes(data)
            else:
                good.append(f"{index:03}_{index % KINDS}.{SUFFIXES[index % len(SUFFIXES)]}")
                Image.fromarray(images[index % KINDS]).save(folder / good[-1])
    return good, bad


def run(images: Path, output: Path, report: Path) -> tuple[int, list[str], Record]:
    """Segment a folder and return the exit code, the lines on stderr and the record of the run."""
    words = ["-i", images, "-o", output, "--diameter", DIAMETER, "--report", report]
    command = [sys.executable, "-m", "infer", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines(), json.loads(report.read_text())


def problems(folder: Path, files: int) -> list[str]:
    """Segment so many files, written into the empty ``folder``, and return everything that is wrong."""
    images, output = folder / "images", folder / "labels"
    images.mkdir()
    good, bad = write_folder(images, files)
    code, lines, record = run(images, output, folder / "run.json")
    wrong = [*record_problems(images, good, bad, record, lines)]
    if code != 1 or record["exit_code"] != 1:
        wrong.append(f"the exit code is {code}, and {record['exit_code']} in the record")
    if {path.name for path in output.iterdir()} != {f"{Path(name).stem}_label.tiff" for name in good}:
        wrong.append("the output folder holds other files than the labels of the good images")
    return [*wrong, *label_problems(folder, good)]


def record_problems(images: Path, good: list[str], bad: list[str], record: Record, lines: list[str]) -> Iterator[str]:
    """Yield what is wrong with the record of a run and with its ``lines`` on stderr."""
    entries = {Path(entry["file"]).name: entry for entry in record["files"]}
    for name in good:
        if entries[name]["status"] != DONE:
            yield f"{name}: {entries[name]['reason']}"
    for name in bad:
        if entries[name]["status"] != FAILED:
            yield f"{name}: {entries[name]['status']}"
        if name not in str(entries[name]["reason"]):
            yield f"{name}: no reason"
        if sum(f"{images / name}: " in line for line in lines) != 1:
            yield f"{name}: no line"


def label_problems(folder: Path, good: list[str]) -> Iterator[str]:
    """Yield the good images whose labels differ from those in a folder without broken files."""
    alone, expected_folder = folder / "alone", folder / "expected"
    alone.mkdir()
    for name in good[:KINDS]:
        (folder / "images" / name).rename(alone / name)
    run(alone, expected_folder, folder / "alone.json")
    expected = {path.stem.split("_")[1]: tifffile.imread(path) for path in expected_folder.iterdir()}
    for name in good:
        labels = tifffile.imread(folder / "labels" / f"{Path(name).stem}_label.tiff")
        if not np.array_equal(labels, expected[Path(name).stem.split("_")[1]]):
            yield f"{name}: other labels than alone"


def _can_be_read(path: Path) -> bool:
    try:
        image = open_image(path)
        image.read(0, 0, *image.shape[1:])
    except ImageError:
        return False
    return True


def _written(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def _saved(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def text(record: Record) -> str:
    """Return the table of a record as Markdown.

    >>> print(text({"files": 3, DONE: 2, FAILED: 1, "problems": []}).splitlines()[2])
    | 3     | 2    | 1      | 0        |
    """
    wrong = record["problems"]
    row = [record["files"], record[DONE], record[FAILED], len(wrong)]
    fine = "All good files were segmented, and each broken one was named with its reason."
    return f"{table(['files', DONE, FAILED, 'problems'], [row])}\n\n" + ("  \n".join(wrong) or fine)


def main() -> int:
    """Segment the folder, print the table, write the record; return 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        wrong = problems(Path(name), args.files)
        files = json.loads((Path(name) / "run.json").read_text())["files"]
    count = {status: sum(entry["status"] == status for entry in files) for status in (DONE, FAILED)}
    record = {"files": len(files), **count, "problems": wrong}
    print(text(record))
    print(write_record("broken", record))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
