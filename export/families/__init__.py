"""What the export must know about each family of networks: the module that the ONNX file holds, and its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from export.families import boxes, flow, semantic, watershed
from export.families.flow import SizeRegression
from flowmask.errors import NetworkError
from flowmask.network.contract import Contract


@dataclass(frozen=True)
class Summary:
    """What a package for bioimage.io says about the networks of a family."""

    text: str
    """One line about the networks."""
    tag: str
    cited: tuple[str, str]
    """The publication of the method, and its DOI."""
    outputs: Mapping[str, str]
    """Name of an output of the file -> what it is."""
    channels: Mapping[str, tuple[str, ...]]
    """Name of an output -> the names of its channels."""
    to_labels: str
    """How the outputs become labels, after "To turn the outputs into labels,"."""


@dataclass(frozen=True)
class ExportFamily:
    """How networks of one family become a file."""

    module: Callable[[nn.Module, SizeRegression | None], nn.Module]
    """(network, size regression) -> the module that the file holds, in evaluation mode. It returns a tuple: a tensor
    for each head, the diameter if there is a size regression, then the extra outputs."""
    extra_outputs: tuple[str, ...] = ()
    """Names of outputs that the engine does not need."""
    summary: Summary | None = None
    """For a package for bioimage.io; None if there is none for this family."""


FAMILIES = {
    "boxes": ExportFamily(boxes.make_module),
    "flow": ExportFamily(
        flow.make_module,
        extra_outputs=("style",),
        summary=Summary(
            flow.SUMMARY, "flows", flow.CITED, flow.OUTPUTS, {"maps": flow.MAP_CHANNELS}, "follow the flows"
        ),
    ),
    "semantic": ExportFamily(semantic.make_module),
    "watershed": ExportFamily(watershed.make_module),
}


def find_family(name: str) -> ExportFamily:
    """Return the family of this name. Raises NetworkError if there is none.

    >>> find_family("flow") is FAMILIES["flow"]
    True
    """
    if name not in FAMILIES:
        raise NetworkError(f"networks of family {name!r} cannot be exported; the families are {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def output_names(contract: Contract) -> tuple[str, ...]:
    """Return the names of all outputs of a file, in order.

    >>> output_names(Contract("net", "rgb", 30.0, 30.0, sized=True, licence="CC0", data="nothing"))
    ('maps', 'diameter', 'style')
    """
    return (*contract.outputs, *find_family(contract.family).extra_outputs)
