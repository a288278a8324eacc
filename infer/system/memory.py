"""How much memory this process may use, and its peak so far."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files of Linux control groups, version 2 and version 1, with the memory limit of the container in bytes."""
ASSUMED = 4 * 2**30
"""Bytes of memory of a machine that does not tell."""
GLIBC = {"M_TRIM_THRESHOLD": (-1, 64 * 2**20), "M_MMAP_THRESHOLD": (-3, 32 * 2**20)}
"""Parameters of mallopt(3): number and bytes. The bytes are those that glibc itself arrives at after large blocks."""


def available_memory() -> int:
    """Return the bytes of memory that this process may use.

    This is the smallest of the machine's memory, the limits of the container, and the limit of the process (ulimit -v).

    >>> available_memory() > 2**20
    True
    """
    container = [int(text) for path in LIMITS if path.exists() and (text := path.read_text().strip()).isdigit()]
    return min([_machine_memory(), *container, *_process_limit()])


def keep_freed_memory() -> None:
    """Let this process keep up to 64 MiB of freed memory for the next large arrays. This has an effect on Linux only.

    Dask starts workers that give freed memory back at once. Large arrays then cost an eighth more processor time,
    because the system clears their memory each time.

    >>> keep_freed_memory()
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library; on Windows there is none to ask
        library = ctypes.CDLL(None)
        for number, size in GLIBC.values():
            library.mallopt(number, size)


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

    The source is VmHWM in /proc/self/status, otherwise getrusage, whose unit is bytes on macOS and KiB elsewhere. 0 on
    a system that has neither, such as Windows.

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
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _process_limit() -> list[int]:
    """Return the limit on the address space of this process, if there is one."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [limit] if limit != resource.RLIM_INFINITY else []


def _machine_memory() -> int:
    """Return the bytes of memory of the machine."""
    with suppress(AttributeError, OSError, ValueError):  # Windows has no sysconf
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    windows = getattr(ctypes, "windll", None)
    known = windows is not None and windows.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.total) if known else ASSUMED


class _MemoryStatus(ctypes.Structure):
    """The structure MEMORYSTATUSEX of Windows."""

    _fields_ = [
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        *((name, ctypes.c_uint64) for name in ("free", "page", "page_free", "virtual", "virtual_free", "extended")),
    ]
