"""Workers that reach the scheduler only over a network, as on other machines, and one whose network fails.

    python -m bench.trust.networks [--workers 2] [--images 12] [--slide 3000]

Each worker runs in a network namespace of its own, joined to the scheduler by a bridge (Linux, as root, with the
command `ip`). Small images and one slide, whose maps the workers share, are segmented three times: on one machine, on
the cluster, and on the cluster while the last worker loses its network for good, at half of the time that the second
run took. All label files must be the same, byte for byte, and each image must be done once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import flowmask
from bench.record import Record, table, write_record
from bench.speed.cluster import PATIENCE, address_in, make_images, same_labels, started
from train.simulate.slide import write_slide

BRIDGE = "flowmask0"
ADDRESS = "10.213.7."
"""The network of the bridge; the scheduler has the number 1, and the workers have 2, 3, ..."""
DIAMETER = 26.0
SETTINGS = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "20s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "20s",
}
"""Dask's patience with a worker that is silent, shortened so that the run with a lost worker does not take minutes."""


def ip(*words: str) -> None:
    """Run the command `ip`."""
    subprocess.run(["ip", *words], check=True)


@contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """Network namespaces that are joined by a bridge; the value is their names."""
    with ExitStack() as stack:
        ip("link", "add", BRIDGE, "type", "bridge")
        stack.callback(ip, "link", "del", BRIDGE)
        ip("address", "add", f"{ADDRESS}1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        names = [f"flowmask{number}" for number in range(count)]
        for number, name in enumerate(names):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
            ip("link", "set", f"{name}a", "master", BRIDGE, "up")
            inside = ("netns", "exec", name, "ip")
            ip(*inside, "address", "add", f"{ADDRESS}{number + 2}/24", "dev", f"{name}b")
            ip(*inside, "link", "set", f"{name}b", "up")
            ip(*inside, "link", "set", "lo", "up")
        yield names


@contextmanager
def cluster(names: Sequence[str], folder: Path) -> Iterator[str]:
    """A scheduler on the bridge and a worker in each namespace; the value is the address of the scheduler."""
    from distributed import Client

    file = folder / "scheduler.json"
    dask = ["env", *(f"{name}={value}" for name, value in SETTINGS.items())]
    with ExitStack() as stack:
        words = ["--host", f"{ADDRESS}1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        stack.enter_context(started("dask_scheduler", *words, before=dask))
        address = address_in(file)
        for number, name in enumerate(names):
            words = [address, "--host", f"{ADDRESS}{number + 2}", "--nthreads", "1", "--no-dashboard"]
            stack.enter_context(started("dask_worker", *words, before=["ip", "netns", "exec", name, *dask]))
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(len(names), timeout=PATIENCE)
        yield address


def segmented(images: Path, out: Path, address: str | None) -> tuple[float, bool]:
    """Segment a folder; return the seconds, and whether each image has exactly one outcome and is done."""
    from distributed import Client

    runtime = flowmask.Runtime(device="cpu", threads=1)
    begun = time.monotonic()
    with ExitStack() as stack:
        client = stack.enter_context(Client(address, set_as_default=False)) if address else None
        outcomes = flowmask.segment_many([images], out, client=client, runtime=runtime, diameter=DIAMETER)
    once = sorted(outcome.file for outcome in outcomes) == sorted(str(path) for path in images.iterdir())
    return time.monotonic() - begun, once and all(outcome.status == "done" for outcome in outcomes)


def measured(workers: int, count: int, slide: int) -> Record:
    """Return the seconds of the three runs and whether their labels are the same."""
    runs: dict[str, tuple[float, bool]] = {}
    with tempfile.TemporaryDirectory() as folder_name, namespaces(workers) as names:
        folder = Path(folder_name)
        images, outs = folder / "images", [folder / name for name in ("alone", "together", "lost")]
        make_images(images, count, 512)
        write_slide(images / "slide.tif", (slide, slide))
        runs["one machine"] = segmented(images, outs[0], None)
        with cluster(names, folder) as address:
            segmented(images, folder / "again", address)  # now its workers have opened the network
            runs["cluster"] = segmented(images, outs[1], address)
            cut_s = runs["cluster"][0] / 2
            cut = threading.Timer(cut_s, ip, ("link", "set", f"{names[-1]}a", "down"))
            cut.start()
            runs["a worker loses its network"] = segmented(images, outs[2], address)
            cut.cancel()
        same = same_labels(outs)
    return {
        "workers": workers,
        "images": count,
        "slide": slide,
        "same": same,
        "cut_s": cut_s,
        "runs": {name: {"seconds": took, "once": once} for name, (took, once) in runs.items()},
    }


def text(record: Record) -> str:
    """Return the findings as Markdown."""
    rows = [[name, f"{run['seconds']:.0f}", "yes" if run["once"] else "NO"] for name, run in record["runs"].items()]
    about = (
        f"{record['workers']} workers in network namespaces of their own, {record['images']} images of 512 x 512 px "
    )
    about += f"and a slide of {record['slide']:,} x {record['slide']:,} px. The labels of the runs are "
    about += (
        f"{'the same, byte for byte' if record['same'] else 'NOT the same'}. The network of the last worker failed "
    )
    about += f"{record['cut_s']:.0f} s after the start of the last run."
    return f"{about}\n\n{table(['run', 'seconds', 'each image done once'], rows)}"


def main() -> int:
    """Run, print the findings, write the record; return 1 if a run did not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--slide", type=int, default=3000, help="height and width of the slide in px")
    args = parser.parse_args()
    record = measured(args.workers, args.images, args.slide)
    print(text(record))
    print(write_record("networks", record))
    in_time = record["cut_s"] < record["runs"]["a worker loses its network"]["seconds"]
    return int(not (in_time and record["same"] and all(run["once"] for run in record["runs"].values())))


if __name__ == "__main__":
    sys.exit(main())
