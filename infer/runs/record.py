"""The record of a run, a JSON file: the options, the software, the device, and the outcome of every file."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, OutputError
from ..images.file_type import digest
from ..system.atomic_write import atomic_write, make_folder
from ..version import __version__

if TYPE_CHECKING:
    from ..sharing.counts import CountShare
    from ..sharing.share import Share

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
INTERRUPTED, NOT_REACHED = "interrupted", "not reached"
"""The status of a file. Skipped: its labels were finished before the run. Not reached: the run ended before it."""
PACKAGES = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "numba", "tifffile", "imagecodecs", "opencv-python-headless",
    "scikit-image", "pylibCZIrw", "nd2", "liffile",
)  # fmt: skip
"""Packages that a run can use; the record has the versions of the installed ones."""


@dataclass(frozen=True)
class Opened:
    """A file was opened, and the outcomes of its frames follow."""

    suffixes: Sequence[str]
    """The suffix of each label file, such as "_t001"; ("",) for a file of one image."""


@dataclass(frozen=True)
class Advanced:
    """How far the work on an image has come."""

    file: str
    """Path of the image file."""
    frame: str | None
    """Which frame of a series, such as t001; None for a file of one image."""
    fraction: float
    """Finished fraction, 0 to 1."""
    share: Share | CountShare | None = None
    """From now on others can help with the image, with this."""


@dataclass(frozen=True)
class Outcome:
    """The result of one file, or of one frame of a series."""

    file: str
    """Path of the image file, as found by `flowmask.runs.jobs.find_images`."""
    status: str
    """`DONE`, `SKIPPED`, `FAILED`, `INTERRUPTED` or `NOT_REACHED`."""
    reason: str | None = None
    """Error message of a failed file; it names the file and what to do."""
    frame: str | None = None
    """Which of the label images of a file with several: a frame of a time or position series, such as t001; a further
    label image, such as nuclear; or both, such as t001_nuclear. None for a file of one image."""
    frames: int = 1
    """Number of label images of the file."""
    labels: Sequence[str] = ()
    """Paths of the label files: one, or two if the first has reused ids."""
    outputs: Sequence[str] = ()
    """Paths of the other files that ``--save`` asked for."""
    cells: int | None = None
    """Number of cells."""
    diameter: float | None = None
    """Cell diameter in px of the image, given or estimated."""
    verdict: str | None = None
    """good, check or poor (`flowmask.labels.verdict.Verdict`); of a skipped file, that of the run that segmented it."""
    reasons: Sequence[str] = ()
    """Why the verdict is not good, one sentence each."""
    seconds: float | None = None
    """Duration."""
    peak_memory: int | None = None
    """Most bytes of memory that the process used while it worked on the file; None if the system does not tell."""
    peak_gpu_memory: int | None = None
    """Most bytes of GPU memory that the process had used when the file was finished; None without a GPU."""
    device: str | None = None
    """The device that ran the network, such as cpu, cuda:0 or tensorrt."""
    fallback: str | None = None
    """Why the network did not run on a GPU, if ``auto`` could not use one."""
    last: bool = False
    """Whether the process cannot work on further files, because its GPU failed permanently."""
    ends_run: bool = False
    """Whether no further file can be done, because nothing can be written into the output folder any more."""
    notes: Sequence[str] = ()
    """What was odd about the file, how it was read and which channels were used, one sentence each."""
    warnings: Sequence[str] = ()
    """Why the labels may not be what was wanted, one sentence each."""
    network: str | None = None
    """SHA-256 of the network file."""
    trace: str | None = None
    """Traceback of an unexpected error."""


def failure(path: Path, reason: str, frame: str | None = None, frames: int = 1) -> Outcome:
    """Return the outcome of a file, or of one of its label images, that failed; the reason names both.

    frame, frames: as in `Outcome`.

    >>> failure(Path("a.tif"), "a.tif: it is damaged.", "t002", 9).reason
    'a.tif: frame t002: it is damaged.'
    >>> failure(Path("a.tif"), "the disk is full.", "nuclear", 2).reason
    'a.tif: nuclear: the disk is full.'
    """
    part = f"{'frame ' if re.search('[0-9]', frame) else ''}{frame}: " if frame else ""
    named = f"{path}: {part}{reason.removeprefix(f'{path}: ')}"
    return Outcome(str(path), FAILED, named, frame=frame, frames=frames)


def versions() -> dict[str, str]:
    """Return the versions of Python, Flowmask and the installed packages of `PACKAGES`.

    >>> versions()["flowmask"] == __version__
    True
    """
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "flowmask": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def make_room(path: Path) -> None:
    """Make the folder of the record, check that the record can be written, and remove that of an earlier run.

    Raises OutputError if the record cannot be written, or if the file exists and is not a record.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.json")
    ...     _ = path.write_text('{"exit_code": 0, "versions": {}, "files": []}')
    ...     make_room(path)
    ...     path.exists()
    False
    """
    _check_free(path)
    make_folder(path.parent)
    with atomic_write(path) as partial:
        partial.touch()
    path.unlink()


def _check_free(path: Path) -> None:
    """Raise OutputError if the path exists and is not the record of an earlier run."""
    if os.path.lexists(path) and not _is_record(path):
        raise OutputError(
            f"{path}: the file exists and is not a Flowmask run record, so it is not overwritten; choose another with "
            "--report."
        )


def _is_record(path: Path) -> bool:
    try:
        regular = path.is_file() and not path.is_symlink()
        return regular and {"exit_code", "versions", "files"} <= json.loads(path.read_text()).keys()
    except (OSError, ValueError, AttributeError):
        return False


def run_record(
    begun: datetime, options: Mapping[str, Any], outcomes: Sequence[Outcome], code: int, ending: str | None
) -> dict[str, Any]:
    """Return the record of a run, as values that JSON can store.

    begun: start of the run. options: the options of the command line with their values; "model" is the list of the
    network files. code: exit code. ending: the reason if the run ended before all files were processed, otherwise None.

    >>> options = {"model": ["small.onnx"], "device": "cpu"}
    >>> run_record(datetime.now(UTC), options, [Outcome("a.png", DONE)], 0, None)["files"][0]["status"]
    'done'
    """
    segmented = next((outcome for outcome in outcomes if outcome.device), None)
    return {
        "begun": begun.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "exit_code": code,
        "ending": ending,
        "versions": versions(),
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in options.items()},
        "network": {
            "path": ",".join(map(str, options["model"])),
            "sha256": segmented.network if segmented else _digest(options["model"]),
        },
        "device": {
            "requested": options["device"],
            "used": segmented and segmented.device,
            "fallback": segmented and segmented.fallback,
        },
        "files": [asdict(outcome) for outcome in outcomes],
    }


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a run as JSON; the file appears complete or not at all.

    record: of `run_record`. Raises OutputError if it cannot be written, or if the run has written another file to this
    path.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.json")
    ...     write_record(path, run_record(datetime.now(UTC), {"model": ["a.onnx"], "device": "cpu"}, [], 0, None))
    ...     json.loads(path.read_text())["files"]
    []
    """
    _check_free(path)
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n")


def _digest(networks: Sequence[str]) -> str | None:
    """Return the SHA-256 of the network files, separated by commas, or None if one cannot be read.

    The run has then ended with that error.
    """
    try:
        return ",".join(digest(Path(network)) for network in networks)
    except InputError:
        return None
