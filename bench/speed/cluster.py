"""A Dask cluster against one machine: overhead at one worker, gain of a second one, and memory of the scheduler.

    python -m bench.speed.cluster [--images 40] [--side 512] [--slide 4000] [--tasks 10000] [--repeat 3]

Three folders are segmented: one small image, many, and one slide, whose maps two workers share. Each is segmented by
`flowmask segment` with one thread: without a cluster on core 0, on a cluster with one worker on core 0, and on a
cluster with two workers on the cores 0 and 1. The command and the scheduler run on core 0 too, so that a cluster has no
more cores than its workers have. Scheduler and workers are processes that run already, as on a cluster;
the time is that of the command, from its start to its end. The three take turns, --repeat times. The labels of all
runs are compared. Then --tasks images that need no work go through the scheduler, and its peak memory is that of the
kernel (VmHWM). The figures are also compared with those of the simulator, `bench.speed.schedule`, whose costs come
from the runs on one worker. Linux only. Nothing else should run on these cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import tifffile

from bench.record import ROOT, Record, table, write_record
from bench.resident import peak
from bench.speed.schedule import comparison
from flowmask.network.registry import default_network
from flowmask.options import Options
from flowmask.runs.jobs import Job
from flowmask.runs.process import Preparation, Segment
from flowmask.runs.record import DONE, Outcome
from train.simulate import simulate
from train.simulate.slide import write_slide

ONE, MANY, SLIDE = "one image", "many images", "a slide"
"""The folders."""
PLAIN, ONE_WORKER, TWO_WORKERS = "plain", "1 worker", "2 workers"
"""The kinds of runs."""
PATIENCE = 120
"""Seconds to wait for a scheduler and its workers."""


def make_images(folder: Path, count: int, side: int) -> None:
    """Write simulated images of fluorescent nuclei."""
    folder.mkdir(parents=True)
    for number in range(count):
        image = simulate("fluorescence_nuclei", (side, side), number, 26).image
        tifffile.imwrite(folder / f"{number:04}.tif", image, photometric="minisblack")


@contextmanager
def started(module: str, *words: str, before: Sequence[str] = ()) -> Iterator[int]:
    """Run a module of Dask's command line in a process; the value is its number.

    before: a command that runs it in another place, such as ``taskset`` on one core.
    """
    command = [*before, sys.executable, "-m", f"distributed.cli.{module}", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def address_in(file: Path) -> str:
    """Return the address of a scheduler from the file that it writes at its start."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(OSError, json.JSONDecodeError):  # it is not there yet, or not complete
            address: str = json.loads(file.read_text())["address"]
            return address
        time.sleep(0.1)
    raise TimeoutError(f"{file}: the scheduler does not start")


@contextmanager
def cluster(workers: int, folder: Path, memory: int = 0) -> Iterator[tuple[str, int]]:
    """Run a scheduler on core 0, and workers, each on a core; the value is its address and the number of its process.

    memory: bytes that each worker may use; 0 for the value that Dask chooses.
    """
    from distributed import Client

    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    with ExitStack() as stack:
        options = ("--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        scheduler = stack.enter_context(started("dask_scheduler", *options, before=["taskset", "-c", "0"]))
        address = address_in(file)
        for core in range(workers):
            words = (address, "--nthreads", "1", "--no-dashboard", *(["--memory-limit", str(memory)] if memory else []))
            stack.enter_context(started("dask_worker", *words, before=["taskset", "-c", str(core)]))
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=PATIENCE)
        yield address, scheduler


def seconds(images: Path, out: Path, options: Sequence[str], core: int) -> float:
    """Return how long a run takes whose command runs on a core."""
    pin = ["taskset", "-c", str(core)]
    words = ["segment", str(images), "-o", str(out), "--diameter", "26", "--threads", "1", "--device", "cpu", "--quiet"]
    begun = time.perf_counter()
    subprocess.run([*pin, sys.executable, "-m", "flowmask", *words, *options], check=True)
    return time.perf_counter() - begun


def do_nothing(**_: Any) -> Segment:
    """Return a function that segments an image at once."""

    def segment(job: Job, report: object) -> Iterator[Outcome]:
        yield Outcome(str(job.path), DONE, labels=(str(job.target),), cells=0, diameter=30.0, verdict="good")

    return segment


def scheduler_memory(tasks: int, folder: Path) -> Record:
    """Return the memory of the scheduler before and after a run of many images, and its time."""
    from distributed import Client

    from flowmask.cluster.executor import over_workers

    paths = [Path("/a/folder/of/a/shared/file/system", f"slide_{number:06}.ome.tif") for number in range(tasks)]
    jobs = [Job(path, path.with_name(f"{path.stem}_label.tiff")) for path in paths]
    options = asdict(Options())
    arguments = {"models": [str(default_network())], "targets": [str(job.target) for job in jobs], "options": options}
    with cluster(1, folder) as (address, scheduler), Client(address, set_as_default=False) as client:
        before, begun = peak(scheduler), time.perf_counter()
        prepare = Preparation(__spec__.name, "do_nothing", arguments)
        done = sum(1 for _ in over_workers(client, prepare, jobs, lambda _: None))
        took = time.perf_counter() - begun
        return {"done": done, "before_mb": before, "peak_mb": peak(scheduler), "seconds": took}


def same_labels(folders: Sequence[Path]) -> bool:
    """Return whether the label files of all folders are the same, byte for byte.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as one, TemporaryDirectory() as two:
    ...     _ = Path(one, "a_label.tiff").write_bytes(b"1")
    ...     same_labels([Path(one), Path(one)]), same_labels([Path(one), Path(two)])
    (True, False)
    """
    contents = [{path.name: path.read_bytes() for path in folder.glob("*_label.tiff")} for folder in folders]
    return all(content == contents[0] for content in contents)


def share_of_labels(slide: Path) -> float:
    """Return the share of the processor time that goes into labels; the rest goes into the network."""
    command = ["taskset", "-c", "0", sys.executable, "-m", "bench.speed.share", str(slide)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def times_of(images: Path, folder: Path, repeat: int) -> tuple[dict[str, list[float]], bool]:
    """Return the seconds of each run on a folder of images, and whether all labels are the same.

    The kinds of runs take turns, because the speed of a shared machine drifts.
    """
    plain = folder / PLAIN
    seconds(images, plain, [], core=0)  # the first run of a machine compiles and reads files
    with ExitStack() as stack:
        runs: dict[str, tuple[Path, list[str], int]] = {PLAIN: (plain, [], 0)}
        for workers, name in enumerate((ONE_WORKER, TWO_WORKERS)[: len(os.sched_getaffinity(0))], 1):
            (folder / name).mkdir()
            address = stack.enter_context(cluster(workers, folder / name))[0]
            runs[name] = (folder / f"of {name}", ["--cluster", address], 0)
            seconds(images, folder / f"of {name}", ["--cluster", address], core=0)  # its workers open the network
        times = [{name: seconds(images, *run) for name, run in runs.items()} for _ in range(repeat)]
        return {name: [each[name] for each in times] for name in runs}, same_labels(
            [out for out, _, _ in runs.values()]
        )


def ratio(times: dict[str, list[float]], one: str, other: str) -> float:
    """Return the median of the ratios of the times of two kinds of runs, in the same turn.

    >>> ratio({"plain": [10, 20, 30], "1 worker": [11, 22, 36]}, "1 worker", "plain")
    1.1
    """
    return float(median(a / b for a, b in zip(times[one], times[other], strict=True)))


def measure(images: int, side: int, slide: int, tasks: int, repeat: int) -> Record:
    """Return the figures."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "in" / ONE, 1, side)
        make_images(folder / "in" / MANY, images, side)
        (folder / "in" / SLIDE).mkdir()
        write_slide(folder / "in" / SLIDE / "slide.tif", (slide, slide), 0)
        figures: Record = {"images": images, "side": side, "slide": slide, "repeat": repeat, "times": {}, "same": True}
        for name in (ONE, MANY, SLIDE):
            (folder / name).mkdir()
            figures["times"][name], same = times_of(folder / "in" / name, folder / name, repeat)
            figures["same"] &= same
        figures["share_of_labels"] = share_of_labels(folder / "in" / SLIDE / "slide.tif")
        return {**figures, "scheduler": {"tasks": tasks, **scheduler_memory(tasks, folder)}}


def text(record: Record) -> str:
    """Return the figures as Markdown."""
    scheduler, rows = record["scheduler"], []
    for name, times in record["times"].items():
        gain = f"{ratio(times, ONE_WORKER, TWO_WORKERS):.2f}" if TWO_WORKERS in times else None
        overhead = f"{ratio(times, ONE_WORKER, PLAIN) - 1:.1%}"
        rows.append([name, *(f"{min(took):.1f}" for took in times.values()), overhead, gain])
    header = ["folder", *record["times"][MANY], "overhead at 1 worker", "gain of a 2nd"]
    about = f"{record['images']} images of {record['side']} x {record['side']} px and a slide of {record['slide']:,} x "
    about += (
        f"{record['slide']:,} px; seconds, one thread an image, least of {record['repeat']} runs. The last columns "
    )
    about += "are medians over the runs, which took turns. The labels are "
    about += f"{'the same' if record['same'] else 'NOT the same'} in all runs. Of the processor time of the slide, "
    about += f"{record['share_of_labels']:.0%} goes into labels and the rest into the network."
    memory = f"Scheduler: {scheduler['before_mb']:.0f} MiB at the start, at most {scheduler['peak_mb']:.0f} MiB while "
    memory += f"{scheduler['done']:,} images without work went through in {scheduler['seconds']:.0f} s."
    return f"{about}\n\n{table(header, rows)}\n\n{memory}\n\n{comparison(record)}"


def main() -> int:
    """Measure, print the table and write the record; return 1 if the labels differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--slide", type=int, default=4000, help="height and width of the slide in px")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    record = measure(args.images, args.side, args.slide, args.tasks, args.repeat)
    print(text(record))
    print(write_record("cluster", record))
    return int(not record["same"])


if __name__ == "__main__":
    sys.exit(main())
