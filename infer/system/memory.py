"""How much memory this process may use, and its peak so far."""

from __future__ import annotations

import os
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files of Linux control groups, version 2 and version 1, with the memory limit of the container in bytes."""


def available_memory() -> int:
    """Return the bytes of memory that this process may use.

    This is the smallest of the machine's memory, the limits of the container, and the limit of the process (ulimit -v).

    >>> available_memory() > 2**20
    True
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    container = [int(text) for path in LIMITS if path.exists() and (text := path.read_text().strip()).isdigit()]
    process = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min([machine, *container, *([process] if process != resource.RLIM_INFINITY else [])])


def forget_peak() -> None:
    """Start a new measurement of `peak_memory`. This has an effect on Linux only.

    >>> before = peak_memory()
    >>> forget_peak()
    >>> peak_memory() <= before
    True
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Return the peak memory of this process in bytes since `forget_peak` (on Linux) or since its start.

    The source is VmHWM in /proc/self/status, otherwise getrusage, whose unit is bytes on macOS and KiB elsewhere.

    >>> block = bytes(50 * 2**20)
    >>> peak_memory() > 50 * 2**20
    True
    """
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        match = None
    if match:
        return 1024 * int(match[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
