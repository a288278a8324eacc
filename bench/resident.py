"""Resident memory of this process in MiB, now and at its peak (Linux); needs nothing but the standard library."""

import re
from pathlib import Path


def resident() -> float:
    return _field("VmRSS")


def peak() -> float:
    """Return the largest resident memory since the start or the last `forget_peak`."""
    return _field("VmHWM")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _field(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024
