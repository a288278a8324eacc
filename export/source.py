"""A trained network with everything that its contract needs, and how to read one from our checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.families.flow import SizeRegression, size_regression
from flowmask.errors import NetworkError
from flowmask.network.contract import CHANNEL_POLICIES, Clahe, Contract
from train.checkpoint import load
from train.families import FamilyNetwork, heads_of


@dataclass(frozen=True)
class Source:
    """A trained network and what is known about it; the fields after ``size`` mean what they mean in `Contract`."""

    network: FamilyNetwork
    size: SizeRegression | None
    channels: str
    mean_diameter: float
    train_diameter: float
    licence: str
    data: str
    clahe: Clahe | None = None
    pixel_size: float | None = None

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
            family=self.network.family,
            heads=heads_of(self.network.family, self.network.architecture),
            clahe=self.clahe,
            pixel_size=self.pixel_size,
        )


def read_checkpoint(path: str) -> Source:
    """Read a checkpoint that `train.checkpoint.save` wrote with the extras ``about`` and ``size``.

    Raises NetworkError when the file is missing, is no such checkpoint, or lacks part of the extras.
    """
    network, extras = load(path)
    about, size = extras.get("about"), extras.get("size")
    if not isinstance(about, Mapping) or "size" not in extras:
        raise NetworkError(
            f"{path}: the checkpoint has no entries `about` and `size`, so it belongs to one stage of a "
            "training; give WORK/RECIPE.pt, which `python -m train` wrote last."
        )
    try:
        return Source(
            network=network,
            size=None if size is None else _read_size(size, network, path),
            channels=str(about["channels"]),
            mean_diameter=float(about["mean_diameter"]),
            train_diameter=float(about["train_diameter"]),
            licence=str(about["licence"]),
            data=str(about["data"]),
            clahe=Clahe(**about["clahe"]) if about.get("clahe") else None,
            pixel_size=about.get("pixel_size"),
        )
    except KeyError as error:
        raise NetworkError(f"{path}: the checkpoint does not record {error}; save it with that entry.") from error


def _read_size(size: object, network: Any, path: str) -> SizeRegression:
    if not isinstance(size, Mapping):
        raise NetworkError(f"{path}: its size regression is not a mapping; save layers and style.")
    return size_regression(size["layers"], size["style"], network.styles, path)
