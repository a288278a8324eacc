"""Time of `sh predict.sh` for one image against the shortest script that runs the same network on the same tiles.

    python -m bench.speed.startup [--size 512] [--pairs 10] [--checkpoint CHECKPOINT.pt]
    python -m bench.speed.startup --image flowmask:latest [--engine podman]

The shortest script imports NumPy and ONNX Runtime, opens the same image and network, and runs the same tiles; it reads
no windows and makes no labels. Both run in pairs, from the start of the process to its end, with the diameter given;
the median of the ratios counts. The first pair is reported separately, because it finds the disk cache as it is.
predict.sh runs first in each pair, so that in the first one nothing has been read from the disk for it.

cellpose runs beside them in its own environment (FLOWMASK_CELLPOSE_PYTHON, .venv-cellpose by default), with the weights
of --checkpoint, widened by channels that stay zero, as it cannot run the default network. With --image, both are
measured inside one container as an ordinary user (uid 12345), without cellpose; the start of the container is in
neither time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from bench.cellpose import CHECKPOINT, cellpose_python, write_cellpose_weights
from bench.record import ROOT, Record, table, write_record
from flowmask.api import load_network
from flowmask.kernels.compiled import AHEAD
from flowmask.network.registry import default_network
from flowmask.tiles.grid import tile_grid
from train.simulate import simulate

DIAMETER = 30
"""Of the cells, in px."""
LEAST = """
import sys
import numpy as np
import onnxruntime
import cv2
image = cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED)
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
tile, starts = int(sys.argv[3]), [int(word) for word in sys.argv[4].split(",")]
inputs, heads = int(sys.argv[5]), sys.argv[6].split(",")
pixels = np.pad(image.astype(np.float32) / image.max(), ((-starts[0], tile),) * 2)
begin = [start - starts[0] for start in starts]
for top in begin:
    for left in begin:
        part = pixels[top : top + tile, left : left + tile]
        session.run(heads, {"image": np.repeat(part[None, None], inputs, axis=1)})
"""
"""The shortest script: image, network, side of a tile, starts of the tiles, number of inputs, names of the heads."""
CELLPOSE = """
import sys
import cv2
from cellpose import models
model = models.CellposeModel(gpu=False, pretrained_model=sys.argv[2], nchan=3)
image = cv2.imread(sys.argv[1], cv2.IMREAD_COLOR)
model.eval(image, channels=None, channel_axis=-1, diameter=float(sys.argv[3]))
"""
PAIRS = """
import json, subprocess, sys, time
def seconds(command):
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
commands = json.loads(sys.argv[1])
print(json.dumps([[seconds(command) for command in commands[::-1]][::-1] for _ in range(int(sys.argv[2]))]))
"""
"""Runs the commands in turn, the last one first, and prints their times."""


@dataclass(frozen=True)
class Place:
    """Where the commands run: on this machine or in a container."""

    before: Sequence[str]
    """Words of the command line that come before the Python."""
    python: str
    script: str
    """predict.sh."""
    model: str
    data: str
    """Folder of the images and labels, as the commands see it."""


def write_image(folder: Path, size: int) -> None:
    """Write ``inputs``/image.png (size, size) and an empty folder ``outputs`` that every user may use."""
    for part in (folder, folder / "inputs", folder / "outputs"):
        part.mkdir(exist_ok=True)
        part.chmod(0o777)
    image = simulate("fluorescence_nuclei", (size, size), 1, DIAMETER).image
    cv2.imwrite(str(folder / "inputs" / "image.png"), image)


def shortest_arguments(size: int) -> list[str]:
    """Return the last arguments of `LEAST` for an image of ``size`` x ``size`` px and the default network."""
    contract = load_network(device="cpu").contract
    axis = tile_grid(size, contract.tile, contract.grain)
    heads = ",".join(head.name for head in contract.heads)
    return [str(axis.tile), ",".join(map(str, axis.starts)), str(contract.inputs), heads]


def on_this_machine(folder: Path) -> Place:
    """Return this machine as a place, with the Python that predict.sh takes: that of .venv, or this one."""
    own = ROOT / ".venv" / "bin" / "python"
    if not own.exists():
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    python = str(own) if own.exists() else sys.executable
    return Place((), python, str(ROOT / "predict.sh"), str(default_network()), str(folder))


def in_container(engine: str, image: str, folder: Path) -> Place:
    """Return a container as a place; ``folder`` is /data there."""
    before = [engine, "container", "run", "--rm", "--network", "none", "--user", "12345:12345", f"-v{folder}:/data"]
    return Place([*before, image], "python", "predict.sh", f"models/{default_network().name}", "/data")


def measured(place: Place, commands: list[list[str]], runs: int) -> npt.NDArray[np.float64]:
    """Return (runs, commands) wall times in s."""
    call = [*place.before, place.python, "-c", PAIRS, json.dumps(commands), str(runs)]
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return np.array(json.loads(done.stdout))


def compared(place: Place, args: argparse.Namespace, folder: Path) -> Record:
    """Run all commands and return the figures."""
    image = f"{place.data}/inputs/image.png"
    predict = ["sh", place.script, f"{place.data}/inputs", f"{place.data}/outputs", "--diameter", str(DIAMETER)]
    commands = {
        "shortest": [place.python, "-c", LEAST, image, place.model, *shortest_arguments(args.size)],
        "predict.sh": predict,
    }
    if not args.image:
        weights = folder / "cellpose_weights"
        write_cellpose_weights(args.checkpoint, weights)
        commands["cellpose"] = [str(cellpose_python()), "-c", CELLPOSE, image, str(weights), str(DIAMETER)]
    times = measured(place, list(commands.values()), args.pairs + 1)
    ratios = times[:, 1] / times[:, 0]
    figures = {"size": args.size, "commands": list(commands), "container": args.image, "times_s": times.tolist()}
    figures |= {"ratio": float(np.median(ratios[1:])), "first_ratio": float(ratios[0])}
    if not args.image:
        figures["kernels_compiled_ahead"] = AHEAD is not None
        figures["faster"] = float(np.median(times[1:, 2] / times[1:, 1]))
    return figures


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    rows = [[index or "first", *run, run[1] / run[0]] for index, run in enumerate(record["times_s"])]
    header = ["run", *(f"s, {name}" for name in record["commands"]), "predict.sh / shortest"]
    kernels = "with" if record.get("kernels_compiled_ahead") else "without"
    where = (
        f"In {record['container']}" if record["container"] else f"Outside a container, {kernels} precompiled kernels,"
    )
    lines = [
        f"{where} predict.sh takes {record['ratio']:.2f} times as long as the shortest script "
        f"({record['first_ratio']:.2f} in the first run)."
    ]
    if "faster" in record:
        lines.append(f"cellpose with the widened network takes {record['faster']:.2f} times as long as predict.sh.")
    return table(header, rows) + "\n\n" + "  \n".join(lines)


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="height and width of the image in px")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--checkpoint", type=Path, help=f"the weights that cellpose runs; default: {CHECKPOINT.name}")
    parser.add_argument("--image", help="name of a container image in which to measure, without cellpose")
    parser.add_argument("--engine", help="docker or podman, for --image; default: the first one that is installed")
    args = parser.parse_args()
    if args.image and args.checkpoint:
        parser.error("--checkpoint has no effect with --image, where cellpose does not run; leave it out")
    if args.engine and not args.image:
        parser.error("--engine has no effect without --image; leave it out")
    args.checkpoint = args.checkpoint or CHECKPOINT
    args.engine = args.engine or next(filter(shutil.which, ("docker", "podman")), "docker")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_image(folder, args.size)
        place = in_container(args.engine, args.image, folder) if args.image else on_this_machine(folder)
        figures = compared(place, args, folder)
    print(text(figures))
    name = "startup_container" if args.image else "startup"
    print(write_record(name, figures))


if __name__ == "__main__":
    main()
