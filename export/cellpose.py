"""Read the checkpoints and size files of cellpose 2.x and 3.x without cellpose (doi:10.1038/s41592-020-01018-x).

A checkpoint is the state dict of `cellpose.resnet_torch.CPnet`. It does not record whether the network was trained with
average instead of maximum pooling (cellpose 3.1, `max_pool=False`); maximum pooling, the default, is assumed.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from export.families.flow import SizeRegression, size_regression
from export.source import Source
from flowmask.errors import NetworkError
from train.checkpoint import UNREADABLE
from train.families.flow.network import FlowNetwork

LICENCE = "unknown: ask whoever trained it"
SIZE_KEYS = ("A", "smean", "diam_mean", "ymean")
RENAMES = (
    (re.compile(r"^downsample\.down\.res_down_(\d+)\."), r"down.\1."),
    (re.compile(r"^upsample\.up\.res_up_(\d+)\."), r"up.\1."),
    (re.compile(r"^(up\.\d+)\.conv\.conv_([123])\.full\."), lambda m: f"{m[1]}.style.{int(m[2]) - 1}."),
    (re.compile(r"^(up\.\d+)\.conv\.conv_([123])\.conv\."), r"\1.conv.\2."),
    (re.compile(r"^((?:down|up)\.\d+)\.conv\.conv_(\d)\."), r"\1.conv.\2."),
)


def read_cellpose(
    path: str,
    size: str | None = None,
    diameter: float | None = None,
    licence: str | None = None,
    data: str | None = None,
) -> Source:
    """Read the cellpose checkpoint ``path`` and, if given, its size file ``size``.

    ``diameter`` (pixels) is the mean diameter of a checkpoint that does not record its own, like the oldest ones;
    ``licence`` and ``data`` go into the contract. Raises NetworkError when a file cannot be read, is of another kind,
    or does not have exactly the weights of a flow network.
    """
    state = _read_state(path)
    mean_diameter, train_diameter = _diameters(state, diameter, path)
    network = _network(state, path)
    return Source(
        network=network,
        size=None if size is None else _read_size(size, network.widths[-1]),
        channels="rgb" if network.channels == 3 else "cellpose",
        mean_diameter=mean_diameter,
        train_diameter=train_diameter,
        licence=LICENCE if licence is None else licence,
        data=f"converted from the cellpose checkpoint {Path(path).name}" if data is None else data,
    )


def _read_state(path: str) -> dict[str, Tensor]:
    """Return the state dict of a cellpose flow network, without the prefix that DataParallel adds."""
    try:
        record = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise NetworkError(f"{path}: the checkpoint cannot be opened ({error.strerror}); check the path.") from error
    except UNREADABLE as error:
        raise NetworkError(f"{path}: this is no checkpoint; give the weights file of a cellpose model.") from error
    if not isinstance(record, Mapping) or not all(isinstance(value, Tensor) for value in record.values()):
        raise NetworkError(f"{path}: this is no state dict; give the weights file that cellpose itself saved.")
    state = {str(key).removeprefix("module."): value for key, value in record.items()}
    if not any(key.startswith("downsample.down.") for key in state):
        transformer = any("encoder" in key for key in state)
        kind = "a transformer (cellpose-SAM or segformer)" if transformer else "another kind of network"
        raise NetworkError(f"{path}: this is {kind}; only the residual networks of cellpose 2 and 3 can be converted.")
    return state


def _diameters(state: dict[str, Tensor], diameter: float | None, path: str) -> tuple[float, float]:
    """Take the mean and the training diameter (pixels) out of ``state``."""
    recorded = [state.pop(key, None) for key in ("diam_mean", "diam_labels")]
    if recorded[0] is None or recorded[1] is None:
        if diameter is None:
            raise NetworkError(
                f"{path}: the checkpoint does not record its diameters; name the mean one with --diameter "
                "(30 for cellpose's cyto, 17 for its nuclei)."
            )
        return diameter, diameter
    if diameter is not None:
        raise NetworkError(f"{path}: the checkpoint records its own diameters; leave --diameter out.")
    return float(recorded[0]), float(recorded[1])


def _network(state: dict[str, Tensor], path: str) -> FlowNetwork:
    """Build the network whose shape and weights ``state`` holds, in evaluation mode."""
    ours = {_rename(key): value for key, value in state.items()}
    channels, widths, outputs = _shape(ours, path)
    if outputs != 3:
        raise NetworkError(
            f"{path}: the network gives {outputs} maps, not the 3 of a segmentation network; "
            "it may be one of cellpose's denoising networks, which cannot be converted."
        )
    network = FlowNetwork(channels, widths)
    wanted = network.state_dict()
    missing, unknown = sorted(wanted.keys() - ours.keys()), sorted(ours.keys() - wanted.keys())
    if missing or unknown:
        raise NetworkError(
            f"{path}: the checkpoint does not fit a cellpose network: {len(missing)} entries missing"
            f"{_some(missing)} and {len(unknown)} unknown{_some(unknown)}; save it again with cellpose 2 or 3."
        )
    weights = {key: _as_convolution(key, value) for key, value in ours.items()}
    for key, value in weights.items():
        if value.shape != wanted[key].shape:
            raise NetworkError(
                f"{path}: {key} has shape {tuple(value.shape)}, where a two-dimensional network of widths {widths} "
                f"has {tuple(wanted[key].shape)}; only such networks can be converted."
            )
    network.load_state_dict(weights)
    return network.eval()


def _rename(key: str) -> str:
    for pattern, replacement in RENAMES:
        key = pattern.sub(replacement, key)
    return key


def _as_convolution(key: str, value: Tensor) -> Tensor:
    """Return the linear maps of the style as the 1x1 convolutions of our network."""
    return value[..., None, None] if ".style." in key and value.ndim == 2 else value


def _shape(state: dict[str, Tensor], path: str) -> tuple[int, tuple[int, ...], int]:
    """Read the input channels, the widths and the number of output maps off the weights."""
    levels = len({key.split(".")[1] for key in state if key.startswith("down.")})
    first = [f"down.{level}.conv.0.2.weight" for level in range(levels)]
    missing = [key for key in (*first, "output.2.weight") if key not in state]
    if missing:
        raise NetworkError(
            f"{path}: the checkpoint does not fit a cellpose network: it lacks {missing[0]}; "
            "save it again with cellpose 2 or 3."
        )
    widths = tuple(state[key].shape[0] for key in first)
    return state[first[0]].shape[1], widths, state["output.2.weight"].shape[0]


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


class _NumpyUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and numbers and calls nothing else, so that a size file cannot run code.

    `np.load(allow_pickle=True)`, which cellpose uses, calls any function that the file names.
    """

    ALLOWED = {
        "_reconstruct": np.empty(0).__reduce__()[0],
        "scalar": np.float64(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }
    MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")

    def find_class(self, module: str, name: str) -> Any:
        if module in self.MODULES and name in self.ALLOWED:
            return self.ALLOWED[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which does not belong in a size file")


def _load_pickled(file: BinaryIO) -> Any:
    """Read the one object of an .npy file that holds a dict, as `np.save` writes it."""
    version = npy.read_magic(file)
    header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version](file)
    if header[0] != () or not header[2].hasobject:
        raise ValueError("it does not contain a dictionary")
    return _NumpyUnpickler(file).load().item()


def _read_size(path: str, styles: int) -> SizeRegression:
    """Read a size file of `cellpose.train.train_size`: diameter = exp(A . (s - smean) + log(diam_mean) + ymean)."""
    try:
        with open(path, "rb") as file:
            record = _load_pickled(file)
        weights, style, diameter, offset = (np.asarray(record[key], np.float64) for key in SIZE_KEYS)
        log_diameter = math.log(float(diameter)) + float(offset)
    except OSError as error:
        raise NetworkError(f"{path}: the size file cannot be opened ({error.strerror}); check the path.") from error
    except (pickle.UnpicklingError, ValueError, KeyError, TypeError, EOFError, IndexError, AttributeError) as error:
        raise NetworkError(
            f"{path}: this is no size file of cellpose ({error}); give the one that ends in _size.npy."
        ) from error
    layer = torch.from_numpy(weights.reshape(1, -1)), torch.tensor([log_diameter])
    return size_regression([layer], torch.from_numpy(style.ravel()), styles, path)
