"""The command line of the export: arguments, messages, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from export.cellpose import read_cellpose
from export.mean import mean_of
from export.onnx_file import write_onnx
from export.precision import PRECISIONS
from export.source import Source, read_checkpoint
from flowmask.errors import FlowmaskError


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m export`` with ``argv``; return 0, or 1 after one sentence on stderr."""
    arguments = _parse(argv)
    name = arguments.name or Path(arguments.output).stem
    try:
        differences = write_onnx(arguments.output, _source(arguments), name, arguments.precision)
    except FlowmaskError as error:
        print(error, file=sys.stderr)
        return 1
    measure = {"fp32": "largest", "fp16": "root-mean-square"}[arguments.precision]
    print(f"{arguments.output}: written; {measure} relative difference from PyTorch: ", end="")
    print(", ".join(f"{output} {difference:.1e}" for output, difference in differences.items()))
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m export", description="Turn a trained network into an ONNX file.")
    parser.add_argument(
        "checkpoint",
        nargs="*",
        metavar="CHECKPOINT",
        help="a checkpoint that `python -m train` wrote; of several, the file gives the average of the maps",
    )
    parser.add_argument("--cellpose", metavar="WEIGHTS", help="a checkpoint of cellpose 2.x or 3.x instead")
    parser.add_argument("--size", metavar="SIZE.npy", help="the size file that belongs to the cellpose checkpoint")
    parser.add_argument(
        "--diameter",
        type=float,
        metavar="PX",
        help="mean diameter of a cellpose checkpoint that does not record it",
    )
    parser.add_argument("--licence", metavar="TEXT", help="licence of the cellpose weights")
    parser.add_argument("--data", metavar="TEXT", help="one sentence: what the cellpose network was trained on")
    parser.add_argument("-o", "--output", required=True, metavar="FILE.onnx", help="the file to write")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="number format of the computation; fp16 is for GPUs, and the export fails if its maps differ from fp32 by "
        "more than 0.5 %% (relative RMS) (default fp32)",
    )
    parser.add_argument(
        "--name", help="name of the network in its contract (default: that of the output file, without .onnx)"
    )
    arguments = parser.parse_args(argv)
    if bool(arguments.checkpoint) == (arguments.cellpose is not None):
        parser.error("give either CHECKPOINT or --cellpose WEIGHTS")
    if arguments.cellpose is None:
        for option in ("size", "diameter", "licence", "data"):
            if getattr(arguments, option) is not None:
                parser.error(f"--{option} belongs to --cellpose; a checkpoint of train/ records its own")
    return arguments


def _source(arguments: argparse.Namespace) -> Source:
    if arguments.cellpose is None:
        return mean_of([read_checkpoint(path) for path in arguments.checkpoint])
    return read_cellpose(arguments.cellpose, arguments.size, arguments.diameter, arguments.licence, arguments.data)
