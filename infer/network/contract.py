"""What a network file promises: one frozen record, stored in the metadata of the ONNX file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import NetworkError

VERSION = 2
"""Version 1 had no heads: its one family was the flow family of `VERSION_1`."""
KEY = "flowmask"
GRAIN = 16
"""The sides of network tiles are multiples of this, and of the network's own `multiple`."""
MULTIPLES = (1, 2, 4, 8, 16, 32)
"""Multiples that a network may ask for."""
CHANNEL_POLICIES = {"rgb": 3, "green-blue": 2, "cellpose": 2}


@dataclass(frozen=True)
class Head:
    """One output of a network: values (B, channels, Y / stride, X / stride) float32.

    >>> Head("maps", 3, mirror=("y", "x", "")).signs("x")
    (1, -1, 1)
    """

    name: str
    """The name of the output in the ONNX file."""
    channels: int
    stride: int = 1
    """Input pixels per output pixel. This version runs heads of stride 1."""
    mirror: tuple[str, ...] = ()
    """For each channel the axes, "y" and "x", whose reversal changes the sign of its values; () if none does."""

    def signs(self, axis: str) -> tuple[int, ...]:
        """Return for each channel -1 where reversing ``axis`` changes the sign, otherwise 1."""
        mirror = self.mirror or ("",) * self.channels
        return tuple(-1 if axis in axes else 1 for axes in mirror)


FLOW_HEADS = (Head("maps", 3, mirror=("y", "x", "")),)
"""The head of flow networks: flow dy * 5, flow dx * 5, cell logit."""
VERSION_1: dict[str, Any] = {"family": "flow", "heads": FLOW_HEADS}
"""What a contract of version 1 did not state, because there was no other."""


@dataclass(frozen=True)
class Contract:
    """Everything that the engine must know about a network besides its weights.

    The network maps ``image`` (B, C, Y, X) float32, normalised, Y and X multiples of ``multiple``, to the values of
    its ``heads``; where ``sized``, also to ``diameter`` (B,) float32: the diameter in network pixels of the cells that
    each item shows.
    """

    name: str
    channels: str
    """Channel policy: ``rgb`` (a grey image is repeated, a colour image is used as it is), ``green-blue`` (a grey
    image and an empty channel), ``cellpose`` (the mean of the channels and an empty one, unless the user chooses)."""
    mean_diameter: float
    """Cell diameter in network pixels to which images are rescaled."""
    train_diameter: float
    """Cell diameter in px of the image that is assumed if none is given and the file has no size regression."""
    sized: bool
    """Whether the file has a size regression."""
    licence: str
    data: str
    """One sentence: what the network was trained on."""
    percentiles: tuple[float, float] = (1.0, 99.0)
    tile: int = 224
    multiple: int = 8
    family: str = "flow"
    """The key of the family in `flowmask.families.FAMILIES`: it turns the heads into cells."""
    heads: tuple[Head, ...] = FLOW_HEADS
    version: int = VERSION

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return CHANNEL_POLICIES[self.channels]

    @property
    def map_channels(self) -> int:
        """Number of channels of all heads together: the engine holds them as one array (channels, Y, X)."""
        return sum(head.channels for head in self.heads)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that the file must have, in this order; more may follow."""
        return (*(head.name for head in self.heads), *(("diameter",) if self.sized else ()))

    @property
    def grain(self) -> int:
        """The sides of tiles are multiples of this."""
        return math.lcm(GRAIN, self.multiple)

    def mirror_signs(self, axis: str) -> tuple[int, ...]:
        """Return for each map channel -1 where reversing ``axis``, "y" or "x", changes the sign, otherwise 1."""
        return tuple(sign for head in self.heads for sign in head.signs(axis))

    def to_metadata(self) -> dict[str, str]:
        """Return the record as ONNX metadata: one key, JSON as its value."""
        return {KEY: json.dumps(asdict(self), sort_keys=True)}


def from_metadata(metadata: Mapping[str, str], path: str) -> Contract:
    """Read the contract of the file ``path``.

    Raises NetworkError when the metadata is absent, of another version, or incomplete.
    """
    if KEY not in metadata:
        raise NetworkError(f"{path}: this ONNX file has no Flowmask contract; make one with `python -m export`.")
    try:
        record = json.loads(metadata[KEY])
        version = record["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise NetworkError(
            f"{path}: its Flowmask contract cannot be read ({error}); export the network again."
        ) from error
    if version not in (1, VERSION):
        raise NetworkError(
            f"{path}: its contract has version {version!r} and this engine reads up to version {VERSION}; export the "
            "network with the matching release."
        )
    try:
        contract = _contract(record | VERSION_1 if version == 1 else record)
        _check(contract)
    except (KeyError, TypeError, ValueError) as error:
        raise NetworkError(
            f"{path}: its Flowmask contract is not complete ({error}); export the network again."
        ) from error
    return contract


def _contract(record: Mapping[str, Any]) -> Contract:
    """Return the contract of a JSON record, without the fields that this version does not know."""
    known = {field.name for field in fields(Contract)}
    values = {key: value for key, value in record.items() if key in known} | {"version": VERSION}
    values["percentiles"] = tuple(values["percentiles"])
    values["heads"] = tuple(head if isinstance(head, Head) else _head(head) for head in values["heads"])
    return Contract(**values)


def _head(record: Mapping[str, Any]) -> Head:
    return Head(**{**record, "mirror": tuple(record["mirror"])})


def _check(contract: Contract) -> None:
    """Raise ValueError where the engine cannot work with a value."""
    low, high = contract.percentiles
    sizes = (contract.mean_diameter, contract.train_diameter)
    multiple = isinstance(contract.multiple, int) and contract.multiple in MULTIPLES
    tile = multiple and isinstance(contract.tile, int) and contract.tile > 0 and contract.tile % contract.grain == 0
    checks = {
        "channels": contract.channels in CHANNEL_POLICIES,
        "sized": isinstance(contract.sized, bool),
        "mean_diameter, train_diameter": all(isinstance(d, int | float) and 0 < d < math.inf for d in sizes),
        "percentiles": 0 <= low < high <= 100,
        "multiple": multiple,
        "tile": tile,
        "heads": bool(contract.heads) and all(map(_is_runnable, contract.heads)),
    }
    wrong = [name for name, fine in checks.items() if not fine]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} has a value that this engine does not know")


def _is_runnable(head: Head) -> bool:
    return head.channels > 0 and head.stride == 1 and len(head.mirror) in (0, head.channels)
