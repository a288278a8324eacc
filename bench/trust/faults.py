"""Runs that are killed, stopped, or run out of disk or memory at random moments, and continue afterwards.

    python -m bench.trust.faults [--each 20] [--kills 10] [--side 1500] [--seed 0]

Five kinds of fault, `--each` of each: kill -9 of the run, kill -9 of the process that does its work, SIGTERM, a disk
that is full from a moment on (a small tmpfs where one can be mounted, otherwise a limit on the size of files), and a
limit on memory from a moment on. The moments are drawn evenly between the start of a run and its end. Each run has a
folder of three images and an empty output folder; after the fault the same command runs again.

Then `--kills` runs on one image of `--side` px are killed at a moment between the start of the work on the image and
its end, and resumed: how much of the network's output was cached, and how long the second run takes.

A label file must never differ from that of an undisturbed run, and no other file may remain in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import cv2

from bench.record import ROOT, Record, table, write_record
from flowmask.labels.paths import label_path, maps_path
from train.simulate import simulate

SIDES = {"a": 200, "b": 330, "c": 150}
"""Height and width in px of each image of the folder."""
DIAMETER = 24
DISK = 64 * 2**20
"""Bytes of the small disk: enough for the cached maps of the large image, 12 bytes a network pixel."""
SPARE = 40 * 2**20
"""Most bytes of memory that are left when the memory is limited."""
TIMEOUT = 300
POLL = 0.002
Run = subprocess.Popen[bytes]
Files = dict[str, bytes]
"""Label files by name."""


def start(images: Path, output: Path, report: Path) -> Run:
    """Start a run on an image or a folder of images."""
    words = ["-i", images, "-o", output, "--diameter", DIAMETER, "--resume", "--report", report]
    command = [sys.executable, "-m", "infer", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def worker(run: Run) -> int | None:
    """Return the process that does the work of a run, if there is one at the moment."""
    try:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def kill(run: Run, output: Path, random: Random) -> None:
    """Kill the run."""
    run.kill()


def kill_worker(run: Run, output: Path, random: Random) -> None:
    """Kill the process that does the work."""
    child = worker(run)
    if child:
        os.kill(child, signal.SIGKILL)


def stop(run: Run, output: Path, random: Random) -> None:
    """Ask the run to stop."""
    run.send_signal(signal.SIGTERM)


def fill(run: Run, output: Path, random: Random) -> None:
    """Fill the disk of the output folder, or limit the size of the run's files if the folder has no disk of its own."""
    if output.is_mount():
        with (output / "ballast").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(2**16)) == 2**16:
                    pass
            except OSError:
                return
    child = worker(run)
    if child:
        resource.prlimit(child, resource.RLIMIT_FSIZE, (random.randrange(2000), resource.RLIM_INFINITY))


def starve(run: Run, output: Path, random: Random) -> None:
    """Limit the memory of the working process to little more than it has."""
    child = worker(run)
    if child:
        size = int(Path(f"/proc/{child}/statm").read_text().split()[0]) * resource.getpagesize()
        limit = size + random.randrange(SPARE)
        resource.prlimit(child, resource.RLIMIT_AS, (limit, limit))


Fault = Callable[[Run, Path, Random], None]
FAULTS: dict[str, tuple[Fault, Sequence[int]]] = {
    "kill -9": (kill, (-9,)),
    "kill -9 of the worker": (kill_worker, (1, 2)),
    "SIGTERM": (stop, (143, -15)),
    "full disk": (fill, (1, 2)),
    "memory limit": (starve, (1, 2)),
}
"""The fault, and the exit codes that it may lead to besides 0; -15 while Python itself is starting."""


@dataclass(frozen=True)
class Case:
    """What is segmented, and the label files of an undisturbed run."""

    images: Path
    """An image, or a folder of images."""
    expected: Files
    length: float
    """Seconds of an undisturbed run; for a single image, from the start of the work on it."""
    cached: str = ""
    """Name of the file that exists from the start of the work on a single image."""


@dataclass(frozen=True)
class Finding:
    """The consequences of one fault."""

    fault: str
    moment: float
    """Seconds after the start of the run, or of its work on a single image."""
    exit_code: int
    known_code: bool
    whole: int
    """Label files that existed after the fault."""
    partial: int
    """How many of them differ from those of an undisturbed run."""
    cached_bytes: int
    """Size of the cached network output after the fault."""
    record: bool | None
    """Whether the record of the run can be read; None for a run that was killed."""
    resumed_s: float
    """Seconds of the second run."""
    same: bool
    """Whether all labels are those of an undisturbed run after the second run."""
    left: str
    """Files that remain in the end besides the labels."""

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        return self.known_code and not self.partial and self.record is not False and self.same and not self.left


def disturb(case: Case, name: str, moment: float, random: Random) -> Finding:
    """Start a run, cause a fault after ``moment`` seconds, run again, and return what was found after each."""
    fault, codes = FAULTS[name]
    with tempfile.TemporaryDirectory() as folder, disk(Path(folder) / "labels") as output:
        report = Path(folder) / "run.json"
        run = start(case.images, output, report)
        wait_for_work(run, output, case)
        time.sleep(moment)
        with suppress(ProcessLookupError):  # it has just ended
            fault(run, output, random)
        code = run.wait(TIMEOUT)
        (output / "ballast").unlink(missing_ok=True)
        found = labels(output)
        cached = sum(path.stat().st_size for path in output.glob(".*.maps"))
        record = readable(report, len(case.expected)) if code in (0, 1, 143) else None
        begun = time.perf_counter()
        start(case.images, output, report).wait(TIMEOUT)
        return Finding(
            fault=name,
            moment=moment,
            exit_code=code,
            known_code=code in (0, *codes),
            whole=len(found),
            partial=sum(case.expected[label] != data for label, data in found.items()),
            cached_bytes=cached,
            record=record,
            resumed_s=time.perf_counter() - begun,
            same=labels(output) == case.expected,
            left=" ".join(sorted(path.name for path in output.iterdir() if path.name not in case.expected)),
        )


def wait_for_work(run: Run, output: Path, case: Case) -> None:
    """Wait until a run works on a single image. Raises RuntimeError if it ends before."""
    while case.cached and not (output / case.cached).exists():
        if run.poll() is not None:
            raise RuntimeError(f"the run ended with exit code {run.returncode} before it worked on the image")
        time.sleep(POLL)


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """Give an empty folder, on a small disk of its own where one can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def labels(output: Path) -> Files:
    """Return the label files of a folder."""
    return {path.name: path.read_bytes() for path in output.glob("*_label.tiff")}


def readable(report: Path, files: int) -> bool:
    """Return whether the record of a run can be read and names so many files."""
    try:
        return len(json.loads(report.read_text())["files"]) == files
    except (OSError, ValueError, KeyError):
        return False


def write_image(path: Path, side: int, seed: int) -> None:
    """Write a simulated image of ``side`` x ``side`` px."""
    cv2.imwrite(str(path), simulate("fluorescence_nuclei", (side, side), seed, DIAMETER).image)


def folder_case(folder: Path) -> Case:
    """Write the three images and return the undisturbed run on them; ``folder`` is empty."""
    images = folder / "images"
    images.mkdir()
    for seed, (stem, side) in enumerate(SIDES.items()):
        write_image(images / f"{stem}.png", side, seed)
    lengths = []
    for attempt in ("first", "second"):
        begun = time.perf_counter()
        start(images, folder / attempt, folder / "run.json").wait(TIMEOUT)
        lengths.append(time.perf_counter() - begun)
    expected = labels(folder / "second")
    assert set(expected) == {label_path(folder, stem).name for stem in SIDES}
    return Case(images, expected, min(lengths))


def image_case(folder: Path, side: int, seed: int) -> Case:
    """Write an image of ``side`` x ``side`` px and return the undisturbed run on it; ``folder`` is empty."""
    image, output = folder / "slide.png", folder / "labels"
    write_image(image, side, seed)
    output.mkdir()
    case = Case(image, {}, 0.0, maps_path(label_path(output, image.name)).name)
    run = start(image, output, folder / "run.json")
    wait_for_work(run, output, case)
    begun = time.perf_counter()
    run.wait(TIMEOUT)
    return Case(image, labels(output), time.perf_counter() - begun, case.cached)


def repeat(case: Case, faults: Sequence[str], random: Random, interrupted: bool = False) -> list[Finding]:
    """Cause each of the faults in a run of its own; ``interrupted``: again if the run had ended before."""
    findings: list[Finding] = []
    for name in faults:
        while True:
            finding = disturb(case, name, random.uniform(0, case.length), random)
            if finding.exit_code or not interrupted:
                break
        findings.append(finding)
        verdict = "passed" if finding.passed else f"FAILED: {finding}"
        print(f"{len(findings)}: {name} after {finding.moment:.2f} s: {verdict}", file=sys.stderr)
    return findings


def measured(each: int, kills: int, side: int, seed: int) -> Record:
    """Return all findings: ``each`` of every fault on a folder, and ``kills`` on one image of ``side`` px."""
    random = Random(seed)
    record: Record = {"seed": seed, "side": side}
    with tempfile.TemporaryDirectory() as name:
        case = folder_case(Path(name))
        findings = repeat(case, [fault for fault in FAULTS for _ in range(each)], random)
        record |= {"length_s": case.length, "findings": [_entry(finding) for finding in findings]}
    with tempfile.TemporaryDirectory() as name:
        case = image_case(Path(name), side, seed)
        findings = repeat(case, ["kill -9"] * kills, random, interrupted=True)
        record |= {"image_length_s": case.length, "image_findings": [_entry(finding) for finding in findings]}
    return record


def _entry(finding: Finding) -> Record:
    return {**asdict(finding), "passed": finding.passed}


def folder_text(record: Record) -> str:
    """Return the table of the faults on the folder as Markdown."""
    rows = []
    for name in FAULTS:
        findings = [finding for finding in record["findings"] if finding["fault"] == name]
        if not findings:
            continue
        codes = " ".join(str(code) for code in sorted({finding["exit_code"] for finding in findings}))
        sums = [sum(finding[field] for finding in findings) for field in ("whole", "partial", "same", "passed")]
        rows.append([name, len(findings), codes, *sums[:3], sum(bool(f["left"]) for f in findings), sums[3]])
    header = ["fault", "runs", "exit codes", "label files found", "partial", "same labels", "left behind", "passed"]
    passed = sum(finding["passed"] for finding in record["findings"])
    last = f"{passed} of {len(record['findings'])} passed; an undisturbed run takes {record['length_s']:.2f} s."
    return f"{table(header, rows)}\n\n{last}"


def image_text(record: Record) -> str:
    """Return the table of the kills on one image as Markdown."""
    rows = []
    for finding in record["image_findings"]:
        state = ("PARTIAL" if finding["partial"] else "whole") if finding["whole"] else "none"
        figures = [finding["moment"], finding["cached_bytes"] / 1e6, state, finding["resumed_s"]]
        rows.append([*figures, finding["same"], finding["left"]])
    header = ["killed at, s", "cached, MB", "label file found", "resumed, s", "same labels", "left behind"]
    passed = sum(finding["passed"] for finding in record["image_findings"])
    about = f"One image of {record['side']} x {record['side']} px: {record['image_length_s']:.2f} s without a fault."
    return f"{table(header, rows)}\n\n{about} {passed} of {len(rows)} passed."


def text(record: Record) -> str:
    """Return the tables of a record as Markdown."""
    return (
        f"### Five kinds of fault, three small images\n\n{folder_text(record)}\n\n"
        f"### A large image that is killed and resumed\n\n{image_text(record)}"
    )


def main() -> int:
    """Cause the faults, print the tables, write the record; return 1 if a run did not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=20, help="runs for each kind of fault")
    parser.add_argument("--kills", type=int, default=10, help="runs on the large image")
    parser.add_argument("--side", type=int, default=1500, help="height and width of the large image in px")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    record = measured(args.each, args.kills, args.side, args.seed)
    print(text(record))
    print(write_record("faults", record))
    return int(not all(finding["passed"] for finding in [*record["findings"], *record["image_findings"]]))


if __name__ == "__main__":
    sys.exit(main())
