"""Count GPUs and read their memory with NVIDIA's management library (NVML), called through ctypes.

No Python package is needed: `libnvidia-ml.so.1` is part of the driver. Without this library the machine has no usable
GPU. GPUs are numbered as in CUDA with CUDA_DEVICE_ORDER=PCI_BUS_ID: in the order of the bus, and only those that
CUDA_VISIBLE_DEVICES lists, if it is set. Functions and structures: NVIDIA's NVML API reference.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LIBRARY = "libnvidia-ml.so.1"
SUCCESS, TOO_SMALL = 0, 7
"""NVML's return codes: success, and a buffer that is too small for the answer."""
UNKNOWN = 2**64 - 1
"""NVML reports this number of bytes when it cannot measure the memory of a process."""


@dataclass(frozen=True)
class GpuMemory:
    """The memory of a GPU in bytes."""

    free: int
    used: int
    """By all processes together."""


class _Memory(ctypes.Structure):
    """NVML's structure nvmlMemory_t."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class _Process(ctypes.Structure):
    """NVML's structure nvmlProcessInfo_t, as in nvmlDeviceGetComputeRunningProcesses_v3."""

    _fields_ = [
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


def gpu_count() -> int:
    """Return how many GPUs CUDA shows to this process; 0 without a driver.

    >>> gpu_count() >= 0
    True
    """
    with _library() as nvml:
        return len(_visible(nvml)) if nvml else 0


def gpu_name(index: int) -> str | None:
    """Return the name of a GPU, such as "NVIDIA H200"; None if there is no GPU with this number.

    >>> gpu_name(999) is None
    True
    """
    name = ctypes.create_string_buffer(96)
    with _device(index) as (nvml, device):
        known = nvml is not None and nvml.nvmlDeviceGetName(device, name, len(name)) == SUCCESS
    return name.value.decode() if known else None


def gpu_memory(index: int) -> GpuMemory | None:
    """Return the memory of a GPU; None if it cannot be read.

    >>> gpu_memory(999) is None
    True
    """
    memory = _Memory()
    with _device(index) as (nvml, device):
        known = nvml is not None and nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == SUCCESS
    return GpuMemory(memory.free, memory.used) if known else None


def own_memory(index: int) -> int | None:
    """Return the bytes of GPU memory that this process uses; None if NVML cannot report it.

    NVML lists processes by their id on the host. A process in a container has another id and does not find itself.

    >>> own_memory(999) is None
    True
    """
    with _device(index) as (nvml, device):
        if nvml is None:
            return None
        count = ctypes.c_uint(0)
        code = nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), None)
        if code not in (SUCCESS, TOO_SMALL):
            return None
        processes = (_Process * (count.value + 8))()  # more may have started since the count
        count.value = len(processes)
        if nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), processes) != SUCCESS:
            return None
    own = [int(process.memory) for process in processes[: count.value] if process.pid == os.getpid()]
    return own[0] if own and own[0] != UNKNOWN else None


@contextmanager
def _library() -> Iterator[ctypes.CDLL | None]:
    """Load and initialise NVML for the duration of the context; None if it is not installed."""
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
    """Give NVML and its handle of a GPU for the duration of the context; None if there is no GPU with this number."""
    with _library() as nvml:
        visible = _visible(nvml) if nvml else []
        yield (nvml, visible[index]) if index < len(visible) else (None, ctypes.c_void_p())


def _visible(nvml: ctypes.CDLL) -> list[ctypes.c_void_p]:
    """Return NVML's handles of the GPUs that CUDA shows.

    CUDA ignores the rest of CUDA_VISIBLE_DEVICES after the first entry that is not a GPU; so does this function.
    """
    count = ctypes.c_uint(0)
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != SUCCESS:
        return []
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(count.value)] if listed is None else listed.split(",")
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
