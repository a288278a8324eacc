"""How much memory there is, and the most that this process has had."""

from __future__ import annotations

import os
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available_memory() -> int:
    """Return the bytes that the container or a limit on the process (ulimit -v) allow, or those of the machine."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = [int(text) for path in LIMITS if path.exists() and (text := path.read_text().strip()).isdigit()]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min([machine, *allowed, *([limit] if limit != resource.RLIM_INFINITY else [])])


def forget_peak() -> None:
    """Let `peak_memory` count from now on, where the system can do so (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Return the most bytes of memory that this process has had since `forget_peak`, or since its start."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found:
        return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
