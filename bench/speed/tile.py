"""Time that networks take for one tile on the CPU, in turns, and their ratios to the first one.

    python -m bench.speed.tile small large [--tile 224] [--threads 2] [--repeats 30]

A network is a name of models/registry.toml or the path of an .onnx file. In each repeat every network runs once on the
same tile; the fastest run of each counts, because other work on the machine can only add to it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.record import Record, named, table, write_record
from flowmask.api import load_network
from flowmask.network.registry import find_network
from flowmask.network.session import Network


def fastest(networks: Sequence[Network], tile: int, repeats: int) -> list[float]:
    """Return the seconds of the fastest of ``repeats`` runs of each network on one tile of this side in px."""
    crop = np.random.default_rng(0).normal(0.5, 0.3, (1, 3, tile, tile)).astype(np.float32)
    seconds = [[_timed(network, crop) for network in networks] for _ in range(repeats + 1)]
    return [min(times) for times in zip(*seconds[1:], strict=True)]  # the first run of a network makes room for it


def _timed(network: Network, crop: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    begun = time.perf_counter()
    network.maps(crop)
    return time.perf_counter() - begun


def text(record: Record) -> str:
    """Return the table of a record as Markdown.

    >>> print(text({"networks": [{"network": "a", "ms": 20.0}, {"network": "b", "ms": 50.0}]}))
    | network | ms a tile | ratio to the first |
    | ------- | --------- | ------------------ |
    | a       | 20.0      | 1.00               |
    | b       | 50.0      | 2.50               |
    """
    first = record["networks"][0]["ms"]
    rows = [[one["network"], f"{one['ms']:.1f}", f"{one['ms'] / first:.2f}"] for one in record["networks"]]
    return table(["network", "ms a tile", "ratio to the first"], rows)


def main() -> None:
    """Time the networks, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NAME|FILE")
    parser.add_argument("--tile", type=int, default=224, help="side of the tile in px")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    paths = [find_network(name) for name in args.networks]
    networks = [load_network(path, device="cpu", threads=args.threads) for path in paths]
    times = fastest(networks, args.tile, args.repeats)
    figures = [{"network": named(Path(path)), "ms": 1000 * each} for path, each in zip(paths, times, strict=True)]
    record = {"tile": args.tile, "threads": args.threads, "networks": figures}
    print(text(record))
    print(write_record("tile", record))


if __name__ == "__main__":
    main()
