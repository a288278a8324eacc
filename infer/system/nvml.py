"""What NVIDIA's driver says of the GPUs and their memory: its management library (NVML), called through ctypes.

No package is needed: `libnvidia-ml.so.1` comes with the driver. Where it is absent there are no GPUs. GPUs are
counted as CUDA counts them in the order of their bus (CUDA_DEVICE_ORDER=PCI_BUS_ID): those that
CUDA_VISIBLE_DEVICES names, or all.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LIBRARY = "libnvidia-ml.so.1"
SUCCESS, TOO_SMALL = 0, 7
UNKNOWN = 2**64 - 1
"""What NVML says of a process whose memory it cannot tell."""


@dataclass(frozen=True)
class GpuMemory:
    """Bytes of a GPU's memory that are free, and that are used by anything."""

    free: int
    used: int


class _Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class _Process(ctypes.Structure):
    """nvmlProcessInfo_t of the third version."""

    _fields_ = [
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


def gpu_count() -> int:
    """Return how many GPUs CUDA would show this process; 0 without a driver."""
    with _library() as nvml:
        return len(_visible(nvml)) if nvml else 0


def gpu_name(index: int) -> str | None:
    """Return the name of a GPU; None where there is none of that number."""
    name = ctypes.create_string_buffer(96)
    with _device(index) as (nvml, device):
        known = nvml is not None and nvml.nvmlDeviceGetName(device, name, len(name)) == SUCCESS
    return name.value.decode() if known else None


def gpu_memory(index: int) -> GpuMemory | None:
    """Return the memory of a GPU; None where it cannot be told."""
    memory = _Memory()
    with _device(index) as (nvml, device):
        known = nvml is not None and nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == SUCCESS
    return GpuMemory(memory.free, memory.used) if known else None


def own_memory(index: int) -> int | None:
    """Return the bytes of a GPU that this process holds; None where NVML cannot tell.

    It tells processes apart by their number on the host, which a container does not know.
    """
    with _device(index) as (nvml, device):
        if nvml is None:
            return None
        count = ctypes.c_uint(0)
        code = nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), None)
        if code not in (SUCCESS, TOO_SMALL):
            return None
        found = (_Process * (count.value + 8))()
        count.value = len(found)
        if nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), found) != SUCCESS:
            return None
    own = [int(process.memory) for process in found[: count.value] if process.pid == os.getpid()]
    return own[0] if own and own[0] != UNKNOWN else None


@contextmanager
def _library() -> Iterator[ctypes.CDLL | None]:
    """Give NVML while the context lasts; None without it."""
    try:
        nvml = ctypes.CDLL(LIBRARY)
    except OSError:
        yield None
        return
    if nvml.nvmlInit_v2() != SUCCESS:
        yield None
        return
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


@contextmanager
def _device(index: int) -> Iterator[tuple[ctypes.CDLL | None, ctypes.c_void_p]]:
    """Give NVML and its handle of a GPU while the context lasts; None where there is none of that number."""
    with _library() as nvml:
        visible = _visible(nvml) if nvml else []
        yield (nvml, visible[index]) if index < len(visible) else (None, ctypes.c_void_p())


def _visible(nvml: ctypes.CDLL) -> list[ctypes.c_void_p]:
    """Return NVML's handles of the GPUs that CUDA shows, up to the first that CUDA_VISIBLE_DEVICES names in vain."""
    count = ctypes.c_uint(0)
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != SUCCESS:
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(count.value)] if chosen is None else chosen.split(",")
    handles = []
    for name in map(str.strip, names):
        handle = ctypes.c_void_p()
        if name.isdigit():
            code = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle))
        else:
            code = nvml.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
        if code != SUCCESS:
            break
        handles.append(handle)
    return handles
