"""Several networks in one file: the file's maps are the average of theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from export.source import Source
from flowmask.errors import NetworkError
from flowmask.network.contract import Clahe
from train.families import FamilyNetwork, find_family, heads_of


class MeanNetwork(FamilyNetwork):
    """(B, C, Y, X) -> for each head the average of the maps (B, K, Y, X) of all networks; the rest of the first."""

    def __init__(self, networks: Sequence[FamilyNetwork]) -> None:
        super().__init__()
        first = networks[0]
        self.family, self.architecture, self.channels, self.widths = (
            first.family,
            first.architecture,
            first.channels,
            (),
        )
        self.multiple = math.lcm(*(network.multiple for network in networks))
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = [network(image) for network in self.networks]
        heads = len(heads_of(self.family, self.architecture))
        average = find_family(self.family).average
        return *map(average, zip(*(output[:heads] for output in outputs), strict=True)), *outputs[0][heads:]


def mean_of(sources: Sequence[Source]) -> Source:
    """Return the average of several trained networks; style and size regression are those of the first.

    Raises NetworkError when they differ in family, heads, channels, mean diameter, CLAHE or pixel size, or when their
    outputs are detections.
    """
    first = sources[0]
    if len(sources) == 1:
        return first
    if heads_of(first.network.family, first.network.architecture)[0].record > 1:
        raise NetworkError(
            f"networks of the {first.network.family} family cannot be averaged, because their outputs are detections; "
            "give one checkpoint."
        )
    for other in sources[1:]:
        one, two = (_input(source) for source in (first, other))
        if one != two:
            raise NetworkError(
                f"the networks cannot be averaged: one is {one} and another {two} (family, heads, channels, mean "
                "diameter in px, CLAHE, micrometres per px); choose networks in which these are the same."
            )
    network = MeanNetwork([source.network for source in sources]).eval()
    return replace(
        first,
        network=network,
        licence="; ".join(dict.fromkeys(source.licence for source in sources)),
        data="; ".join(dict.fromkeys(source.data for source in sources)),
    )


def _input(source: Source) -> tuple[str, str, str, float, Clahe | None, float | None]:
    heads = " and ".join(head.name for head in heads_of(source.network.family, source.network.architecture))
    family, preprocessing = source.network.family, (source.clahe, source.pixel_size)
    return family, heads, source.channels, source.mean_diameter, *preprocessing
