"""A trained network with all that its contract and size regression need, and how to read one from our checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from torch import Tensor

from infer.contract import CHANNEL_POLICIES, Contract
from infer.errors import NetworkError
from train.light import LightNetwork
from train.network import FlowNetwork, load

Layer = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class SizeRegression:
    """Log diameter (network pixels) of an item: the layers, a ReLU between two, applied to its style less the mean."""

    layers: tuple[Layer, ...]
    """Weights (outputs, inputs) and offsets (outputs,) float32; the first takes S values, the last gives one."""
    style: Tensor
    """(S,) float32: mean style of the training crops."""


@dataclass(frozen=True)
class Source:
    """A trained network and what is known about it; the fields after ``size`` mean what they mean in `Contract`."""

    network: FlowNetwork | LightNetwork
    size: SizeRegression | None
    channels: str
    mean_diameter: float
    train_diameter: float
    licence: str
    data: str

    def contract(self, name: str) -> Contract:
        """Return the contract of this network under ``name``.

        Raises NetworkError when the channel policy is unknown or does not give the network's number of channels,
        or when a diameter is not positive.
        """
        if CHANNEL_POLICIES.get(self.channels) != self.network.channels:
            raise NetworkError(
                f"{name}: the network takes {self.network.channels} channels, which channel policy {self.channels!r} "
                f"does not give; the policies are {CHANNEL_POLICIES}."
            )
        if not (self.mean_diameter > 0 and self.train_diameter > 0):
            raise NetworkError(
                f"{name}: its diameters are {self.mean_diameter} and {self.train_diameter} pixels; "
                "both must be positive numbers."
            )
        return Contract(
            name=name,
            channels=self.channels,
            mean_diameter=self.mean_diameter,
            train_diameter=self.train_diameter,
            sized=self.size is not None,
            licence=self.licence,
            data=self.data,
            multiple=self.network.multiple,
        )


def size_regression(layers: Sequence[Layer], style: Tensor, styles: int, path: str) -> SizeRegression:
    """Return the record after checking it against a network of ``styles`` style values; ``path`` is for the message.

    Raises NetworkError when the shapes do not fit or a number is not finite.
    """
    if style.shape != (styles,):
        raise NetworkError(
            f"{path}: its size regression is for styles of {style.numel()} values and the network's have {styles}; "
            "give the size regression that was fitted to this network."
        )
    widths = [styles, *(len(offsets) for _, offsets in layers)]
    if [tuple(weights.shape) for weights, _ in layers] != [*zip(widths[1:], widths, strict=False)] or widths[-1] != 1:
        raise NetworkError(f"{path}: the layers of its size regression do not fit each other; fit it again.")
    if not all(part.isfinite().all() for part in (style, *chain.from_iterable(layers))):
        raise NetworkError(f"{path}: its size regression holds values that are not finite; fit it again.")
    return SizeRegression(tuple((weights.float(), offsets.float()) for weights, offsets in layers), style.float())


def read_checkpoint(path: str) -> Source:
    """Read a checkpoint that `train.network.save` wrote with the extras ``about`` and ``size``.

    Raises NetworkError when the file is missing, is no such checkpoint, or lacks part of the extras.
    """
    network, extras = load(path)
    about, size = extras.get("about"), extras.get("size")
    if not isinstance(about, Mapping) or "size" not in extras:
        raise NetworkError(f"{path}: the checkpoint says nothing `about` its data or `size`; save it with both.")
    try:
        return Source(
            network=network,
            size=None if size is None else _read_size(size, network.styles, path),
            channels=str(about["channels"]),
            mean_diameter=float(about["mean_diameter"]),
            train_diameter=float(about["train_diameter"]),
            licence=str(about["licence"]),
            data=str(about["data"]),
        )
    except KeyError as error:
        raise NetworkError(f"{path}: the checkpoint does not record {error}; save it with that entry.") from error


def _read_size(size: object, styles: int, path: str) -> SizeRegression:
    if not isinstance(size, Mapping):
        raise NetworkError(f"{path}: its size regression is no mapping; save layers and style.")
    return size_regression(size["layers"], size["style"], styles, path)
