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
"""Files of Linux control groups, version 2 and 1: processor time per period, and the period, in microseconds."""
CPUS = Path("/sys/devices/system/cpu")
"""The folder in which Linux describes each logical core."""
CPUINFO = Path("/proc/cpuinfo")
"""The file in which Linux names the instructions of the processor, after "flags" on x86-64."""
X86_64_V3 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"})
"""The flags of a processor of level x86-64-v3, which are those of nearly all since 2015 (System V psABI of x86-64)."""


def machine_cores() -> int:
    """Return the number of logical cores of the machine.

    >>> machine_cores() >= 1
    True
    """
    return os.cpu_count() or 1


def cores() -> int:
    """Return how many logical cores this process may use.

    Two limits apply, and the smaller one counts: the cores that the process is bound to (`taskset`,
    `docker --cpuset-cpus`) and the processor time of its container (`docker --cpus`), rounded up to whole cores.

    >>> 1 <= cores() <= machine_cores()
    True
    """
    return min([len(_bound_cores()), *_quotas()])


def is_x86_64_v3() -> bool:
    """Return whether the processor has the instructions of the level x86-64-v3, such as AVX2; False if not known.

    >>> is_x86_64_v3() in (True, False)
    True
    """
    with suppress(OSError), CPUINFO.open() as lines:
        return any(line.startswith("flags") and set(line.split()) >= X86_64_V3 for line in lines)
    return False


def threads(requested: int) -> int:
    """Return the number of threads to start: ``requested``, but at most `cores`; with 0, exactly `cores`.

    >>> threads(1)
    1
    >>> threads(0) == threads(1_000_000) == cores()
    True
    """
    usable = cores()
    return min(requested or usable, usable)


def physical_cores() -> int:
    """Return the number of physical cores that this process is bound to.

    With hyper-threading several logical cores share one physical core; such a group counts once.

    >>> 1 <= physical_cores() <= machine_cores()
    True
    """
    return len({_siblings(number) for number in _bound_cores()})


def _bound_cores() -> set[int]:
    """Return the numbers of the logical cores that this process is bound to; all if that is unknown."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(machine_cores()))


def _siblings(number: int) -> str:
    """Return the logical cores that share a physical core with core ``number``, as Linux lists them ("0,4").

    Without that list, return the core's own number.
    """
    try:
        return (CPUS / f"cpu{number}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(number)


def _quotas() -> list[int]:
    """Return each limit on the processor time of this container, in cores, rounded up."""
    limits = []
    for paths in QUOTAS:
        with suppress(OSError, ValueError):  # there is no such limit, or it is "max"
            quota, period = " ".join(path.read_text() for path in paths).split()
            if int(quota) > 0:
                limits.append(max(1, math.ceil(int(quota) / int(period))))
    return limits
