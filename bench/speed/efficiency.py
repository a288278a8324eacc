"""The efficiency protocol of the NeurIPS 2022 challenge for any entry: one container run for each image.

    python -m bench.speed.efficiency IMAGES --image flowmask:latest [--engine podman] [--labels LABELS] [--limit 3600]
    python -m bench.speed.efficiency IMAGES --local

The command is the challenge's (`docker container run --gpus "device=0" -m 28G --rm -v .../inputs -v .../outputs NAME
/bin/bash -c "sh predict.sh"`), and the wall time is that of the whole command. The rank time is what exceeds 10 s, or
10 s for each megapixel of an image above one megapixel. The memory is the peak of the container's cgroup, which
includes the page cache, as the limit `-m` does. --local runs this repository's predict.sh as a plain process. A run
that fails, hangs or writes a file under a wrong name is reported as such; the other images are still measured.

Writes efficiency.csv in the columns of the challenge's script, efficiency.json with all figures, and efficiency.png.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from bench.images import read_labels
from bench.record import RESULTS, ROOT, Record, table, write_record
from bench.watched import Run, run_container, run_process
from flowmask.errors import FlowmaskError, ImageError, one_line
from flowmask.images.readers import SUFFIXES, open_image
from flowmask.labels.metrics import f1_challenge
from flowmask.labels.paths import label_path

COLUMNS = ("Img Name", "Real Running Time", "Rank Running Time")
MEGAPIXEL = 1_000_000
TOLERANCE = 10.0
"""Seconds without cost for an image of up to a megapixel; for a larger one, seconds for each megapixel."""
SMALLEST = 16
"""Least mean number of pixels per cell of labels that are scored: noise instead of labels would fill the memory."""


def rank_time(seconds: float, pixels: int) -> float:
    """Return the seconds that count in the challenge (baseline/cellseg_time_eval.py).

    >>> rank_time(9.0, 500_000), rank_time(25.0, 2_000_000)
    (0.0, 5.0)
    """
    return max(0.0, seconds - TOLERANCE * max(1.0, pixels / MEGAPIXEL))


def run_one(image: Path, folder: Path, args: argparse.Namespace) -> Run:
    """Segment one image in ``folder``/inputs to ``folder``/outputs."""
    inputs, outputs = folder / "inputs", folder / "outputs"
    inputs.mkdir()
    outputs.mkdir()
    outputs.chmod(0o777)
    shutil.copy(image, inputs)
    if args.local:
        return run_process(["sh", str(ROOT / "predict.sh"), str(inputs), str(outputs)], args.limit)
    volumes = ["-v", f"{inputs}:/workspace/inputs/", "-v", f"{outputs}:/workspace/outputs/"]
    gpus = ["--gpus", args.gpus] if args.gpus else []
    command = [*gpus, "-m", args.memory, "--rm", *volumes, args.image, "/bin/bash", "-c", "sh predict.sh"]
    gpu = args.gpus.removeprefix("device=") if args.gpus.startswith("device=") else "0"
    return run_container(args.engine, f"efficiency-{os.getpid()}-{folder.name}", command, args.limit, gpu)


def judged(image: Path, folder: Path, run: Run, labels: Path | None) -> Record:
    """Return one row: the times, the memory, and the score of the labels or what is wrong with the run."""
    height, width = open_image(image).shape[1:]
    f1, wrong = (None, run.ended) if run.ended else scored(image, folder / "outputs", (height, width), labels)
    return {
        "image": image.name,
        "pixels": height * width,
        "seconds": run.seconds,
        "rank_seconds": rank_time(run.seconds, height * width),
        "peak_mb": run.peak_mb,
        "gpu_mb": run.gpu_mb,
        "f1": f1,
        "wrong": wrong,
    }


def scored(image: Path, outputs: Path, shape: tuple[int, int], labels: Path | None) -> tuple[float | None, str]:
    """Return the F1 of the labels of an image, if it has true labels, and what is wrong with them.

    outputs: the folder that the run wrote into. shape: (Y, X) of the image.
    """
    expected = label_path(outputs, image.name, challenge=True)
    if not expected.exists():
        found = ", ".join(sorted(path.name for path in outputs.iterdir())) or "nothing"
        return None, f"no {expected.name} but {found}"
    try:
        written = tifffile.imread(expected)
    except Exception as error:  # an entry can write anything, and tifffile raises errors of many types
        return None, f"{expected.name} cannot be read ({one_line(error)})"
    truth = _truth(labels, image)
    if written.shape != shape:
        return None, f"the labels have the shape {written.shape}, the image {shape}"
    if written.dtype.kind not in "iu" or written.min(initial=0) < 0:
        return None, f"the labels ({written.dtype}) are not integers from 0 on"
    if truth is None:
        return None, ""
    if (cells := len(np.unique(written))) > shape[0] * shape[1] / SMALLEST:
        return None, f"{cells} cells are more than can be scored"
    return f1_challenge(read_labels(truth), written), ""


def _truth(labels: Path | None, image: Path) -> Path | None:
    """Return the label file of an image, TIFF or PNG; None if it has none or there is no folder of labels."""
    if labels is None:
        return None
    path = label_path(labels, image.name, challenge=True)
    return next((file for file in (path, path.with_suffix(".png")) if file.exists()), None)


def draw(rows: list[Record], path: Path) -> None:
    """Draw time and memory against the number of pixels, with the time without cost."""
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


def measured(images: list[Path], args: argparse.Namespace) -> Record:
    """Run the entry on each image and return the figures; the record is written after each image."""
    entry = "predict.sh" if args.local else args.image
    rows: list[Record] = []
    for number, image in enumerate(images):
        # Only root can remove what an entry writes as root.
        with tempfile.TemporaryDirectory(suffix=str(number), ignore_cleanup_errors=True) as name:
            rows.append(judged(image, Path(name), run_one(image, Path(name), args), args.labels))
        write(rows, entry)
        wrong = rows[-1]["wrong"]
        print(f"{image.name}: {rows[-1]['seconds']:.2f} s{', ' + wrong if wrong else ''}", flush=True)
    draw(rows, RESULTS / "efficiency.png")
    return {"entry": entry, "runs": rows}


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    runs = record["runs"]
    return f"{record['entry']}\n\n{table(list(runs[0]), [list(run.values()) for run in runs])}"


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of images")
    entry = parser.add_mutually_exclusive_group()
    entry.add_argument("--image", default="flowmask:latest", help="name of the container image")
    entry.add_argument("--local", action="store_true", help="this repository's predict.sh, without a container")
    parser.add_argument("--engine", help="docker or podman; default: the first one that is installed")
    parser.add_argument("--labels", type=Path, help="folder of NAME_label.tiff or .png files for all or some images")
    parser.add_argument("--gpus", help="of the container, device=0 by default; empty for none")
    parser.add_argument("--memory", help="of the container, 28G by default")
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which a run is stopped")
    args = parser.parse_args()
    _complete(parser, args)
    images = sorted(path for path in args.images.iterdir() if path.suffix.lower() in SUFFIXES)
    if not images:
        parser.error(f"{args.images}: the folder holds no images")
    try:
        for image in images:
            _check(image, args.labels)
    except FlowmaskError as error:
        parser.error(str(error))
    print(text(measured(images, args)))
    print(RESULTS / "efficiency.json")


def _complete(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Fill in the options of the container; with --local, refuse them and put this Python first on the path."""
    options = {
        "engine": next(filter(shutil.which, ("docker", "podman")), "docker"),
        "gpus": "device=0",
        "memory": "28G",
    }
    for name, value in options.items():
        given = getattr(args, name)
        if args.local and given is not None:
            parser.error(f"--{name} has no effect with --local; leave it out")
        setattr(args, name, value if given is None else given)
    if args.local:
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _check(image: Path, labels: Path | None) -> None:
    """Raise a FlowmaskError if an image cannot be read or its labels have another shape."""
    shape = open_image(image).shape[1:]
    truth = _truth(labels, image)
    if truth and (found := read_labels(truth).shape) != shape:
        raise ImageError(f"{truth}: its shape is {found}, that of {image.name} {shape}; give the labels of this image.")


def write(rows: list[Record], entry: str) -> Path:
    """Write the CSV and the JSON of the images so far; return the JSON's path."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "efficiency.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((row["image"], row["seconds"], row["rank_seconds"]) for row in rows)
    return write_record("efficiency", {"entry": entry, "runs": rows})


if __name__ == "__main__":
    main()
