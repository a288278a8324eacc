"""How many processor cores this process may use."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

QUOTAS = (
    (Path("/sys/fs/cgroup/cpu.max"),),
    (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")),
)
"""Where control groups, version 2 and 1, keep the microseconds of processor time in each period, and that period."""
CPUS = Path("/sys/devices/system/cpu")
"""Where Linux keeps what it knows of each logical core."""


def machine_cores() -> int:
    """Return the logical cores of the machine."""
    return os.cpu_count() or 1


def cores() -> int:
    """Return how many logical cores this process is bound to, or its container's processor time makes up at most.

    The first is what `taskset` and `docker --cpuset-cpus` limit, the second what `docker --cpus` does.
    """
    return min([len(_bound()), *_quotas()])


def threads(asked: int) -> int:
    """Return as many threads as were asked for, 0 for all that are of use, and no more than there are `cores`."""
    usable = cores()
    return min(asked or usable, usable)


def physical_cores() -> int:
    """Return how many of the cores that this process is bound to are more than a second thread of another one."""
    return len({_siblings(number) for number in _bound()})


def _bound() -> set[int]:
    """Return the numbers of the logical cores that this process is bound to; all where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(machine_cores()))


def _siblings(number: int) -> str:
    """Return the list of logical cores that share a physical one with this one; its own number where untold."""
    try:
        return (CPUS / f"cpu{number}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(number)


def _quotas() -> list[int]:
    """Return what each limit to the processor time of this container is in cores."""
    found = []
    for paths in QUOTAS:
        with suppress(OSError, ValueError):  # no such limit, or none that is a number
            quota, period = " ".join(path.read_text() for path in paths).split()
            if int(quota) > 0:
                found.append(max(1, math.ceil(int(quota) / int(period))))
    return found
