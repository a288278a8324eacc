"""How many processor cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

QUOTAS = (
    (Path("/sys/fs/cgroup/cpu.max"),),
    (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")),
)
"""Where control groups, version 2 and 1, keep the microseconds of processor time in each period, and that period."""


def machine_cores() -> int:
    return os.cpu_count() or 1


def cores() -> int:
    """Return how many cores this process is bound to, or what its container's processor time makes up, rounded up.

    The first is what `taskset` and `docker --cpuset-cpus` limit, the second what `docker --cpus` does.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine_cores()
    return min([bound, *_quotas()])


def _quotas() -> list[int]:
    """Return what each limit to the processor time of this container is in cores."""
    texts = [" ".join(path.read_text().strip() for path in paths) for paths in QUOTAS if paths[0].exists()]
    pairs = [text.split() for text in texts]
    return [max(1, math.ceil(int(quota) / int(period))) for quota, period in pairs if quota.isdigit()]
