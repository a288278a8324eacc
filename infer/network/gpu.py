"""Open a network on an NVIDIA GPU with CUDA or TensorRT, or give the reason why that is not possible."""

from __future__ import annotations

import ctypes
import io
import os
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from ..errors import one_line
from ..options import named, parse_memory
from ..system.nvml import gpu_count, gpu_memory, own_memory
from .bound_maps import means_no_room, probe_tile
from .onnx_scan import in_half_precision

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
"""ONNX Runtime's names of its execution providers."""
NAMES = {CUDA: "CUDA", TENSORRT: "TensorRT"}
CUDNN = "libcudnn.so.9"
"""A library that the CUDA provider loads late, at the first convolution."""
DRIVER = "NVIDIA driver R580 or newer"
"""The driver that CUDA 13, part of onnxruntime-gpu 1.31, needs."""
FATAL, WARNING = 4, 2
"""Severity levels of ONNX Runtime's log."""
SHARE = 0.9
"""The largest share of a GPU's free memory that is used."""
ASSUMED_FREE = 4 * 2**30
"""Bytes of free GPU memory that are assumed if the driver does not report it."""
CONTEXT = 2**30
"""Bytes of GPU memory reserved for CUDA, cuDNN and cuBLAS, which ONNX Runtime's limit does not cover. Not measured."""
LEAST = 2**29
"""Bytes of GPU memory that ONNX Runtime needs for a network of full width and one tile."""
CUDA_FAILURE = re.compile(r"CUDA failure \d+: [^;]*[^; ]")
"""CUDA's own message within a message of ONNX Runtime."""


@dataclass(frozen=True)
class NoGpu:
    """Why the network cannot run on the GPU."""

    reason: str
    """A message without a full stop, with a remedy."""
    expected: bool
    """Whether the user may expect a GPU: the machine has one, or this ONNX Runtime is built for one."""


def memory_limit(index: int, limit: str | None) -> tuple[int, int | None]:
    """Return the bytes of memory of a GPU that ONNX Runtime may allocate, and the bytes in use now (None if unknown).

    The first is `SHARE` of the free memory, or ``limit`` (the option gpu_memory, such as "10G") if that is smaller,
    minus `CONTEXT`; at least 0.
    """
    now = gpu_memory(index)
    usable = int(SHARE * now.free) if now else ASSUMED_FREE
    if limit is not None:
        usable = min(usable, parse_memory(limit, "gpu_memory"))
    return max(0, usable - CONTEXT), now.used if now else None


def used_memory(index: int, used_before: int | None) -> int | None:
    """Return the bytes of GPU memory that this process uses; None if the driver does not report it.

    If the driver reports the total of all processes only, the result is the increase since ``used_before`` bytes.
    """
    own, now = own_memory(index), gpu_memory(index)
    if own is None and now is not None and used_before is not None:
        return max(0, now.used - used_before)
    return own


def open_on_gpu(
    path: Path, options: onnxruntime.SessionOptions, kind: str, index: int, limit: int
) -> onnxruntime.InferenceSession | NoGpu:
    """Open a network on a GPU, or return why that is not possible.

    kind: "tensorrt", otherwise CUDA is used. index: the number of the GPU. limit: bytes of its memory that ONNX Runtime
    may allocate. options: changed for the GPU.
    """
    provider = TENSORRT if kind == "tensorrt" else CUDA
    available, gpus = provider in onnxruntime.get_available_providers(), gpu_count()
    reason = f"this ONNX Runtime is built without {NAMES[provider]}; install onnxruntime-gpu"
    if available and index < gpus and limit < LEAST:
        reason = f"less than 1.5G of GPU memory may be used; free some, or give a larger {named('gpu_memory')}"
    elif available:
        session = _gpu_session(path, options, provider, index, limit)
        if not isinstance(session, str):
            return session
        remedy = "free some GPU memory" if means_no_room(session) else f"install {DRIVER}"
        reason = f"{NAMES[provider]} did not load ({session}); {remedy}"
    if index >= gpus:
        visible = f"only {gpus} NVIDIA GPU(s) can be seen" if gpus else "no NVIDIA GPU can be seen"
        reason = f"{visible} (with Docker: --gpus), and {reason}"
    return NoGpu(reason, expected=available or gpus > 0)


def _gpu_session(
    path: Path, options: onnxruntime.SessionOptions, provider: str, index: int, limit: int
) -> onnxruntime.InferenceSession | str:
    """Return a session whose first provider is ``provider``, or the reason why the provider does not load.

    A CUDA session has run a small tile, because CUDA loads cuDNN and its kernels only when they are first used.
    """
    half = in_half_precision(path)
    options.enable_mem_pattern = False  # it would allocate the memory of the arena a second time
    providers: list[Any] = [(CUDA, _cuda_options(index, limit, half)), CPU]
    if provider == TENSORRT:
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # this provider has no option that turns TF32 off
        providers.insert(0, (TENSORRT, _tensorrt_options(index, limit, half)))
    onnxruntime.set_default_logger_severity(FATAL)  # the returned reason replaces the log of ONNX Runtime
    try:
        if provider == TENSORRT:
            os.makedirs(_tensorrt_cache(), exist_ok=True)
        with redirect_stdout(io.StringIO()):  # it prints the names of missing libraries
            onnxruntime.preload_dlls()
        session = onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
        if session.get_providers()[0] == CUDA:  # TensorRT would build an engine for the shape of this tile
            _run_probe_tile(session)
    except Exception as error:  # an old driver, a GPU that failed, or a file that fails on the CPU too
        message = one_line(error)
        failure = CUDA_FAILURE.search(message)
        return _missing_library(provider) or (failure[0] if failure else message)
    finally:
        onnxruntime.set_default_logger_severity(WARNING)
    return session if session.get_providers()[0] == provider else _missing_library(provider) or "no reason was given"


def _cuda_options(index: int, limit: int, half: bool) -> dict[str, str]:
    """Return the options of the CUDA provider. ``half``: whether the network has tensors of half precision.

    Convolution algorithms are chosen by a heuristic, not by timing all of them. TF32 is off for a network of single
    precision, so that the GPU computes with the precision of the CPU. (ONNX Runtime still uses TF32 for a convolution
    that cuDNN cannot plan otherwise; `bench.speed.gpu` would show the difference.) TF32 stays on for half precision: it
    does not change half-precision values, and without it no convolution runs on tensor cores.
    """
    return {
        "device_id": str(index),
        "gpu_mem_limit": str(limit),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "1" if half else "0",
    }


def _tensorrt_options(index: int, limit: int, half: bool) -> dict[str, str]:
    """Return the options of the TensorRT provider. ``limit`` applies to its workspace only, not to its weights."""
    return {
        "device_id": str(index),
        "trt_max_workspace_size": str(limit),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": _tensorrt_cache(),
        "trt_fp16_enable": str(half),
    }


def _tensorrt_cache() -> str:
    """Return the folder in which TensorRT caches the engines that it builds."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "flowmask", "tensorrt")


def _run_probe_tile(session: onnxruntime.InferenceSession) -> None:
    """Run a small tile, so that missing parts of CUDA (cuDNN, kernels for this GPU) are found when a network opens."""
    image = session.get_inputs()[0]
    if image.name == "image" and isinstance(image.shape[1], int):
        session.run(None, {"image": probe_tile(session)})


def _missing_library(provider: str) -> str | None:
    """Return the loader's message if a library of a provider cannot be loaded; None if all can be."""
    provider_library = f"libonnxruntime_providers_{NAMES[provider].lower()}.so"
    for library in (str(Path(onnxruntime.__file__).parent / "capi" / provider_library), CUDNN):
        try:
            ctypes.CDLL(library)
        except OSError as error:
            return one_line(error)
    return None
