"""Check 2 of the container: `sh predict.sh` on one image against the least that could segment it.

    python -m bench.startup [--size 512] [--pairs 10]

The least is a script that imports NumPy and ONNX Runtime, opens the same file and the same network, and runs the same
tiles: neither reading by window, nor flow dynamics, nor labels. Both run in pairs, from exec to exit, the diameter
given; the median of the ratios counts. The first pair is told apart: it finds the disk's cache as it is.
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

from bench.record import ROOT, print_table, write_record
from infer.cli import MODEL
from infer.tiling import lattice
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
    args = parser.parse_args()
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
        pairs = np.array([(seconds(least), seconds(ours)) for _ in range(args.pairs + 1)])
    ratios = pairs[:, 1] / pairs[:, 0]
    labels = ["first", *range(1, args.pairs + 1)]
    rows = [[label, *pair, ratio] for label, pair, ratio in zip(labels, pairs.tolist(), ratios.tolist(), strict=True)]
    print_table(["pair", "s, least", "s, predict.sh", "ratio"], rows)
    print(
        f"predict.sh takes {np.median(ratios[1:]):.2f} times as long as the least ({ratios[0]:.2f} in the first pair)"
    )
    figures = {"size": args.size, "pairs_s": pairs.tolist(), "ratio": float(np.median(ratios[1:]))}
    print(write_record("startup", figures))


if __name__ == "__main__":
    main()
