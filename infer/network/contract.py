"""The contract of a network: one frozen record, stored in the metadata of its ONNX file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import NetworkError

VERSION = 2
"""The version that is written. Version 1, which had no heads and only the flow family, can still be read."""
PREPROCESSED = 3
"""The version that is written if the contract has `Contract.clahe` or `Contract.pixel_size`. Earlier releases do not
know these fields, and would run the network on other values, so they must refuse the file."""
KEY = "flowmask"
"""The key of the contract in the metadata."""
GRAIN = 16
"""Height and width of network tiles are multiples of this and of the network's `multiple`."""
MULTIPLES = (1, 2, 4, 8, 16, 32)
"""The values that `Contract.multiple` may have."""
CHANNEL_POLICIES = {"rgb": 3, "green-blue": 2, "cellpose": 2}
"""Number of input channels of each channel policy; see `Contract.channels`."""


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
    """The axes ("y", "x", "yx" or "") whose reversal changes the sign, for each channel; () if there are none."""
    record: int = 1
    """Side in px of the squares whose values belong together, counted from the top left of the image.

    1: each pixel has its own values, which are averaged where tiles overlap. More: the values of a square are one
    record, such as a detected box with its mask, and each square gets them from a single tile. Such heads can neither
    be mirrored nor averaged.
    """

    def signs(self, axis: str) -> tuple[int, ...]:
        """Return for each channel -1 if reversing ``axis`` changes the sign of its values, otherwise 1."""
        mirror = self.mirror or ("",) * self.channels
        return tuple(-1 if axis in axes else 1 for axes in mirror)


@dataclass(frozen=True)
class Clahe:
    """The preprocessing of Mesmer: values are clipped, scaled to 0 to 1, and treated with CLAHE.

    CLAHE is contrast limited adaptive histogram equalisation. The defaults are those of Mesmer.
    """

    percentile: float = 99.9
    """Larger values than this percentile of the pixels that are not 0 are clipped to it."""
    kernel: int = 128
    """Side in network pixels of the regions whose histograms are equalised."""


FLOW_HEADS = (Head("maps", 3, mirror=("y", "x", "")),)
"""The head of flow networks: flow dy * 5, flow dx * 5, cell logit."""
FAMILY_1 = "flowmask-flow"
"""What contracts of version 1 call the family "flow"."""


@dataclass(frozen=True)
class Contract:
    """Everything that the engine must know about a network besides its weights.

    The input of the network is ``image`` (B, C, Y, X) float32, normalised; Y and X are multiples of ``multiple``. The
    outputs are its ``heads`` and, if ``sized``, ``diameter`` (B,) float32: the cell diameter in network pixels for each
    image of the batch.
    """

    name: str
    """The name of the network, for records and reports."""
    channels: str
    """The default assignment of image channels to network inputs.

    ``rgb``: three inputs; a grey image is repeated, a colour image is used unchanged. ``green-blue``: a grey image and
    an empty channel. ``cellpose``: the mean of all channels and an empty channel, unless the user chooses channels.
    """
    mean_diameter: float
    """Images are rescaled so that cells have this diameter in network pixels."""
    train_diameter: float
    """Cell diameter in image px that is assumed if the user gives none and the file has no size regression."""
    sized: bool
    """Whether the file has a size regression: the output ``diameter``."""
    licence: str
    """The licence of the weights."""
    data: str
    """The training data, in one sentence."""
    percentiles: tuple[float, float] = (1.0, 99.0)
    """The percentiles of each channel that normalisation maps to 0 and 1."""
    clahe: Clahe | None = None
    """How the input is equalised instead; None: it is not. The percentiles then only tell whether a channel is empty.
    A network with a size regression cannot have it."""
    pixel_size: float | None = None
    """Images are rescaled to this number of micrometres per network pixel if no diameter is given and the size of their
    pixels is known. None: the diameter alone decides."""
    tile: int = 224
    """The smallest height and width of a tile in network pixels."""
    multiple: int = 8
    """Height and width of tiles must be multiples of this number."""
    family: str = "flow"
    """The key in `flowmask.families.FAMILIES` of the family, whose code converts the heads to cells."""
    heads: tuple[Head, ...] = FLOW_HEADS
    version: int = VERSION

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return CHANNEL_POLICIES[self.channels]

    @property
    def map_channels(self) -> int:
        """Number of channels of all heads together: the engine stores them in one array (channels, Y, X)."""
        return sum(head.channels for head in self.heads)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the first outputs of the file, in this order. The file may have more."""
        return (*(head.name for head in self.heads), *(("diameter",) if self.sized else ()))

    @property
    def grain(self) -> int:
        """Height and width of tiles are multiples of this number of network pixels."""
        return math.lcm(GRAIN, self.multiple)

    @property
    def record(self) -> int:
        """Side in px of the squares of a record; 1 if values are averaged where tiles overlap. See `Head.record`."""
        return self.heads[0].record

    def mirror_signs(self, axis: str) -> tuple[int, ...]:
        """Return for each channel of the maps -1 if reversing ``axis``, "y" or "x", changes the sign, otherwise 1."""
        return tuple(sign for head in self.heads for sign in head.signs(axis))

    def to_metadata(self) -> dict[str, str]:
        """Return the record as ONNX metadata: the key `KEY` with a JSON text."""
        values = asdict(self)
        for head in values["heads"]:
            if head["record"] == 1:
                del head["record"]  # so that earlier releases, which do not know the field, read the file
        preprocessing = {name: values.pop(name) for name in ("clahe", "pixel_size")}
        if any(value is not None for value in preprocessing.values()):
            values |= preprocessing | {"version": PREPROCESSED}
        return {KEY: json.dumps(values, sort_keys=True)}


def from_metadata(metadata: Mapping[str, str], path: str) -> Contract:
    """Return the contract in the metadata of an ONNX file. ``path``: the file's name, for error messages.

    Raises NetworkError when the contract is missing, incomplete, not valid, or of a newer version.

    >>> contract = Contract("n", "rgb", 30.0, 30.0, False, "CC0-1.0", "none")
    >>> from_metadata(contract.to_metadata(), "n.onnx") == contract
    True
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
    if version not in (1, VERSION, PREPROCESSED):
        raise NetworkError(
            f"{path}: its contract has version {version!r}, and this release reads versions up to {PREPROCESSED}; "
            "install the release that exported the network, or export it again."
        )
    try:
        contract = _contract(_from_version_1(record) if version == 1 else record)
        _check(contract)
    except (KeyError, TypeError, ValueError) as error:
        raise NetworkError(
            f"{path}: its Flowmask contract is not complete or not valid ({error}); export the network again."
        ) from error
    return contract


def _from_version_1(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a contract of version 1, which has no heads, as version 2 has them."""
    family = "flow" if record["family"] == FAMILY_1 else record["family"]
    return {**record, "family": family, "heads": FLOW_HEADS}


def _contract(record: Mapping[str, Any]) -> Contract:
    """Return the contract in a JSON record. Fields that this version does not know are ignored."""
    known = {field.name for field in fields(Contract)}
    values = {key: value for key, value in record.items() if key in known} | {"version": VERSION}
    values["percentiles"] = tuple(values["percentiles"])
    if values.get("clahe") is not None:
        values["clahe"] = Clahe(**values["clahe"])
    values["heads"] = tuple(head if isinstance(head, Head) else _head(head) for head in values["heads"])
    return Contract(**values)


def _head(record: Mapping[str, Any]) -> Head:
    return Head(**{**record, "mirror": tuple(record["mirror"])})


def _check(contract: Contract) -> None:
    """Raise ValueError, naming the fields, if a value is not valid or not supported by this version."""
    low, high = contract.percentiles
    sizes = (contract.mean_diameter, contract.train_diameter)
    multiple = isinstance(contract.multiple, int) and contract.multiple in MULTIPLES
    tile = isinstance(contract.tile, int) and contract.tile > 0
    checks = {
        "channels": contract.channels in CHANNEL_POLICIES,
        "sized": isinstance(contract.sized, bool),
        "mean_diameter, train_diameter": all(isinstance(d, int | float) and 0 < d < math.inf for d in sizes),
        "percentiles": 0 <= low < high <= 100,
        "clahe": contract.clahe is None or (not contract.sized and _is_valid(contract.clahe)),
        "pixel_size": contract.pixel_size is None or 0 < contract.pixel_size < math.inf,
        "multiple": multiple,
        "tile": tile and (not multiple or contract.tile % contract.grain == 0),
        "heads": bool(contract.heads)
        and all(map(_is_supported, contract.heads))
        and len({head.record for head in contract.heads}) == 1
        and (not multiple or contract.multiple % contract.record == 0),
    }
    wrong = [name for name, is_valid in checks.items() if not is_valid]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} has a value that is not valid or not supported")


def _is_supported(head: Head) -> bool:
    """Return whether this version can run a head: stride 1, signs for all channels or none, records of 1 to 32 px."""
    return (
        head.channels > 0
        and head.stride == 1
        and len(head.mirror) in (0, head.channels)
        and isinstance(head.record, int)
        and head.record in MULTIPLES
    )


def _is_valid(clahe: Clahe) -> bool:
    """Return whether the values are possible; in smaller regions than 16 px a histogram of 256 bins says nothing."""
    return 0 < clahe.percentile <= 100 and isinstance(clahe.kernel, int) and 16 <= clahe.kernel <= 4096
