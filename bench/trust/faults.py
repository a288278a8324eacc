"""Check 3 of trust: runs that are killed, stopped, out of disk or out of memory at random moments, and go on after it.

    python -m bench.faults [--each 20] [--seed 0]

Five kinds of fault, `--each` of each: kill -9 of the run, kill -9 of the process that does its work, SIGTERM, a disk
that is full from a moment on (a small tmpfs where one may be mounted, a limit on the size of files elsewhere), and a
limit on memory from a moment on. The moments are drawn evenly between the start of a run and its end. Each run has a
folder of three images and an empty output folder; after the fault the same command runs again. No label file may ever
be anything but what an undisturbed run makes of it, and nothing else may be left in the end.
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
from flowmask.labels.paths import label_path

from bench.record import ROOT, print_table, write_record
from train.simulate import simulate

SIZES = {"a": 200, "b": 330, "c": 150}
"""Height and width in px of each image."""
DIAMETER = 24
DISK = 16 * 2**20
SPARE = 40 * 2**20
"""Most bytes of memory that are left at the moment from which it is limited."""
TIMEOUT = 300
Run = subprocess.Popen[bytes]


def start(images: Path, output: Path, report: Path) -> Run:
    words = ["-i", images, "-o", output, "--diameter", str(DIAMETER), "--resume", "--report", report]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "infer", *words], cwd=ROOT, **quiet)


def worker(run: Run) -> int | None:
    """Return the process that does the work of a run, if there is one at the moment."""
    try:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def kill(run: Run, output: Path, random: Random) -> None:
    run.kill()


def kill_worker(run: Run, output: Path, random: Random) -> None:
    child = worker(run)
    if child:
        os.kill(child, signal.SIGKILL)


def stop(run: Run, output: Path, random: Random) -> None:
    run.send_signal(signal.SIGTERM)


def fill(run: Run, output: Path, random: Random) -> None:
    """Leave no room on the output folder's disk, or let no file of the run grow any more where that is not its own."""
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
    """Let the working process have little more memory than it has."""
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
"""What is done, and the exit codes that it may lead to besides 0; -15 while Python itself is starting."""


@dataclass(frozen=True)
class Finding:
    """What a fault led to."""

    fault: str
    moment: float
    """Seconds after the start of the run."""
    exit_code: int
    known_code: bool
    whole: int
    """Label files that were there after the fault."""
    partial: int
    """How many of them were not what an undisturbed run makes."""
    record: bool | None
    """Whether the record of a run that ended by itself can be read; None for one that did not."""
    same: bool
    """Whether all labels are those of an undisturbed run after the second one."""
    left: str
    """Files that are there in the end besides the labels."""

    @property
    def passed(self) -> bool:
        return self.known_code and not self.partial and self.record is not False and self.same and not self.left


def trouble(name: str, images: Path, expected: dict[str, bytes], moment: float, random: Random) -> Finding:
    """Do a fault ``moment`` seconds after the start of a run, run again, and say what was found after each."""
    fault, codes = FAULTS[name]
    with tempfile.TemporaryDirectory() as folder, disk(Path(folder) / "labels") as output:
        report = Path(folder) / "run.json"
        run = start(images, output, report)
        time.sleep(moment)
        with suppress(ProcessLookupError):  # it has just ended
            fault(run, output, random)
        code = run.wait(TIMEOUT)
        (output / "ballast").unlink(missing_ok=True)
        found = labels(output)
        partial = sum(expected[label] != data for label, data in found.items())
        record = readable(report) if code in (0, 1, 143) else None
        start(images, output, report).wait(TIMEOUT)
        left = sorted(path.name for path in output.iterdir() if path.name not in expected)
        return Finding(
            name,
            moment,
            code,
            code in (0, *codes),
            len(found),
            partial,
            record,
            labels(output) == expected,
            " ".join(left),
        )


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """Give an empty folder on a disk of its own where that can be had, and anywhere else."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def labels(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("*_label.tiff")}


def readable(report: Path) -> bool:
    try:
        return len(json.loads(report.read_text())["files"]) == len(SIZES)
    except (OSError, ValueError, KeyError):
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random = Random(args.seed)
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images"
        images.mkdir()
        for index, (stem, size) in enumerate(SIZES.items()):
            cv2.imwrite(
                str(images / f"{stem}.png"), simulate("fluorescence_nuclei", (size, size), index, DIAMETER).image
            )
        lengths = []
        for attempt in ("first", "second"):
            begun = time.perf_counter()
            start(images, folder / attempt, folder / "run.json").wait(TIMEOUT)
            lengths.append(time.perf_counter() - begun)
        expected = labels(folder / "second")
        assert set(expected) == {label_path(folder, stem).name for stem in SIZES}
        for name in [name for name in FAULTS for _ in range(args.each)]:
            findings.append(trouble(name, images, expected, random.uniform(0, min(lengths)), random))
            last = findings[-1]
            said = "passed" if last.passed else f"FAILED: {last}"
            print(f"{len(findings)}: {last.fault} after {last.moment:.2f} s: {said}", file=sys.stderr)
    rows = []
    for name in FAULTS:
        own = [finding for finding in findings if finding.fault == name]
        if own:
            codes = " ".join(str(code) for code in sorted({finding.exit_code for finding in own}))
            sums = [sum(getattr(finding, field) for finding in own) for field in ("whole", "partial", "same", "passed")]
            rows.append([name, len(own), codes, *sums[:3], sum(bool(finding.left) for finding in own), sums[3]])
    header = ["fault", "runs", "exit codes", "label files found", "partial", "same labels", "left behind", "passed"]
    print_table(header, rows)
    passed = sum(finding.passed for finding in findings)
    print(f"{passed} of {len(findings)} passed; an undisturbed run takes {min(lengths):.2f} s")
    figures = {"seed": args.seed, "length_s": min(lengths), "findings": [asdict(finding) for finding in findings]}
    print(write_record("faults", figures))
    return 0 if passed == len(findings) else 1


if __name__ == "__main__":
    sys.exit(main())
