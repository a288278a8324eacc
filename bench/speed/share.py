"""Print the share of an image's processor time that goes into labels; the rest goes into reading and the network.

    taskset -c 0 python -m bench.speed.share IMAGE [--diameter 26]

The image's maps are kept in memory. One thread, the default network, on the CPU; the labels are made twice, because the
first time loads the kernels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from flowmask.api import load_network
from flowmask.families import family_of
from flowmask.images.readers import open_image
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.options import Runtime, Segmentation
from flowmask.pipeline import plan_image, run_tiles


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def share(path: Path, diameter: float) -> float:
    """Return the share of labels, from 0 to 1."""
    image, network, runtime = open_image(path), load_network(device="cpu", threads=1), Runtime(threads=1)
    plan = plan_image(image, network, Segmentation(diameter=diameter), runtime)
    label_rows = family_of(plan.contract).label_rows
    maps = list(run_tiles(image, network, plan, (0, 1)))  # the first run of the network allocates its memory
    maps.clear()
    network_s = cpu_seconds(lambda: maps.extend(run_tiles(image, network, plan)))
    labels_s = min(
        cpu_seconds(lambda: [None for _ in label_rows(iter(maps), plan, CellTableBuilder())]) for _ in range(2)
    )
    return labels_s / (network_s + labels_s)


def main() -> None:
    """Print the share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--diameter", type=float, default=26.0)
    args = parser.parse_args()
    print(share(args.image, args.diameter))


if __name__ == "__main__":
    main()
