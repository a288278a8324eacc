"""Open a network file with ONNX Runtime and run it on tiles: device, threads, memory and errors."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from ..errors import DeviceError, NetworkError, NoRoomError, RunError, SettingsError, one_line
from ..options import named, parse_device
from ..system.cpu import cores, machine_cores, physical_cores, threads
from .bound_maps import BoundMaps, no_room
from .contract import Contract, from_metadata
from .gpu import CPU, CUDA, CUDA_FAILURE, FATAL, TENSORRT, NoGpu, memory_limit, open_on_gpu, used_memory
from .onnx_scan import refers_elsewhere

Array = npt.NDArray[np.float32]
log = logging.getLogger(__name__)


class Network(Protocol):
    """A network that the engine can run, on any runtime."""

    contract: Contract
    gpu_memory: int | None
    """Bytes of GPU memory that the network and its tiles may use; None on the CPU."""
    count: int
    """Number of networks that are open, each with memory of its own for the tiles."""

    def maps(self, tiles: Array) -> Array:
        """Run tiles (B, C, Y, X) float32; return the values of all heads (B, ``contract.map_channels``, Y, X) float32.

        Raises NoRoomError if fewer tiles at once may fit into memory, DeviceError if this process cannot use the GPU
        any more, RunError for any other failure.
        """
        ...

    def diameters(self, tiles: Array) -> Array:
        """Return the cell diameters (B,) float32 in network pixels; only if ``contract.sized``."""
        ...


class OnnxNetwork:
    """A network file, opened with ONNX Runtime on the CPU or a GPU."""

    count = 1

    def __init__(
        self, path: Path, device: str = "auto", threads: int = 0, gpu_memory: str | None = None, share: int = 1
    ) -> None:
        """Open a file.

        device: "cpu", "cuda", "cuda:1", "tensorrt", or "auto" for CUDA if it is available and otherwise the CPU.
        threads: CPU threads, 0 for the best number (`network_threads`). gpu_memory: the maximum GPU memory, such as
        "10G". share: by how many networks the GPU memory is shared. Raises NetworkError when
        the file is missing, is not an ONNX file, has no valid contract or refers to other files; SettingsError when a
        device other than "auto" is not available.
        """
        if not os.path.isfile(path):
            raise NetworkError(
                f"{path}: there is no such network file; give the path of an .onnx file as {named('network')}."
            )
        _refuse_external_data(path)
        self.path = path
        _, self._index = parse_device(device)
        limit, self._used_before = memory_limit(self._index, gpu_memory)
        limit //= share
        self.session, self.fallback = _open(path, device, threads, limit)
        """ONNX Runtime's session, and why "auto" did not use a GPU (None if it did, or if no GPU is expected)."""
        self.contract = _contract_of(self.session, path)
        provider = self.session.get_providers()[0]
        self.device: str = {CPU: "cpu", CUDA: f"cuda:{self._index}", TENSORRT: "tensorrt"}[provider]
        """Where the network runs: "cpu", "cuda:0" ... or "tensorrt"."""
        self.gpu_memory = None if provider == CPU else limit
        self.runtime = f"{onnxruntime.__version__} {provider}"
        """Version and provider of ONNX Runtime: another one may change the last bits of the maps."""
        self._bound = None if provider == CPU else BoundMaps(self.session, "cuda", self._index, self.contract.heads)

    def maps(self, tiles: Array) -> Array:
        """Run tiles; see `Network.maps`."""
        tiles = np.ascontiguousarray(tiles)
        maps = _translate_errors(self._bound.run if self._bound else self._run, tiles)
        return _check_shape("maps", maps, (len(tiles), self.contract.map_channels, *tiles.shape[2:]))

    def _run(self, tiles: Array) -> Array:
        """Return the values of all heads for tiles (B, C, Y, X), concatenated along the channels."""
        heads = self.session.run([head.name for head in self.contract.heads], {"image": tiles})
        return heads[0] if len(heads) == 1 else np.concatenate(heads, axis=1)

    def diameters(self, tiles: Array) -> Array:
        """Return cell diameters; see `Network.diameters`."""
        tiles = np.ascontiguousarray(tiles)
        diameters = _translate_errors(lambda tiles: self.session.run(["diameter"], {"image": tiles})[0], tiles)
        return _check_shape("diameter", diameters, (len(tiles),))

    def used_gpu_memory(self) -> int | None:
        """Return the bytes of GPU memory in use; None on the CPU, and if the driver does not report it.

        This is the memory of this process, or, if the driver reports the total only, the increase since the network was
        opened. ONNX Runtime does not return memory before it runs out, so this is also the peak.
        """
        return None if self.device == "cpu" else used_memory(self._index, self._used_before)


def _contract_of(session: onnxruntime.InferenceSession, path: Path) -> Contract:
    """Return the contract of an open file. Raises NetworkError if inputs or outputs differ from the contract."""
    contract = from_metadata(session.get_modelmeta().custom_metadata_map, str(path))
    names = tuple(output.name for output in session.get_outputs())
    if names[: len(contract.outputs)] != contract.outputs:
        raise NetworkError(f"{path}: its outputs {names} differ from those in its contract; export the network again.")
    inputs = [(i.name, i.type, i.shape[1:2]) for i in session.get_inputs()]
    if inputs != [("image", "tensor(float)", [contract.inputs])]:
        raise NetworkError(f"{path}: its inputs {inputs} differ from those in its contract; export the network again.")
    return contract


def _check_shape(output: str, values: Array, shape: tuple[int, ...]) -> Array:
    """Return the values if they have this shape; otherwise raise RunError."""
    if values.shape != shape:
        raise RunError(
            f"the network's {output} have the shape {values.shape} instead of {shape}; export the network again."
        )
    return values


def _translate_errors(run: Callable[[Array], Array], tiles: Array) -> Array:
    """Return ``run(tiles)``; turn an exception of ONNX Runtime into NoRoomError, DeviceError or RunError."""
    try:
        return run(tiles)
    except Exception as error:  # the exceptions of ONNX Runtime have no public base class
        message, memory_ran_out = one_line(error), no_room(error)
        failure = CUDA_FAILURE.search(message)
        if failure and not memory_ran_out:
            raise DeviceError(
                f"the GPU failed while the network ran ({failure[0]}); try again, or use {named('device', 'cpu')}."
            ) from error
        remedy = "use a machine with more memory" if memory_ran_out else "export the network again"
        if len(tiles) > 1:
            remedy = f"try a smaller {named('batch')}"
        number = "one tile" if len(tiles) == 1 else f"{len(tiles)} tiles"
        raise (NoRoomError if memory_ran_out else RunError)(
            f"the network cannot be run on {number} ({message}); {remedy}."
        ) from error


def _refuse_external_data(path: Path) -> None:
    """Raise NetworkError if the file is not ONNX or refers to other files, which could be any file of the machine."""
    try:
        is_external = refers_elsewhere(path)
    except OSError as error:
        raise NetworkError(f"{path}: it cannot be read ({error.strerror}); check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise NetworkError(
            f"{path}: it is not an ONNX file, or it is damaged ({error}); export the network again."
        ) from error
    if is_external:
        raise NetworkError(
            f"{path}: its weights are stored in other files, which Flowmask does not open; export it as one file."
        )


def network_threads(requested: int) -> int:
    """Return the number of threads for the network; 0 lets ONNX Runtime start one for each physical core.

    If this process may use fewer cores than the machine has, ONNX Runtime would start too many threads, which wait for
    each other. With the processor time of one core on a machine with two, one thread needs 0.77 of the time of two
    (measured by hand; `bench.speed.profile` compares the other choices).

    >>> network_threads(1)
    1
    """
    if requested:
        return threads(requested)
    usable = cores()
    return min(usable, physical_cores()) if usable < machine_cores() else 0


def _open(path: Path, device: str, threads: int, limit: int) -> tuple[onnxruntime.InferenceSession, str | None]:
    """Return a session, and why "auto" did not use a GPU (None if it did, or if no GPU is expected).

    The session on the CPU is opened before the error about the device is raised: if the file is damaged, the error is
    about the file.
    """
    kind, index = parse_device(device)
    if kind == "cpu":
        return _cpu_session(path, threads), None
    gpu = open_on_gpu(path, _session_options(threads), kind, index, limit)
    if not isinstance(gpu, NoGpu):
        return gpu, None
    session = _cpu_session(path, threads)
    if kind != "auto":
        raise SettingsError(f"{named('device', device)}: {gpu.reason}, or use {named('device', 'cpu')}.")
    if gpu.expected:
        log.warning("the network runs on the CPU: %s.", gpu.reason)
        return session, gpu.reason
    return session, None


def _session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network_threads(threads)
    options.log_severity_level = FATAL  # every error that it logs it also raises
    return options


def _cpu_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(str(path), _session_options(threads), providers=[CPU])
    except Exception as error:  # the exceptions of ONNX Runtime have no public base class
        raise NetworkError(
            f"{path}: ONNX Runtime cannot open it ({one_line(error)}); export the network again."
        ) from error
