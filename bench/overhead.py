"""What everything but the network adds: the whole path from file to label file against the bare ONNX session.

    python -m bench.overhead [--side 4096] [--repeats 5]

One simulated image at scale 1 (the diameter given is the network's own). The session runs the same tiles of the same
lattice in the same batches, without reading, blending or anything else in its time; the whole path is the command
line's, network loading included. They take turns, beginning and ending with the session, and each run of the whole
path is held against the mean of the sessions before and after it: the speed of a shared machine drifts. The median
over the runs counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from flowmask import cli
from flowmask.api import load_network
from flowmask.images.image import open_image
from flowmask.network.session import Network
from flowmask.tiles.grid import tile_grid
from flowmask.tiles.normalise import channel_map, intensity_ranges
from flowmask.tiles.rescale import NormalisedView

from bench.mosaic import mosaic
from bench.record import print_table, write_record

WARM_UP = 300
"""Height and width in px of the image that goes first, so that no time holds a first call."""
Times = npt.NDArray[np.float64]
"""(2,) seconds: wall clock, CPU time of all threads. On a busy machine only the second says much."""


def clocks() -> Times:
    return np.array([time.perf_counter(), time.process_time()])


def bare(path: Path, network: Network, batch: int) -> tuple[Times, int]:
    """Return the times inside the network for all tiles of an image at scale 1, and how many tiles there are."""
    contract, image = network.contract, open_image(path)
    plan = channel_map(contract.channels, image.shape[0], None)
    view = NormalisedView(image, plan, intensity_ranges(image, plan, contract.percentiles), 1.0)
    rows, columns = (tile_grid(length, contract.tile) for length in view.shape)
    times = np.zeros(2)
    for top in rows.starts:
        tiles = np.stack([view.read(top, x, top + rows.tile, x + columns.tile) for x in columns.starts])
        begun = clocks()
        for first in range(0, len(tiles), batch):
            network.maps(tiles[first : first + batch])
        times += clocks() - begun
    return times, len(rows.starts) * len(columns.starts)


def whole(path: Path, model: Path, diameter: float, batch: int, folder: Path) -> Times:
    """Return the times that the command line takes for the image."""
    begun = clocks()
    words = ["-i", path, "-o", folder, "-m", model, "--diameter", diameter, "--batch", batch]
    if cli.main([str(word) for word in words]) != cli.ALL_DONE:
        raise SystemExit("the image could not be segmented; see the error above")
    return clocks() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=cli.MODEL)
    parser.add_argument("--side", type=int, default=4096, help="height and width of the image in px")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    network = load_network(args.model)
    diameter = network.contract.mean_diameter
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, side in (("small", WARM_UP), ("image", args.side)):
            cv2.imwrite(str(folder / f"{stem}.png"), mosaic(side, side, diameter)[0])
        whole(folder / "small.png", args.model, diameter, args.batch, folder / "labels")
        bare(folder / "small.png", network, args.batch)
        alone, tiles = bare(folder / "image.png", network, args.batch)
        runs = []
        for _ in range(args.repeats):
            all_ = whole(folder / "image.png", args.model, diameter, args.batch, folder / "labels")
            before, (alone, _) = alone, bare(folder / "image.png", network, args.batch)
            runs.append(((before + alone) / 2, all_))
    shares = np.array([100 * (all_ / alone - 1) for alone, all_ in runs])
    table = np.stack([[alone, all_, share] for (alone, all_), share in zip(runs, shares, strict=True)])
    added = np.median(shares, axis=0)
    rows = [[label, *run.T.ravel().tolist()] for label, run in enumerate(table, 1)]
    clock = ["s, bare session", "s, whole path", "added, %"]
    print_table(["run", *clock, *(f"CPU {name}" for name in clock)], rows)
    print(
        f"everything but the network adds {added[0]:.1f} % ({added[1]:.1f} % of CPU time) to {tiles} tiles, "
        f"{args.batch} at a time"
    )
    figures = {
        "side": args.side,
        "tiles": tiles,
        "batch": args.batch,
        "runs": [dict(zip(("bare_s", "whole_s"), np.stack(run).tolist(), strict=True)) for run in runs],
        "added_percent": float(added[0]),
        "added_cpu_percent": float(added[1]),
    }
    print(write_record("overhead", figures))


if __name__ == "__main__":
    main()
