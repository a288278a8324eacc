"""Resident memory of a process in MiB, now and at its peak (Linux). Uses the standard library only."""

import re
from pathlib import Path


def resident() -> float:
    """Return the resident memory in MiB."""
    return _field("VmRSS")


def peak(process: int | None = None) -> float:
    """Return the largest resident memory in MiB, of this or another process, since its start or `forget_peak`."""
    return _field("VmHWM", process)


def forget_peak() -> None:
    """Count the peak from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def _field(name: str, process: int | None = None) -> float:
    match = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{process or 'self'}/status").read_text())
    assert match
    return int(match[1]) / 1024
