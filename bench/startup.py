"""Check 2 of the container: `sh predict.sh` on one image against the least that could segment it.

    python -m bench.startup [--size 512] [--pairs 10] [--checkpoint CHECKPOINT.pt]
    python -m bench.startup --image flowmask:latest [--engine podman]

The least is a script that imports NumPy and ONNX Runtime, opens the same file and the same network, and runs the same
tiles: neither reading by window, nor flow dynamics, nor labels. Both run in pairs, from exec to exit, the diameter
given; the median of the ratios counts. The first pair is told apart: it finds the disk's cache as it is. cellpose runs
beside them, from exec to exit too, in its own environment (FLOWMASK_CELLPOSE_PYTHON, .venv-cellpose by default), with
the same weights, widened by channels that stay zero, as it takes no other width. With --image both are measured inside
one container, as an ordinary user of it (uid 12345), without cellpose; its own start is in neither. predict.sh goes
first in a pair, so that in the first one it finds nothing that the other has already read from the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from flowmask.cli import MODEL
from flowmask.tiles.grid import tile_grid

from bench.agreement import CHECKPOINT, cellpose_state, widened
from bench.environments import cellpose_python
from bench.record import ROOT, print_table, write_record
from train.checkpoint import load
from train.simulate import simulate

DIAMETER = 30
LEAST = """
import sys
import numpy as np
import onnxruntime
import cv2
image = cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED)
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
tile, starts = int(sys.argv[3]), [int(word) for word in sys.argv[4].split(",")]
pixels = np.pad(image.astype(np.float32) / image.max(), ((-starts[0], tile),) * 2)
begin = [start - starts[0] for start in starts]
for top in begin:
    for left in begin:
        part = pixels[top : top + tile, left : left + tile]
        session.run(["maps"], {"image": np.repeat(part[None, None], 3, axis=1)})
"""
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


def prepared(folder: Path, size: int) -> tuple[str, str]:
    """Write ``inputs``/image.png and an empty ``outputs`` for anybody to use; return tile and starts for `LEAST`."""
    for part in (folder, folder / "inputs", folder / "outputs"):
        part.mkdir(exist_ok=True)
        part.chmod(0o777)
    image = simulate("fluorescence_nuclei", (size, size), 1, DIAMETER).image
    cv2.imwrite(str(folder / "inputs" / "image.png"), image)
    axis = tile_grid(size, 224)
    return str(axis.tile), ",".join(map(str, axis.starts))


def cellpose(folder: Path, checkpoint: Path) -> list[str]:
    """Return the command of cellpose with the weights of a checkpoint."""
    weights = folder / "cellpose_weights"
    torch.save(cellpose_state(widened(load(checkpoint)[0]), DIAMETER), weights)
    return [str(cellpose_python()), "-c", CELLPOSE, str(folder / "inputs" / "image.png"), str(weights), str(DIAMETER)]


def interpreter() -> str:
    """Return the Python that predict.sh takes: the one of .venv, or this one, which is put first on the PATH."""
    own = ROOT / ".venv" / "bin" / "python"
    if own.exists():
        return str(own)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return sys.executable


def measured(before: list[str], python: str, commands: list[list[str]], runs: int) -> npt.NDArray[np.float64]:
    """Return (runs, commands) wall times in s, taken by an interpreter that ``before`` may put into a container."""
    call = [*before, python, "-c", PAIRS, json.dumps(commands), str(runs)]
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return np.array(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="height and width of the image in px")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="the weights of the network, for cellpose")
    parser.add_argument("--image", help="name of a container image in which to measure, without cellpose")
    parser.add_argument("--engine", default=next(filter(shutil.which, ("docker", "podman")), "docker"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiles = prepared(folder, args.size)
        if args.image:
            before = [args.engine, "container", "run", "--rm", "--network", "none", "--user", "12345:12345"]
            before += [f"-v{folder}:/data", args.image]
            python, script, model, at = "python", "predict.sh", "models/cyto-small.onnx", "/data"
        else:
            before = []
            python, script, model, at = interpreter(), str(ROOT / "predict.sh"), str(MODEL), name
        commands = [
            [python, "-c", LEAST, f"{at}/inputs/image.png", model, *tiles],
            ["sh", script, f"{at}/inputs", f"{at}/outputs", "--diameter", str(DIAMETER)],
        ]
        names = ["least", "predict.sh"]
        if not args.image:
            commands.append(cellpose(folder, args.checkpoint))
            names.append("cellpose")
        times = measured(before, python, commands, args.pairs + 1)
    ratios = times[:, 1] / times[:, 0]
    rows = [[index or "first", *run, ratios[index]] for index, run in enumerate(times.tolist())]
    print_table(["run", *(f"s, {name}" for name in names), "predict.sh over least"], rows)
    ratio, first = float(np.median(ratios[1:])), float(ratios[0])
    where = f"in {args.image}" if args.image else "outside a container, where no loops are compiled ahead,"
    print(f"{where} predict.sh takes {ratio:.2f} times as long as the least ({first:.2f} in the first run)")
    figures = {"size": args.size, "times_s": times.tolist(), "ratio": ratio, "first_ratio": first}
    if not args.image:
        figures["faster"] = float(np.median(times[1:, 2] / times[1:, 1]))
        print(f"cellpose, the network widened by zeros, takes {figures['faster']:.2f} times as long as predict.sh")
    print(write_record("startup_container" if args.image else "startup", figures))


if __name__ == "__main__":
    main()
