"""Check 2 of the container: `sh predict.sh` on one image against the least that could segment it.

    python -m bench.startup [--size 512] [--pairs 10] [--checkpoint CHECKPOINT.pt]

The least is a script that imports NumPy and ONNX Runtime, opens the same file and the same network, and runs the same
tiles: neither reading by window, nor flow dynamics, nor labels. Both run in pairs, from exec to exit, the diameter
given; the median of the ratios counts. The first pair is told apart: it finds the disk's cache as it is. cellpose runs
beside them, from exec to exit too, in its own environment (FLOWMASK_CELLPOSE_PYTHON, .venv-cellpose by default), with
the same weights, widened by channels that stay zero, as it takes no other width.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from bench.agreement import CHECKPOINT, cellpose_state, widened
from bench.environments import cellpose_python
from bench.record import ROOT, print_table, write_record
from infer.cli import MODEL
from infer.tiling import lattice
from train.network import load
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


def seconds(command: Sequence[str]) -> float:
    """Return the wall time of a command, from exec to exit."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="height and width of the image in px")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the interpreter of both")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="the weights of the network, for cellpose")
    args = parser.parse_args()
    cellpose = cellpose_python()
    os.environ["PATH"] = f"{args.python.parent}{os.pathsep}{os.environ['PATH']}"
    axis = lattice(args.size, 224)
    with tempfile.TemporaryDirectory() as name:
        inputs, outputs = Path(name) / "inputs", Path(name) / "outputs"
        inputs.mkdir()
        image = simulate("fluorescence_nuclei", (args.size, args.size), 1, DIAMETER).image
        cv2.imwrite(str(inputs / "image.png"), image)
        tiles = [str(axis.tile), ",".join(map(str, axis.starts))]
        least = [str(args.python), "-c", LEAST, str(inputs / "image.png"), str(MODEL), *tiles]
        ours = ["sh", str(ROOT / "predict.sh"), str(inputs), str(outputs), "--diameter", str(DIAMETER)]
        weights = Path(name) / "cellpose_weights"
        torch.save(cellpose_state(widened(load(args.checkpoint)[0]), DIAMETER), weights)
        theirs = [str(cellpose), "-c", CELLPOSE, str(inputs / "image.png"), str(weights), str(DIAMETER)]
        times = np.array([[seconds(run) for run in (least, ours, theirs)] for _ in range(args.pairs + 1)])
    ratios = times[:, 1] / times[:, 0]
    labels = ["first", *range(1, args.pairs + 1)]
    rows = [[label, *run, ratio] for label, run, ratio in zip(labels, times.tolist(), ratios.tolist(), strict=True)]
    print_table(["run", "s, least", "s, predict.sh", "s, cellpose", "predict.sh over least"], rows)
    ratio, first = float(np.median(ratios[1:])), float(ratios[0])
    faster = float(np.median(times[1:, 2] / times[1:, 1]))
    print(f"predict.sh takes {ratio:.2f} times as long as the least ({first:.2f} in the first run),")
    print(f"cellpose {faster:.2f} times as long as predict.sh")
    figures = {"size": args.size, "times_s": times.tolist(), "ratio": ratio, "first_ratio": first, "faster": faster}
    print(write_record("startup", figures))


if __name__ == "__main__":
    main()
