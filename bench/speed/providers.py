"""Time of Flowmask's networks for one tile: ONNX Runtime's own provider for CPUs against OpenVINO, and XNNPACK.

    python -m bench.speed.providers [--networks small large] [--threads 1 2] [--tile 224] [--repeats 30]
        [--python PYTHON]

`make .venv-openvino/.ready` installs OpenVINO beside the ONNX Runtime of Flowmask in an environment of its own;
--python or FLOWMASK_OPENVINO_PYTHON names another. All ways run in one process, in turns; the fastest run of each
counts, because other work on the machine can only add to it. OpenVINO computes in float32, as ONNX Runtime does. A
provider of ONNX Runtime is measured where the installed package has it; the providers that it has are in the record.
PyPI's onnxruntime has neither OpenVINO's nor XNNPACK's; the package onnxruntime-openvino, an older version, has the
first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from bench.cellpose import command_of, environment_of
from bench.record import ROOT, Record, named, table, write_record
from bench.speed.peers import RUNNER, processor, python_of
from flowmask.network.registry import find_network

HEADER = ("network", "threads", "way", "ms a tile", "processor ms", "/ ONNX Runtime's", "largest difference")


def measured(python: Path, network: Path, threads: int, args: argparse.Namespace) -> Record:
    """Return the figures of one network with this number of threads. Raises CalledProcessError if its process fails."""
    with tempfile.TemporaryDirectory() as name:
        job = {"network": str(network.resolve()), "side": args.tile, "threads": threads, "repeats": args.repeats}
        command = command_of(RUNNER, python, "providers", job, Path(name))
        subprocess.run(command, cwd=ROOT, check=True, env=environment_of(python))
        figures: Record = json.loads((Path(name) / "figures.json").read_text())
    return {"network": named(network), "threads": threads, **figures}


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    rows = []
    for group in record["networks"]:
        first = group["runs"][0]["seconds"]
        for run in group["runs"]:
            figures = [f"{1000 * run[name]:.1f}" for name in ("seconds", "cpu_seconds")]
            ratio, difference = f"{run['seconds'] / first:.2f}", f"{run['difference']:.1e}"
            rows.append([group["network"], group["threads"], run["way"], *figures, ratio, difference])
    (available,) = {", ".join(group["available"]) for group in record["networks"]}
    (versions,) = {", ".join(map(" ".join, group["versions"].items())) for group in record["networks"]}
    notes = f"{record['hardware']}. Versions: {versions}. Providers of this ONNX Runtime: {available}."
    return f"{table(HEADER, rows)}\n\n{notes}"


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["small", "large"], metavar="NAME|FILE")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tile", type=int, default=224, help="side of the tile in px")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--python", type=Path, default=python_of("openvino"), help="of the environment with OpenVINO")
    args = parser.parse_args()
    if not args.python.exists():
        parser.error(f"{args.python} is missing; install OpenVINO: make .venv-openvino/.ready")
    networks = [find_network(name) for name in args.networks]
    figures = [measured(args.python, network, threads, args) for network in networks for threads in args.threads]
    record = {"hardware": processor(), "tile": args.tile, "networks": figures}
    print(text(record))
    print(write_record("providers", record))


if __name__ == "__main__":
    main()
