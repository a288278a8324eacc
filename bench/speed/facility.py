"""A mixed load on two workers against one core: time, labels, and the memory of scheduler and workers.

    python -m bench.speed.facility [--images 200] [--side 512] [--slides 2] [--slide 10000] [--memory 3G]

A folder of small images and large slides is segmented once by `flowmask segment` with one thread on core 0, and once
on a cluster of two workers with one thread on the cores 0 and 1, each with --memory for an image. Command and scheduler
run on core 0. Dask ends a worker that takes more than its limit, of which an image may use the share that `--cluster
local` gives it. The label files of both are compared byte for byte. The time on two workers is also simulated
(`bench.speed.schedule`), if there is a record of its costs. Peaks are those of the kernel (VmHWM). Linux only. Nothing
else should run on these cores.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.record import Record, write_record
from bench.resident import peak
from bench.speed.cluster import cluster, make_images, same_labels, seconds
from bench.speed.schedule import known_costs, mixed_load
from flowmask.cluster.address import SHARE
from flowmask.options import parse_memory
from train.simulate.slide import write_slide


def measure(images: int, side: int, slides: int, slide: int, memory: str) -> Record:
    """Return the figures."""
    from distributed import Client

    with TemporaryDirectory() as name:
        folder = Path(name)
        inputs, outs = folder / "in", [folder / "plain", folder / "two"]
        make_images(inputs, images, side)
        for number in range(slides):
            write_slide(inputs / f"slide_{number}.tif", (slide, slide), number)
        options = ["--memory", memory]
        plain = seconds(inputs, outs[0], options, core=0)
        with cluster(2, folder, int(parse_memory(memory) / SHARE)) as (address, scheduler):
            two = seconds(inputs, outs[1], [*options, "--cluster", address], core=0)
            with Client(address, set_as_default=False) as client:
                workers = [peak(process) for process in client.run(os.getpid).values()]
            memories = {"scheduler_mb": peak(scheduler), "workers_mb": workers}
        times = {"plain_s": plain, "two_workers_s": two, "same": same_labels(outs)}
    found = {"images": images, "side": side, "slides": slides, "slide": slide, "memory": memory, **times, **memories}
    costs = known_costs()
    return {**found, "simulated_s": mixed_load(found, costs)} if costs else found


def text(record: Record) -> str:
    """Return the figures as sentences.

    >>> figures = {"images": 2, "side": 9, "slides": 2, "slide": 99, "memory": "3G", "plain_s": 18, "two_workers_s": 10}
    >>> print(text({**figures, "same": True, "scheduler_mb": 70, "workers_mb": [900, 800]}))
    2 images of 9 x 9 px and 2 slides of 99 x 99 px: 18 s on one core, 10 s on two workers, 1.80 times as fast.
    The labels are the same, byte for byte. Peaks: scheduler 70 MiB, workers 900 and 800 MiB; an image may use 3G.
    """
    gain = record["plain_s"] / record["two_workers_s"]
    about = f"{record['images']} images of {record['side']} x {record['side']} px and {record['slides']} slides of "
    about += f"{record['slide']:,} x {record['slide']:,} px: {record['plain_s']:.0f} s on one core, "
    about += f"{record['two_workers_s']:.0f} s on two workers, {gain:.2f} times as fast."
    workers = " and ".join(f"{each:.0f}" for each in record["workers_mb"])
    labels = f"The labels are {'the same, byte for byte' if record['same'] else 'NOT the same'}. Peaks: scheduler "
    labels += f"{record['scheduler_mb']:.0f} MiB, workers {workers} MiB; an image may use {record['memory']}."
    if "simulated_s" in record:
        difference = record["simulated_s"] / record["two_workers_s"] - 1
        labels += (
            f"\nSimulated from the time on one core: {record['simulated_s']:.0f} s on two workers, {difference:+.0%}."
        )
    return f"{about}\n{labels}"


def main() -> int:
    """Measure, print the sentences and write the record; return 1 if the labels differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--slides", type=int, default=2)
    parser.add_argument("--slide", type=int, default=10_000, help="height and width of a slide in px")
    parser.add_argument("--memory", default="3G", help="memory for an image")
    args = parser.parse_args()
    record = measure(args.images, args.side, args.slides, args.slide, args.memory)
    print(text(record))
    print(write_record("facility", record))
    return int(not record["same"])


if __name__ == "__main__":
    sys.exit(main())
