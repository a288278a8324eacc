"""What a network file promises: one frozen record, stored in the ONNX file's own metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from infer.errors import NetworkError

FAMILY = "flowmask-flow"
VERSION = 1
KEY = "flowmask"
GRAIN = 32
"""Sides of what goes into a network are multiples of this; ``tile`` is one and ``multiple`` divides it."""
MAPS = 3
"""What a network says of each pixel: the two flows and the logit."""
CHANNEL_POLICIES = {"rgb": 3, "green-blue": 2, "cellpose": 2}


@dataclass(frozen=True)
class Contract:
    """Everything that the engine must know about a network besides its weights.

    The network maps ``image`` (B, C, Y, X) float32, normalised, Y and X multiples of ``multiple``, to
    ``maps`` (B, 3, Y, X) float32 = (flow dy * 5, flow dx * 5, cell logit), to ``diameter`` (B,) float32, the
    diameter in network pixels of the cells that each item shows (absent when ``sized`` is false), and to
    ``style`` (B, S) float32 of unit length.
    """

    name: str
    channels: str
    """Channel policy: ``rgb`` (grey repeated, colour as it is), ``green-blue`` (grey and empty for a grey
    image), ``cellpose`` (mean of the channels and empty, until the user picks channels)."""
    mean_diameter: float
    """Cell diameter in network pixels to which images are rescaled."""
    train_diameter: float
    """Cell diameter in px of the image taken where none is given and the file has no size regression."""
    sized: bool
    """Whether the file carries a size regression."""
    licence: str
    data: str
    """One sentence: what the network was trained on."""
    percentiles: tuple[float, float] = (1.0, 99.0)
    tile: int = 224
    multiple: int = 8
    family: str = FAMILY
    version: int = VERSION

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return CHANNEL_POLICIES[self.channels]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs in the order of the file."""
        return ("maps", "diameter", "style") if self.sized else ("maps", "style")

    def to_metadata(self) -> dict[str, str]:
        """Return the record as ONNX metadata: one key, JSON as its value."""
        return {KEY: json.dumps(asdict(self), sort_keys=True)}


def from_metadata(metadata: Mapping[str, str], path: str) -> Contract:
    """Read the contract of the file ``path``.

    Raises NetworkError when the metadata is absent, of another family or version, or incomplete.
    """
    if KEY not in metadata:
        raise NetworkError(f"{path}: this ONNX file carries no Flowmask contract; make one with `python -m export`.")
    try:
        record = json.loads(metadata[KEY])
        family, version = record["family"], record["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise NetworkError(
            f"{path}: its Flowmask contract cannot be read ({error}); export the network again."
        ) from error
    if (family, version) != (FAMILY, VERSION):
        raise NetworkError(
            f"{path}: it is of family {family!r} version {version!r}, and this engine runs {FAMILY!r} version "
            f"{VERSION}; export the network with the matching release."
        )
    try:
        known = {f.name for f in fields(Contract)}
        record = {key: value for key, value in record.items() if key in known}
        record["percentiles"] = tuple(record["percentiles"])
        contract = Contract(**record)
        _check(contract)
    except (KeyError, TypeError, ValueError) as error:
        raise NetworkError(
            f"{path}: its Flowmask contract is not complete ({error}); export the network again."
        ) from error
    return contract


def _check(contract: Contract) -> None:
    """Raise ValueError where a value is none that the engine can work with."""
    low, high = contract.percentiles
    sizes = (contract.mean_diameter, contract.train_diameter)
    checks = {
        "channels": contract.channels in CHANNEL_POLICIES,
        "sized": isinstance(contract.sized, bool),
        "mean_diameter, train_diameter": all(isinstance(d, int | float) and 0 < d < math.inf for d in sizes),
        "percentiles": 0 <= low < high <= 100,
        "tile": isinstance(contract.tile, int) and contract.tile >= GRAIN and contract.tile % GRAIN == 0,
        "multiple": isinstance(contract.multiple, int) and contract.multiple > 0 and GRAIN % contract.multiple == 0,
    }
    wrong = [name for name, fine in checks.items() if not fine]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} has a value that this engine does not know")
