"""Simulate the schedule of many slides on many workers: time, cost for a slide, and what limits it.

    python -m bench.speed.schedule [--slides 100000] [--gigapixels 1] [--workers 100 300 1000 3000 10000]

The simulator follows `flowmask.cluster.executor`: each image goes to the first free worker, in the order of the images;
when no image waits, workers without one help with the network of large images. (That they also label parts of these
is not simulated, so with many workers for one image the simulated time is too long.) The processor time of an image is
proportional to its pixels, plus a constant. These costs come from the runs on one worker in the record of
`bench.speed.cluster`: `bench/results/cluster.json`, or `results/cluster.json` if it was just measured. Its section
compares the simulated with the measured runs on two workers.

Here the simulator is compared with Dask itself: images that only sleep, on workers that are threads of this process, so
that other work on the machine does not matter. Then the plan: the schedule, storage with `--bandwidth`, and messages
that one scheduler passes on, each give a least time; the largest one counts. Prices and rates that were not measured
here are the constants below.
"""

from __future__ import annotations

import argparse
import heapq
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from bench.record import RESULTS, ROOT, Record, table, write_record
from flowmask.cluster.executor import LEAST_SHARED, over_workers
from flowmask.options import Options
from flowmask.runs.jobs import Job
from flowmask.runs.process import Preparation, Segment
from flowmask.runs.record import DONE, Outcome

BAND = 275
"""Rows of a band, about: a row of tiles."""
PRICE = 0.04
"""Dollars for an hour of one core; an assumption, about what clouds ask for."""
READ, WRITTEN = 0.7, 0.2
"""Bytes for each pixel: a slide with JPEG compression, read for the intensities and for the network; and labels."""
MESSAGES = 2000.0
"""Messages that one scheduler passes on in a second; an assumption."""


@dataclass(frozen=True)
class Costs:
    """Seconds of one core."""

    start: float
    """Of the command, until the first image begins and after the last one ends."""
    image: float
    """Of each image, whatever its size."""
    network: float
    """Of the network, for each million pixels."""
    labels: float
    """Of the rest, which only the image's own worker does, for each million pixels."""

    def of(self, size: float) -> float:
        """Return the seconds of an image of ``size`` million pixels on one worker.

        >>> Costs(1.0, 0.5, 2.0, 1.0).of(10)
        30.5
        """
        return self.image + size * (self.network + self.labels)


@dataclass
class Work:
    """What remains of an image that is at work, in seconds of one core."""

    network: float
    own: float
    band: float
    """Seconds that a helper loses when it starts: one row of tiles."""
    large: bool
    helpers: int = 0

    def speeds(self) -> tuple[float, float]:
        """Return how fast the network and the rest advance; the image's own worker advances both in proportion."""
        if self.network <= 0:
            return 0.0, 1.0
        own = self.own / (self.network * (1 + self.helpers) + self.own)
        return 1 - own + self.helpers, own

    def next(self) -> float:
        """Return the seconds until the network or the image is done."""
        network, own = self.speeds()
        return self.network / network if self.network > 0 else self.own / own

    def advance(self, seconds: float) -> None:
        """Work for some seconds."""
        network, own = self.speeds()
        self.network = self.network - network * seconds if self.network > 0 else 0.0
        self.own -= own * seconds
        if self.network < 1e-9:
            self.network, self.helpers = 0.0, 0


def simulate(sizes: Sequence[float], workers: int, costs: Costs) -> float:
    """Return the seconds that a run takes. sizes: million pixels of each image, in the order of the run.

    >>> simulate([1, 1, 1], 2, Costs(0.0, 0.0, 3.0, 1.0))  # small images are not shared
    8.0
    >>> 50 < simulate([25], 2, Costs(0.0, 0.0, 3.0, 1.0)) < 75  # one image of 100 seconds, shared
    True
    """
    free = [(0.0, worker, 0.0, 0.0) for worker in range(workers)]  # end, worker, start and size of its last image
    begun = 0.0
    for size in sizes:
        begun, worker, _, _ = heapq.heappop(free)
        heapq.heappush(free, (begun + costs.of(size), worker, begun, size))
    at_work = [_left(end, start, size, begun, costs) for end, _, start, size in free if end > begun]
    return costs.start + begun + _finish(at_work, workers)


def _left(end: float, start: float, size: float, now: float, costs: Costs) -> Work:
    """Return what is left at the time ``now`` of an image that is worked on from start to end."""
    left = (end - now) / (end - start)
    network = size * costs.network
    large = size * left * 1e6 >= LEAST_SHARED
    return Work(left * network, left * (costs.of(size) - network), network * BAND / (size * 1e6) ** 0.5, large)


def _finish(at_work: list[Work], workers: int) -> float:
    """Return the seconds until all images at work are done, while workers without an image help."""
    seconds = 0.0
    while at_work:
        idle = workers - len(at_work) - sum(work.helpers for work in at_work)
        shared = [work for work in at_work if work.large and work.network > work.band]
        while idle > 0 and shared:
            work = min(shared, key=lambda one: one.helpers)
            if work.network / (1 + work.helpers) < 2 * work.band:
                break
            work.helpers, work.network, idle = work.helpers + 1, work.network + work.band, idle - 1
        step = min(work.next() for work in at_work)
        for work in at_work:
            work.advance(step)
        at_work = [work for work in at_work if work.network > 0 or work.own > 1e-9]
        seconds += step
    return seconds


def costs_from(record: Record) -> Costs:
    """Return the costs that explain the runs on one worker in a record of `bench.speed.cluster`."""
    one, many, slide = (min(record["times"][name]["1 worker"]) for name in ("one image", "many images", "a slide"))
    size, large = record["side"] ** 2 / 1e6, record["slide"] ** 2 / 1e6
    each = (many - one) / (record["images"] - 1)
    for_pixels = (slide - one) / (large - size)
    labels = for_pixels * record["share_of_labels"]
    return Costs(one - each, max(0.0, each - size * for_pixels), for_pixels - labels, labels)


def comparison(record: Record) -> str:
    """Return the simulated and the measured runs on two workers of a record of `bench.speed.cluster`, as Markdown."""
    costs, rows = costs_from(record), []
    sizes = {"many images": [record["side"] ** 2 / 1e6] * record["images"], "a slide": [record["slide"] ** 2 / 1e6]}
    for name, found in sizes.items():
        if "2 workers" in record["times"][name]:
            measured = min(record["times"][name]["2 workers"])
            simulated = simulate(found, 2, costs)
            rows.append([name, f"{measured:.1f}", f"{simulated:.1f}", f"{simulated / measured - 1:+.0%}"])
    return "Two workers, simulated from the runs on one worker:\n\n" + table(
        ["folder", "measured, s", "simulated, s", "difference"], rows
    )


def mixed_load(record: Record, costs: Costs) -> float:
    """Return the simulated seconds on two workers of a record of `bench.speed.facility`.

    The costs may be of another day: they are scaled so that the simulated time on one worker is the one measured there.

    >>> record = {"images": 4, "side": 1000, "slides": 0, "slide": 0, "plain_s": 8.0}
    >>> mixed_load(record, Costs(0.0, 0.0, 0.75, 0.25))  # 4 s of work by the costs, 8 s as measured
    4.0
    """
    small, large = record["side"] ** 2 / 1e6, record["slide"] ** 2 / 1e6
    sizes = [small] * record["images"] + [large] * record["slides"]
    return float(record["plain_s"]) * simulate(sizes, 2, costs) / simulate(sizes, 1, costs)


def sleeping(seconds: Sequence[float], **_: Any) -> Segment:
    """Return a function that sleeps instead of segmenting; the file's name is its number."""

    def segment(job: Job, report: object) -> Iterator[Outcome]:
        time.sleep(seconds[int(job.path.name)])
        yield Outcome(str(job.path), DONE)

    return segment


def against_dask(seed: int, cases: Sequence[tuple[int, int]] = ((8, 1), (24, 3), (30, 5), (60, 8))) -> list[Record]:
    """Return simulated and measured seconds of images that sleep. cases: number of images, and of workers."""
    from distributed import Client, LocalCluster

    random, found = Random(seed), []
    with TemporaryDirectory() as folder:
        network = Path(folder, "none.onnx")
        network.touch()
        for images, workers in cases:
            seconds = [random.choice((0.5, 1.0, 4.0)) for _ in range(images)]
            arguments = {"models": [str(network)], "targets": [], "options": asdict(Options()), "seconds": seconds}
            jobs = [Job(Path(str(number)), Path(f"{number}_label.tiff")) for number in range(images)]
            with (
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
                ) as cluster,
                Client(cluster, set_as_default=False) as client,
            ):
                prepare = Preparation(__spec__.name, "sleeping", arguments)
                begun = time.perf_counter()
                assert len(list(over_workers(client, prepare, jobs, lambda _: None))) == images
                measured = time.perf_counter() - begun
            simulated = simulate(seconds, workers, Costs(0.0, 0.0, 0.0, 1.0))
            found.append({"images": images, "workers": workers, "measured_s": measured, "simulated_s": simulated})
    return found


def plan(slides: int, gigapixels: float, workers: Sequence[int], bandwidth: float, costs: Costs) -> list[Record]:
    """Return time, cost and limit of many slides for each number of workers. bandwidth: GB/s of the storage.

    >>> found = plan(100, 1, [10, 1000], 0.1, Costs(0.0, 0.0, 1.0, 0.0))
    >>> [one["limit"] for one in found]
    ['workers', 'storage']
    """
    found = []
    for count in workers:
        seconds = {
            "workers": simulate([1000 * gigapixels] * slides, count, costs),
            "storage": slides * gigapixels * (READ + WRITTEN) / bandwidth,
        }
        seconds["scheduler"] = seconds["workers"] * count / MESSAGES  # each worker sends one message a second
        limit = max(seconds, key=lambda name: seconds[name])
        hours = seconds[limit] / 3600
        dollars = hours * count * PRICE
        found.append({"workers": count, "hours": hours, "dollars_a_slide": dollars / slides, "limit": limit})
    return found


def text(record: Record) -> str:
    """Return the figures as Markdown."""
    checks = [
        [
            one["images"],
            one["workers"],
            f"{one['measured_s']:.1f}",
            f"{one['simulated_s']:.1f}",
            f"{one['simulated_s'] / one['measured_s'] - 1:+.0%}",
        ]
        for one in record["against_dask"]
    ]
    check = table(["images that sleep", "workers", "Dask, s", "simulated, s", "difference"], checks)
    costs = record["costs"]
    about = (
        f"{record['slides']:,} slides of {record['gigapixels']:g} Gpx; {costs['network']:.2f} s of one core for the "
    )
    about += f"network and {costs['labels']:.2f} s for the rest, for each million pixels; workers of one core at "
    about += f"{PRICE:.2f} dollars an hour; storage with {record['bandwidth']:g} GB/s."
    rows = [
        [f"{one['workers']:,}", f"{one['hours']:,.1f}", f"{one['dollars_a_slide']:.3f}", one["limit"]]
        for one in record["plan"]
    ]
    planned = table(["workers", "hours", "dollars a slide", "limited by"], rows)
    return f"{check}\n\n{about}\n\n{planned}"


def known_costs() -> Costs | None:
    """Return the costs from the record of `bench.speed.cluster`, None if there is no record."""
    for folder in (RESULTS, ROOT / "bench" / "results"):
        path = folder / "cluster.json"
        if path.exists():
            return costs_from(json.loads(path.read_text()))
    return None


def costs_of_record() -> Costs:
    """Return the costs from the record of `bench.speed.cluster`. Ends the program if there is none."""
    costs = known_costs()
    if costs is None:
        raise SystemExit("there is no record of the costs; run `python -m bench.speed.cluster`, or give --costs.")
    return costs


def main() -> None:
    """Simulate, print the tables and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=100_000)
    parser.add_argument("--gigapixels", type=float, default=1.0, help="size of a slide")
    parser.add_argument("--workers", type=int, nargs="+", default=[100, 300, 1000, 3000, 10_000])
    parser.add_argument("--bandwidth", type=float, default=5.0, help="GB/s that the storage reads and writes")
    parser.add_argument("--costs", type=float, nargs=4, help="start, image, network, labels; see `Costs`")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    costs = Costs(*args.costs) if args.costs else costs_of_record()
    record: Record = {
        "slides": args.slides,
        "gigapixels": args.gigapixels,
        "bandwidth": args.bandwidth,
        "costs": asdict(costs),
        "against_dask": against_dask(args.seed),
        "plan": plan(args.slides, args.gigapixels, args.workers, args.bandwidth, costs),
    }
    print(text(record))
    print(write_record("schedule", record))


if __name__ == "__main__":
    main()
