"""The one place that talks to ONNX Runtime: devices asked for against devices got, threads, memory."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import DeviceError, NetworkError, NoRoomError, RunError, SettingsError, one_line
from ..options import parse_device, parse_memory
from ..system.cpu import cores, machine_cores, physical_cores, threads
from ..system.nvml import gpu_count, gpu_memory, own_memory
from .bound_maps import BoundMaps, no_room, probe_tile, says_no_room
from .contract import Contract, from_metadata
from .onnx_scan import in_half_precision, refers_elsewhere

# From 1.29 on ONNX Runtime reports its use to its makers unless told otherwise before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# GPUs have the numbers that nvidia-smi and NVML give them; CUDA reads this when it is first used.
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
import onnxruntime  # noqa: E402

Array = npt.NDArray[np.float32]
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
NAMES = {CUDA: "CUDA", TENSORRT: "TensorRT"}
CUDNN = "libcudnn.so.9"
"""What the CUDA provider loads only when a convolution first asks for it."""
DRIVER = "driver R580 or newer"
"""What the CUDA 13 of onnxruntime-gpu 1.31 needs."""
FATAL, WARNING = 4, 2
"""Severities of ONNX Runtime's own log."""
SHARE = 0.9
"""Of a GPU's free memory, what may be taken."""
UNTOLD = 4 * 2**30
"""Bytes of a GPU's memory that are taken to be free where the driver does not tell."""
CONTEXT = 2**30
"""Bytes of a GPU's memory for CUDA, cuDNN and cuBLAS themselves, outside ONNX Runtime's limit. Not measured."""
LEAST = 2**29
"""Bytes that ONNX Runtime needs of a GPU's memory for a network of full width and a tile."""
CUDA_FAILURE = re.compile(r"CUDA failure \d+: [^;]*[^; ]")
"""What CUDA itself says, in ONNX Runtime's account of where it said it."""
log = logging.getLogger(__name__)


class Network(Protocol):
    """What the engine asks of a network, whatever runs it."""

    contract: Contract
    gpu_memory: int | None
    """Bytes of a GPU's memory that the network and its tiles may fill; None on the CPU."""

    def maps(self, tiles: Array) -> Array:
        """Return the values of all heads (B, ``contract.map_channels``, Y, X) for tiles (B, C, Y, X), float32.

        Raises NoRoomError where fewer tiles at once might do, DeviceError where the GPU is lost to this process,
        RunError where nothing helps.
        """
        ...

    def diameters(self, tiles: Array) -> Array:
        """Return (B,) float32 cell diameters in network pixels; only where ``contract.sized``."""
        ...


class OnnxNetwork:
    """A network file opened on a device: the one asked for, or, where that is ``auto``, a GPU that can be had.

    ``gpu_memory``: at most so much of a GPU's memory, such as "10G". Raises NetworkError when the file is missing, no
    ONNX file, not ours or not all of the network, SettingsError when a device was asked for by name and cannot be had.
    """

    def __init__(self, path: Path, device: str = "auto", threads: int = 0, gpu_memory: str | None = None) -> None:
        if not os.path.isfile(path):
            raise NetworkError(f"{path}: there is no such network file; give the path of an .onnx file with --model.")
        _refuse_external_data(path)
        self.path = path
        _, self._index = parse_device(device)
        room, self._used_before = _gpu_room(self._index, gpu_memory)
        self.session, self.fallback = _open(path, device, threads, room)
        """ONNX Runtime's session, and why it has no GPU where there might be one; None otherwise."""
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.contract = from_metadata(metadata, str(path))
        names = tuple(output.name for output in self.session.get_outputs())
        if names[: len(self.contract.outputs)] != self.contract.outputs:
            raise NetworkError(f"{path}: its outputs {names} are not those of its contract; export the network again.")
        inputs = [(i.name, i.type, i.shape[1:2]) for i in self.session.get_inputs()]
        if inputs != [("image", "tensor(float)", [self.contract.inputs])]:
            raise NetworkError(f"{path}: its inputs {inputs} are not those of its contract; export the network again.")
        provider = self.session.get_providers()[0]
        self.device: str = {CPU: "cpu", CUDA: f"cuda:{self._index}", TENSORRT: "tensorrt"}[provider]
        """What runs the network: cpu, cuda:0 ... or tensorrt."""
        self.gpu_memory = None if provider == CPU else room
        self.runtime = f"{onnxruntime.__version__} {provider}"
        """All about the runtime that may decide the last bits."""
        self._bound = None if provider == CPU else BoundMaps(self.session, "cuda", self._index, self.contract.heads)

    def maps(self, tiles: Array) -> Array:
        tiles = np.ascontiguousarray(tiles)
        found = _tried(self._bound.run if self._bound else self._run, tiles)
        return _checked("maps", found, (len(tiles), self.contract.map_channels, *tiles.shape[2:]))

    def _run(self, tiles: Array) -> Array:
        """Return the values of all heads for tiles (B, C, Y, X), side by side as channels."""
        found = self.session.run([head.name for head in self.contract.heads], {"image": tiles})
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)

    def diameters(self, tiles: Array) -> Array:
        tiles = np.ascontiguousarray(tiles)
        found = _tried(lambda tiles: self.session.run(["diameter"], {"image": tiles})[0], tiles)
        return _checked("diameter", found, (len(tiles),))

    def used_gpu_memory(self) -> int | None:
        """Return the bytes of the GPU that are in use; None on the CPU and where the driver does not tell.

        Those of this process if the driver can tell, otherwise all that came to be used since the network was opened.
        What ONNX Runtime has taken it keeps until memory runs out, so that this is the most there has been.
        """
        if self.device == "cpu":
            return None
        own, now = own_memory(self._index), gpu_memory(self._index)
        if own is None and now is not None and self._used_before is not None:
            return max(0, now.used - self._used_before)
        return own


def _checked(output: str, found: Array, shape: tuple[int, ...]) -> Array:
    if found.shape != shape:
        raise RunError(f"the network's {output} have the shape {found.shape} and not {shape}; export it again.")
    return found


def _tried(run: Callable[[Array], Array], tiles: Array) -> Array:
    try:
        return run(tiles)
    except Exception as error:  # ONNX Runtime's errors share no public base
        message, memory_ran_out = one_line(error), no_room(error)
        failure = CUDA_FAILURE.search(message)
        if failure and not memory_ran_out:
            raise DeviceError(
                f"the GPU failed while the network ran ({failure[0]}); try again, or use --device cpu."
            ) from error
        raise (NoRoomError if memory_ran_out else RunError)(
            f"the network cannot be run on {len(tiles)} tile(s) ({message}); try a smaller --batch."
        ) from error


def _refuse_external_data(path: Path) -> None:
    try:
        elsewhere = refers_elsewhere(path)
    except OSError as error:
        raise NetworkError(f"{path}: it cannot be read ({error.strerror}); check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise NetworkError(
            f"{path}: it is no ONNX file, or it is damaged ({error}); export the network again."
        ) from error
    if elsewhere:
        raise NetworkError(f"{path}: its weights lie in other files, which are not opened; export it as one file.")


def _gpu_room(index: int, limit: str | None) -> tuple[int, int | None]:
    """Return how many bytes of a GPU's memory ONNX Runtime may take, and how many are in use, None if untold."""
    now = gpu_memory(index)
    room = int(SHARE * now.free) if now else UNTOLD
    if limit is not None:
        room = min(room, parse_memory(limit, "--gpu-memory"))
    return max(0, room - CONTEXT), now.used if now else None


def network_threads(asked: int) -> int:
    """Return how many threads the network gets; 0 leaves it to ONNX Runtime: one for each physical core there is.

    That is too many where fewer may be used, and they wait for each other: with the processor time of one core on a
    machine of two, one thread needs 0.77 of what two take (by hand; `bench/runtime.py` compares all other choices).
    """
    if asked:
        return threads(asked)
    usable = cores()
    return min(usable, physical_cores()) if usable < machine_cores() else 0


def _open(path: Path, device: str, threads: int, room: int) -> tuple[onnxruntime.InferenceSession, str | None]:
    """Return a session, on the CPU where ``auto`` finds nothing else, and why there is no GPU if there might be one."""
    kind, index = parse_device(device)
    if kind == "cpu":
        return _cpu_session(path, threads), None
    wanted = TENSORRT if kind == "tensorrt" else CUDA
    available, gpus = wanted in onnxruntime.get_available_providers(), gpu_count()
    reason = f"this ONNX Runtime is built without {NAMES[wanted]}; install onnxruntime-gpu"
    if available and index < gpus and room < LEAST:
        reason = "less than 1.5G of its memory may be taken; free some, or give a larger --gpu-memory"
    elif available:
        session = _gpu_session(path, threads, wanted, index, room)
        if not isinstance(session, str):
            return session, None
        needs = "" if says_no_room(session) else f"; it needs {DRIVER}"
        reason = f"{NAMES[wanted]} did not load ({session}{needs})"
    if index >= gpus:
        found = f"only {gpus} NVIDIA GPU(s) can be seen" if gpus else "no NVIDIA GPU can be seen"
        reason = f"{found} (with Docker: --gpus), and {reason}"
    session = _cpu_session(path, threads)
    if kind != "auto":
        raise SettingsError(f"--device {device}: {reason}, or use --device cpu.")
    if available or gpus:
        log.warning("the network runs on the CPU: %s.", reason)
        return session, reason
    return session, None


def _missing_library(wanted: str) -> str | None:
    """Return what keeps a provider's library from being loaded, as the loader says it; None where nothing does."""
    own = Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{NAMES[wanted].lower()}.so"
    for library in (str(own), CUDNN):
        try:
            ctypes.CDLL(library)
        except OSError as error:
            return one_line(error)
    return None


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network_threads(threads)
    options.log_severity_level = FATAL  # the errors that it logs it raises too
    return options


def _cpu_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(str(path), _options(threads), providers=[CPU])
    except Exception as error:  # ONNX Runtime's errors share no public base
        raise NetworkError(
            f"{path}: ONNX Runtime cannot open it ({one_line(error)}); export the network again."
        ) from error


def _try_out(session: onnxruntime.InferenceSession) -> None:
    """Run a small tile, which needs all that opening a session does not ask for yet: cuDNN, kernels for the GPU."""
    image = session.get_inputs()[0]
    if image.name == "image" and isinstance(image.shape[1], int):
        session.run(None, {"image": probe_tile(session)})


def _gpu_session(path: Path, threads: int, wanted: str, index: int, room: int) -> onnxruntime.InferenceSession | str:
    """Return a session whose first provider is ``wanted``, CUDA having run a tile, or why that does not load.

    TF32 is off, so that single precision is what it is on the CPU (ONNX Runtime takes it all the same for a convolution
    that cuDNN has no other plan for; `bench/gpu.py` would see it); convolutions are chosen without trying them all.
    Without `use_tf32` no convolution runs on tensor cores, so that half precision, which TF32 has no part in, keeps it.
    TensorRT bounds its work space alone by ``room``.
    """
    half, options = in_half_precision(path), _options(threads)
    options.enable_mem_pattern = False  # it would take what the arena holds a second time
    cuda = {
        "device_id": str(index),
        "gpu_mem_limit": str(room),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "1" if half else "0",
    }
    providers: list[Any] = [(CUDA, cuda), CPU]
    if wanted == TENSORRT:
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # it has no option of its own for it here
        kept = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "flowmask", "tensorrt")
        engines = {"trt_engine_cache_enable": "True", "trt_engine_cache_path": kept}
        engines["trt_fp16_enable"] = str(half)
        providers.insert(0, (TENSORRT, {"device_id": str(index), "trt_max_workspace_size": str(room), **engines}))
    onnxruntime.set_default_logger_severity(FATAL)  # what does not load is said in a sentence of ours
    try:
        if wanted == TENSORRT:
            os.makedirs(kept, exist_ok=True)
        with redirect_stdout(io.StringIO()):  # it prints what it does not find
            onnxruntime.preload_dlls()
        session = onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
        if session.get_providers()[0] == CUDA:  # TensorRT would build an engine for that tile alone
            _try_out(session)
    except Exception as error:  # a driver that is too old, a GPU that is gone, or a file that the CPU refuses as well
        said = one_line(error)
        failure = CUDA_FAILURE.search(said)
        return _missing_library(wanted) or (failure[0] if failure else said)
    finally:
        onnxruntime.set_default_logger_severity(WARNING)
    return session if session.get_providers()[0] == wanted else _missing_library(wanted) or "no reason was given"
