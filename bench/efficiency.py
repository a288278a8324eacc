"""The challenge's efficiency protocol for any entry: each image in a container run of its own, timed from outside.

    python -m bench.efficiency IMAGES --image flowmask:latest [--engine podman] [--labels LABELS] [--limit 3600]
    python -m bench.efficiency IMAGES --local

The command is the challenge's (`docker container run --gpus "device=0" -m 28G --rm -v .../inputs -v .../outputs NAME
/bin/bash -c "sh predict.sh"`); the wall clock runs around all of it. Rank time is what exceeds 10 s, or 10 s for each
megapixel above one. Memory is what the container's cgroup counted at most (page cache included, as `-m` limits it).
--local runs this repository's predict.sh as a plain process. A run that fails, hangs or writes a wrong name is
reported as such and costs the others nothing.

Writes efficiency.csv in the columns of the challenge's script, efficiency.json with everything, efficiency.png.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from flowmask.errors import FlowmaskError, ImageError, one_line
from flowmask.images.image import SUFFIXES, open_image
from flowmask.labels.metrics import f1_challenge
from flowmask.labels.paths import label_path

from bench.record import RESULTS, ROOT, print_table, write_record
from bench.watched import Run, run_container, run_process
from train.data.readers import read_labels

COLUMNS = ("Img Name", "Real Running Time", "Rank Running Time")
MEGAPIXEL = 1_000_000
TOLERANCE = 10.0
"""Seconds that cost nothing, for images of up to a megapixel; for larger ones so many for each."""
SMALLEST = 16
"""Pixels that the cells of labels must have on average to be scored: noise in place of labels would take all memory."""


def rank_time(seconds: float, pixels: int) -> float:
    """Return the seconds that count in the challenge (baseline/cellseg_time_eval.py)."""
    return max(0.0, seconds - TOLERANCE * max(1.0, pixels / MEGAPIXEL))


def run_one(image: Path, folder: Path, args: argparse.Namespace) -> Run:
    """Segment one image in ``folder``/inputs to ``folder``/outputs."""
    inputs, outputs = folder / "inputs", folder / "outputs"
    inputs.mkdir()
    outputs.mkdir()
    outputs.chmod(0o777)
    shutil.copy(image, inputs)
    if args.local:
        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return run_process(["sh", str(ROOT / "predict.sh"), str(inputs), str(outputs)], args.limit)
    volumes = ["-v", f"{inputs}:/workspace/inputs/", "-v", f"{outputs}:/workspace/outputs/"]
    gpus = ["--gpus", args.gpus] if args.gpus else []
    command = [*gpus, "-m", args.memory, "--rm", *volumes, args.image, "/bin/bash", "-c", "sh predict.sh"]
    gpu = args.gpus.removeprefix("device=") if args.gpus.startswith("device=") else "0"
    return run_container(args.engine, f"efficiency-{os.getpid()}-{folder.name}", command, args.limit, gpu)


def judged(image: Path, folder: Path, run: Run, labels: Path | None) -> dict[str, Any]:
    """Return one row: the times, the memory, and what is wrong with the run or how its labels score."""
    height, width = open_image(image).shape[1:]
    row: dict[str, Any] = {
        "image": image.name,
        "pixels": height * width,
        "seconds": run.seconds,
        "rank_seconds": rank_time(run.seconds, height * width),
        "peak_mb": run.peak_mb,
        "gpu_mb": run.gpu_mb,
        "f1": None,
        "wrong": run.ended,
    }
    expected = label_path(folder / "outputs", image.name)
    if not expected.exists():
        found = ", ".join(sorted(path.name for path in expected.parent.iterdir())) or "nothing"
        row["wrong"] = row["wrong"] or f"no {expected.name} but {found}"
        return row
    try:
        written = tifffile.imread(expected)
    except Exception as error:  # whatever an entry has written, tifffile raises what it likes
        row["wrong"] = row["wrong"] or f"{expected.name} cannot be read ({one_line(error)})"
        return row
    truth = None if run.ended else _truth(labels, image)
    if written.shape != (height, width):
        row["wrong"] = row["wrong"] or f"the labels have the shape {written.shape}, the image {(height, width)}"
    elif written.dtype.kind not in "iu" or written.min(initial=0) < 0:
        row["wrong"] = row["wrong"] or f"the labels ({written.dtype}) are no integers from 0 on"
    elif truth and (cells := len(np.unique(written))) > height * width / SMALLEST:
        row["wrong"] = f"{cells} cells are more than can be scored"
    elif truth:
        row["f1"] = f1_challenge(read_labels(truth), written)
    return row


def _truth(labels: Path | None, image: Path) -> Path | None:
    """Return the label file of an image, TIFF or PNG; None where it has none or there is no folder of them."""
    if labels is None:
        return None
    path = label_path(labels, image.name)
    return next((file for file in (path, path.with_suffix(".png")) if file.exists()), None)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw time and memory against pixels, with the time that costs nothing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    time, memory = figure.subplots(1, 2)
    pixels = [row["pixels"] / MEGAPIXEL for row in rows]
    time.loglog(pixels, [row["seconds"] for row in rows], "o")
    span = sorted([*pixels, 1.0])
    time.loglog(span, [TOLERANCE * max(1.0, size) for size in span], "--", color="grey", label="tolerance")
    time.set(xlabel="megapixels", ylabel="seconds")
    time.legend()
    memory.semilogx(pixels, [row["peak_mb"] or float("nan") for row in rows], "o")
    memory.set(xlabel="megapixels", ylabel="peak memory, MB", ylim=(0, None))
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of images")
    entry = parser.add_mutually_exclusive_group()
    entry.add_argument("--image", default="flowmask:latest", help="name of the container image")
    entry.add_argument("--local", action="store_true", help="this repository's predict.sh, without a container")
    parser.add_argument("--engine", default=next(filter(shutil.which, ("docker", "podman")), "docker"))
    parser.add_argument("--labels", type=Path, help="folder of NAME_label.tiff or .png, for all images or some")
    parser.add_argument("--gpus", default="device=0", help="empty for none")
    parser.add_argument("--memory", default="28G")
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which a run is stopped")
    args = parser.parse_args()
    images = sorted(path for path in args.images.iterdir() if path.suffix.lower() in SUFFIXES)
    if not images:
        parser.error(f"{args.images}: it holds no images")
    try:
        for image in images:
            _check(image, args.labels)
    except FlowmaskError as error:
        parser.error(str(error))
    entry_name = "predict.sh" if args.local else args.image
    rows: list[dict[str, Any]] = []
    for number, image in enumerate(images):
        # What an entry writes as root only root can remove.
        with tempfile.TemporaryDirectory(suffix=str(number), ignore_cleanup_errors=True) as name:
            rows.append(judged(image, Path(name), run_one(image, Path(name), args), args.labels))
        record = write(rows, entry_name)
        last = rows[-1]
        print(f"{image.name}: {last['seconds']:.2f} s{', ' + last['wrong'] if last['wrong'] else ''}", flush=True)
    draw(rows, RESULTS / "efficiency.png")
    print_table(list(rows[0]), [["" if value is None else value for value in row.values()] for row in rows])
    print(record)


def _check(image: Path, labels: Path | None) -> None:
    """Raise a FlowmaskError where an image cannot be read or its labels do not belong to it."""
    shape = open_image(image).shape[1:]
    truth = _truth(labels, image)
    if truth and (found := read_labels(truth).shape) != shape:
        raise ImageError(f"{truth}: its shape is {found}, that of {image.name} {shape}; give the labels of this image.")


def write(rows: list[dict[str, Any]], entry: str) -> Path:
    """Write the CSV and the JSON of the images so far; return the JSON's path."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "efficiency.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((row["image"], row["seconds"], row["rank_seconds"]) for row in rows)
    return write_record("efficiency", {"entry": entry, "runs": rows})


if __name__ == "__main__":
    main()
