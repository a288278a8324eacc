"""The record of a run, for programs: what was asked for, what ran, and what became of every file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..images.file_type import digest
from ..system.atomic_write import atomic_write
from ..version import __version__

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
INTERRUPTED, NOT_REACHED = "interrupted", "not reached"
PACKAGES = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "numba", "tifffile", "imagecodecs", "opencv-python-headless",
    "scikit-image",
)  # fmt: skip
"""Distributions that a run may use; those that are installed are recorded."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    file: str
    """Its path, as the run came upon it."""
    status: str
    """One of the words above."""
    reason: str | None = None
    """Why there are no new labels, in one sentence that names the file and the remedy."""
    labels: Sequence[str] = ()
    """Paths of the label files: one, or two where the first cannot number all cells."""
    cells: int | None = None
    diameter: float | None = None
    """In px of the image, given or estimated."""
    seconds: float | None = None
    peak_memory: int | None = None
    """The most bytes that the process held while it worked on the file."""
    peak_gpu_memory: int | None = None
    """The most bytes of the GPU that the process has held by then; None without one."""
    device: str | None = None
    """What ran the network: cpu, cuda:0, tensorrt ..."""
    fallback: str | None = None
    """Why that is not the GPU that there might be."""
    last: bool = False
    """Whether the process that worked on it can work on no other file: the GPU failed in a way that stays."""
    network: str | None = None
    """SHA-256 of the network file."""
    trace: str | None = None
    """Where it happened, for a failure that Flowmask did not expect."""


def versions() -> dict[str, str]:
    """Return the versions of Python, Flowmask and the packages that a run uses."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "flowmask": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def make_room(path: Path) -> None:
    """Remove the record of an earlier run.

    Raises OutputError, before any work, where a new one cannot be written or something else is there.
    """
    _check_free(path)
    with atomic_write(path) as partial:
        partial.touch()
    path.unlink()


def _check_free(path: Path) -> None:
    """Raise OutputError where there is anything but the record of an earlier run."""
    if os.path.lexists(path) and not _is_record(path):
        raise OutputError(f"{path}: it is there already and no record of a run; give another with --report.")


def _is_record(path: Path) -> bool:
    try:
        plain = path.is_file() and not path.is_symlink()
        return plain and {"exit_code", "versions", "files"} <= json.loads(path.read_text()).keys()
    except (OSError, ValueError, AttributeError):
        return False


def write_record(
    path: Path,
    begun: datetime,
    options: Mapping[str, Any],
    outcomes: Sequence[Outcome],
    code: int,
    ending: str | None,
) -> None:
    """Write the record of a run as JSON: whole, or not at all.

    options: each option of the command line with its value; ending: what ended the run before all files had their
    turn. Raises OutputError when it cannot be written, or when the run has put something else there.
    """
    ran = next((outcome for outcome in outcomes if outcome.device), None)
    record = {
        "begun": begun.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "exit_code": code,
        "ending": ending,
        "versions": versions(),
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in options.items()},
        "network": {"path": str(options["model"]), "sha256": ran.network if ran else _digest(options["model"])},
        "device": {"asked": options["device"], "got": ran and ran.device, "fallback": ran and ran.fallback},
        "files": [asdict(outcome) for outcome in outcomes],
    }
    _check_free(path)
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n")


def _digest(network: Any) -> str | None:
    """Return the digest of a network file; None where there is none to be read, which has ended the run by then."""
    try:
        return digest(Path(network))
    except InputError:
        return None
