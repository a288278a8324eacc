"""Check 2 of trust: a folder in which every third file is broken, each in a way of its own.

    python -m bench.broken [--files 200]

All good files must be done, with the labels that they have in a folder without broken ones; the record must name each
bad one with its reason, and the exit code say that some failed.
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
from flowmask.errors import ImageError
from flowmask.images.image import open_image
from flowmask.runs.record import DONE, FAILED
from PIL import Image

from bench.encode import tiff, tiff_tags
from bench.fuzz import mutated
from bench.record import ROOT, print_table, write_record
from bench.samples import samples
from train.simulate import simulate

DIAMETER = 24
SIZE = 96
SUFFIXES = ("png", "tif", "bmp")
KINDS = 4
"""Different good images."""


def by_hand() -> Iterator[tuple[str, bytes]]:
    """Yield files that are no images, no single image, or none that can be segmented, with what is the matter."""
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
    """Yield ever more files, broken in different ways, with names that say how; ``folder`` takes one at a time."""
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
    """Write so many files, every third of them broken, and return the names of good and of bad ones."""
    good, bad = [], []
    images = [simulate("fluorescence_nuclei", (SIZE, SIZE), seed, DIAMETER).image for seed in range(KINDS)]
    with tempfile.TemporaryDirectory() as name:
        ways = islice(broken(Path(name)), (files + 1) // 3)
        for index in range(files):
            if index % 3 == 1:
                way, data = next(ways)
                bad.append(f"{index:03}_{way}")
                (folder / bad[-1]).write_bytes(data)
            else:
                good.append(f"{index:03}_{index % KINDS}.{SUFFIXES[index % len(SUFFIXES)]}")
                Image.fromarray(images[index % KINDS]).save(folder / good[-1])
    return good, bad


def run(images: Path, output: Path, report: Path) -> tuple[int, list[str], dict[str, Any]]:
    """Run on a folder and return the exit code, the lines on stderr and the record."""
    words = ["-i", images, "-o", output, "--diameter", str(DIAMETER), "--report", report]
    done = subprocess.run([sys.executable, "-m", "infer", *words], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines(), json.loads(report.read_text())


def complaints(folder: Path, files: int) -> list[str]:
    """Segment so many files, written into the empty ``folder``, and return all that is wrong with what came out."""
    images, output = folder / "images", folder / "labels"
    images.mkdir()
    good, bad = write_folder(images, files)
    code, lines, record = run(images, output, folder / "run.json")
    status = {Path(entry["file"]).name: entry for entry in record["files"]}
    wrong = [f"{name}: {status[name]['reason']}" for name in good if status[name]["status"] != DONE]
    wrong += [f"{name}: {status[name]['status']}" for name in bad if status[name]["status"] != FAILED]
    wrong += [f"{name}: no reason" for name in bad if name not in str(status[name]["reason"])]
    wrong += [f"{name}: no line" for name in bad if sum(f"{images / name}: " in line for line in lines) != 1]
    if code != 1 or record["exit_code"] != 1:
        wrong.append(f"the exit code is {code}, and {record['exit_code']} in the record")
    if {path.name for path in output.iterdir()} != {f"{Path(name).stem}_label.tiff" for name in good}:
        wrong.append("other files than the labels of good images are there")
    alone = folder / "alone"
    alone.mkdir()
    for name in good[:KINDS]:
        (images / name).rename(alone / name)
    run(alone, folder / "expected", folder / "alone.json")
    expected = {path.stem.split("_")[1]: tifffile.imread(path) for path in (folder / "expected").iterdir()}
    for name in good:
        labels = tifffile.imread(output / f"{Path(name).stem}_label.tiff")
        if not np.array_equal(labels, expected[Path(name).stem.split("_")[1]]):
            wrong.append(f"{name}: other labels than alone")
    return wrong


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        wrong = complaints(Path(name), args.files)
        files = json.loads((Path(name) / "run.json").read_text())["files"]
    count = {status: sum(entry["status"] == status for entry in files) for status in (DONE, FAILED)}
    print_table(["files", *count, "complaints"], [[len(files), *count.values(), len(wrong)]])
    print("\n".join(wrong) or "all good files done, each bad one named with its reason")
    print(write_record("broken", {"files": args.files, **count, "complaints": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
