"""The checkpoint that a fine-tuning starts with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.source import Source, read_checkpoint
from flowmask.errors import NetworkError, SettingsError
from flowmask.network.registry import shipped_networks
from train.checkpoint import load


def start_file(start: str) -> Path:
    """Return the checkpoint of a network, given its name or the path of a .pt file.

    Raises SettingsError if the name is unknown or the network has no checkpoint.

    >>> start_file("small").name
    'small.pt'
    """
    if start.endswith(".pt"):
        return Path(start)
    files = {network.name: network.path.with_suffix(".pt") for network in shipped_networks()}
    trainable = {name: path for name, path in files.items() if path.is_file()}
    if start in trainable:
        return trainable[start]
    names = ", ".join(trainable) or "none is installed here"
    if start.endswith(".onnx"):
        raise SettingsError(
            f"{start}: an ONNX file cannot be trained; give the .pt file beside it, or a name ({names})."
        )
    raise SettingsError(f"{start}: no network of this name can be trained; give a .pt file or a name ({names}).")


def read_start(path: Path) -> tuple[Source, dict[str, Any]]:
    """Return the network and the size regression of a checkpoint, and its entries ``about`` and ``size``.

    Raises NetworkError if it is no finished checkpoint of a flow network.
    """
    source = read_checkpoint(str(path))
    if source.network.family != "flow":
        raise NetworkError(
            f"{path}: networks of family {source.network.family!r} cannot be fine-tuned; give a flow one."
        )
    return source, load(path)[1]
