"""Workers of a cluster that are killed at random moments: the labels must be those of one machine, and nothing twice.

    python -m bench.trust.kills [--kills 50] [--workers 3] [--minutes 60] [--seed 0]

A cluster on this machine, with the settings of `--cluster local`, segments a folder of small images and one tall image,
which the workers share although it is too small to make that worth. During each run two random workers are killed with
kill -9, at moments that are drawn evenly from the time of an undisturbed run. Runs are repeated until there were
`--kills` kills or `--minutes` have passed. After each run every image must have exactly one outcome, `done`, its label
file and its table must be those of one machine, byte for byte, and no other file may remain.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import tifffile

import flowmask
from bench.record import Record, table, write_record
from flowmask.cluster import executor
from flowmask.cluster.address import LOCAL_SETTINGS
from train.simulate import simulate

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

SHAPES = ((4000, 260), (150, 200), (220, 150), (180, 180), (120, 330))
"""Height and width in px of each image; the first one is shared."""
DIAMETER = 26.0
LEAST_SHARED = 50_000
KILLS_A_RUN = 2
OUTPUT = flowmask.Output(save=("labels", "table"))
Files = dict[str, bytes]


@dataclass
class Finding:
    """One run, and what was killed in it."""

    at: list[str] = field(default_factory=list)
    """What each killed worker was doing: segment, maps or nothing."""
    moments: list[float] = field(default_factory=list)
    """When each was killed, in seconds after the start of the run."""
    seconds: float = 0.0
    once: bool = False
    """Whether each image has exactly one outcome, and it is done."""
    same: bool = False
    """Whether the files are those of one machine, and no other file is there."""

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        return self.once and self.same


def write_images(folder: Path) -> None:
    """Write the simulated images."""
    folder.mkdir()
    for number, shape in enumerate(SHAPES):
        image = simulate("fluorescence_nuclei", shape, number, int(DIAMETER)).image
        tifffile.imwrite(folder / f"{number}.tif", image, photometric="minisblack")


def files(folder: Path) -> Files:
    """Return the files of an output folder by name."""
    return {path.name: path.read_bytes() if path.is_file() else b"" for path in folder.iterdir()}


def kill_one(cluster: LocalCluster, random: Random) -> str | None:
    """Kill a random worker and return what it was doing; None if no worker is up."""
    assert cluster.scheduler is not None
    states = {state.address: state for state in [*cluster.scheduler.workers.values()]}
    up = [nanny for nanny in cluster.workers.values() if nanny.worker_address in states and nanny.pid]
    if not up:
        return None
    nanny = random.choice(up)
    stages = [str(task.key).split("-")[0] for task in [*states[nanny.worker_address].processing]]
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(nanny.pid, signal.SIGKILL)
    return stages[0] if stages else "nothing"


def disturb(cluster: LocalCluster, ended: threading.Event, length: float, finding: Finding, random: Random) -> None:
    """Kill workers at random moments, and replace lost ones, until the run ends. length: s of an undisturbed run."""
    begun, workers = time.monotonic(), len(cluster.worker_spec)
    moments = sorted(random.uniform(0, length) for _ in range(KILLS_A_RUN))
    while not ended.wait(min(1.0, max(0.0, moments[0] + begun - time.monotonic())) if moments else 1.0):
        if moments and time.monotonic() >= begun + moments[0]:
            stage = kill_one(cluster, random)
            if stage is not None:
                finding.at.append(stage)
                finding.moments.append(time.monotonic() - begun)
                del moments[0]
        cluster.scale(workers)  # Dask gives up a process that ends while it starts


def run(client: Client, images: Path, length: float, expected: Files, random: Random) -> Finding:
    """Segment the images while workers are killed, and return what was found. length: 0 for an undisturbed run."""
    finding, ended, cluster = Finding(), threading.Event(), client.cluster
    assert cluster is not None
    with tempfile.TemporaryDirectory() as name:
        arguments = (cluster, ended, length, finding, random)
        killer = threading.Thread(target=disturb, args=arguments)
        if length:
            killer.start()
        begun = time.monotonic()
        try:
            outcomes = flowmask.segment_many([images], name, outputs=OUTPUT, client=client, diameter=DIAMETER)
        finally:
            ended.set()
            if length:
                killer.join()
        finding.seconds = time.monotonic() - begun
        finding.once = sorted((Path(one.file).name, one.status) for one in outcomes) == [
            (f"{number}.tif", "done") for number in range(len(SHAPES))
        ]
        finding.same = files(Path(name)) == expected
    return finding


def measured(kills: int, workers: int, minutes: float, seed: int) -> Record:
    """Return the findings of as many runs as it takes for so many kills, or fit into so many minutes."""
    import dask
    from distributed import Client, LocalCluster

    executor.LEAST_SHARED = LEAST_SHARED
    random, findings, end = Random(seed), list[Finding](), time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as name, dask.config.set(LOCAL_SETTINGS):
        images, alone = Path(name, "images"), Path(name, "alone")
        write_images(images)
        flowmask.segment_many([images], alone, outputs=OUTPUT, diameter=DIAMETER)
        expected = files(alone)
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, memory_limit="4GiB", dashboard_address=":0", silence_logs=50
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            lengths = [run(client, images, 0.0, expected, random) for _ in range(2)]  # the first opens the networks
            length = lengths[-1].seconds
            while sum(len(one.at) for one in findings) < kills and time.monotonic() < end:
                findings.append(run(client, images, length, expected, random))
                print(f"{len(findings)}: {findings[-1]}", file=sys.stderr, flush=True)
    undisturbed = all(one.passed for one in lengths)
    return {"seed": seed, "workers": workers, "undisturbed_s": length, "undisturbed_passed": undisturbed} | {
        "findings": [{**asdict(one), "passed": one.passed} for one in findings]
    }


def count(findings: Sequence[Record]) -> Counter[str]:
    """Return how many workers were killed at each stage.

    >>> count([{"at": ["maps", "segment"]}, {"at": ["maps"]}])["maps"]
    2
    """
    return Counter(stage for one in findings for stage in one["at"])


def text(record: Record) -> str:
    """Return the findings as Markdown."""
    findings = record["findings"]
    stages = count(findings)
    rows = [[stage, stages[stage]] for stage in ("segment", "maps", "nothing")]
    passed = sum(one["passed"] for one in findings)
    about = f"{stages.total()} kills in {len(findings)} runs on {record['workers']} workers, each of {len(SHAPES)} "
    about += (
        f"images; {passed} of {len(findings)} runs passed. An undisturbed run took {record['undisturbed_s']:.1f} s."
    )
    return f"{about}\n\n{table(['the worker was at', 'kills'], rows)}"


def main() -> int:
    """Kill the workers, print the findings, write the record; return 1 if a run did not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=60.0, help="after these, no further run begins")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    record = measured(args.kills, args.workers, args.minutes, args.seed)
    print(text(record))
    print(write_record("kills", record))
    return int(not (record["undisturbed_passed"] and all(one["passed"] for one in record["findings"])))


if __name__ == "__main__":
    sys.exit(main())
