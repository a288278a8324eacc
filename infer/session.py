"""The one place that talks to ONNX Runtime: providers asked for against providers got, threads, memory."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from infer.contract import MAPS, Contract, from_metadata
from infer.errors import NetworkError, RunError, SettingsError, one_line
from infer.external import refers_elsewhere

# From 1.29 on ONNX Runtime reports its use to its makers unless told otherwise before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime  # noqa: E402

Array = npt.NDArray[np.float32]
log = logging.getLogger(__name__)


class Network(Protocol):
    """What the engine asks of a network, whatever runs it."""

    contract: Contract

    def maps(self, tiles: Array) -> Array:
        """Return maps (B, 3, Y, X) = (dy * 5, dx * 5, logit) of tiles (B, C, Y, X) float32."""
        ...

    def diameters(self, tiles: Array) -> Array:
        """Return (B,) float32 cell diameters in network pixels; only where ``contract.sized``."""
        ...


class OnnxNetwork:
    """A network file opened on a provider.

    Raises NetworkError when the file is missing, no ONNX file, not ours or not all of the network, SettingsError when
    CUDA was asked for and does not load.
    """

    def __init__(self, path: Path, provider: str = "auto", threads: int = 0) -> None:
        if not os.path.isfile(path):
            raise NetworkError(f"{path}: there is no such network file; give the path of an .onnx file with --model.")
        _refuse_external_data(path)
        self.path = path
        self._session = _open(path, provider, threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.contract = from_metadata(metadata, str(path))
        names = tuple(output.name for output in self._session.get_outputs())
        if names != self.contract.outputs:
            raise NetworkError(f"{path}: its outputs {names} are not those of its contract; export the network again.")
        inputs = [(i.name, i.type, i.shape[1:2]) for i in self._session.get_inputs()]
        if inputs != [("image", "tensor(float)", [self.contract.inputs])]:
            raise NetworkError(f"{path}: its inputs {inputs} are not those of its contract; export the network again.")
        self.provider: str = self._session.get_providers()[0]
        """The provider that runs the network, as ONNX Runtime names it."""
        self.runtime = f"{onnxruntime.__version__} {self.provider}"
        """All about the runtime that may decide the last bits."""

    def maps(self, tiles: Array) -> Array:
        return self._run("maps", tiles, (len(tiles), MAPS, *tiles.shape[2:]))

    def diameters(self, tiles: Array) -> Array:
        return self._run("diameter", tiles, (len(tiles),))

    def _run(self, output: str, tiles: Array, shape: tuple[int, ...]) -> Array:
        try:
            result: list[Any] = self._session.run([output], {"image": np.ascontiguousarray(tiles)})
        except Exception as error:  # ONNX Runtime's errors share no public base
            raise RunError(
                f"the network cannot be run on {len(tiles)} tile(s) ({one_line(error)}); try a smaller --batch."
            ) from error
        found: Array = result[0]
        if found.shape != shape:
            raise RunError(f"the network's {output} have the shape {found.shape} and not {shape}; export it again.")
        return found


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


def _open(path: Path, provider: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(threads, os.cpu_count() or 1)
    options.log_severity_level = 3
    cuda = provider != "cpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if provider == "cuda" and not cuda:
        raise SettingsError(
            "--provider cuda: this ONNX Runtime has no CUDA; install onnxruntime-gpu or use --provider cpu."
        )
    if cuda:
        onnxruntime.preload_dlls()
    wanted: list[Any] = [("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"})] if cuda else []
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[*wanted, "CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no public base
        raise NetworkError(
            f"{path}: ONNX Runtime cannot open it ({one_line(error)}); export the network again."
        ) from error
    if cuda and session.get_providers()[0] != "CUDAExecutionProvider":
        if provider == "cuda":
            raise SettingsError(
                "--provider cuda: CUDA did not load; check the driver (R580 or newer) or use --provider cpu."
            )
        log.warning("CUDA did not load: the network runs on the CPU.")
    return session
