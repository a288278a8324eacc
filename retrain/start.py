"""The checkpoint that a fine-tuning starts with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from export.source import Source, read_checkpoint
from flowmask.errors import NetworkError, SettingsError
from flowmask.network.registry import shipped_networks
from train.checkpoint import load
from train.config import Recipe
from train.families import find_architecture
from train.recipes.small import RECIPE as SMALL


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

    Raises NetworkError if it is no finished checkpoint, or of a network that needs the labels of nuclei too.
    """
    source = read_checkpoint(str(path))
    if find_architecture(source.network.family, source.network.architecture).nuclei:
        raise NetworkError(
            f"{path}: a network with heads for nuclei needs two label files an image, and flowmask train reads one; "
            "train it by a recipe, with python -m train."
        )
    return source, load(path)[1]


def recipe_of(path: Path, source: Source, about: Mapping[str, Any]) -> Recipe:
    """Return what decides the targets of a network, as the recipe it was trained by says; the stages are `small`'s.

    about: the entry of the checkpoint. Checkpoints of earlier releases do not record the options of the recipe; those
    of flow networks, which have none and are rescaled, need no record. Raises NetworkError for the others.
    """
    network = source.network
    if network.family != "flow" and "options" not in about:
        raise NetworkError(
            f"{path}: the checkpoint does not record with which options its targets were made, because an earlier "
            "release wrote it; train the network again, with python -m train."
        )
    return replace(
        SMALL,
        name=path.stem,
        family=network.family,
        architecture=network.architecture,
        channels=source.channels,
        widths=network.widths,
        mean_diameter=source.mean_diameter if about.get("rescaled", True) else None,
        options=about.get("options", {}),
    )
