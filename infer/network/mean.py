"""Run several networks on each tile and average their maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..errors import NetworkError
from .contract import Contract
from .session import OnnxNetwork

Array = npt.NDArray[np.float32]


def mean_maps(maps: Sequence[Array]) -> Array:
    """Return the mean of the maps (B, K, Y, X) float32 of several networks; the order of the sum is that of the maps.

    >>> mean_maps([np.zeros((1, 1, 1, 2), np.float32), np.ones((1, 1, 1, 2), np.float32)]).tolist()
    [[[[0.5, 0.5]]]]
    """
    total = maps[0]
    for other in maps[1:]:
        total = total + other
    return total / np.float32(len(maps))


class MeanNetwork:
    """Several open networks as one: its maps are the average of theirs, and its diameters are those of the first.

    The networks run one after the other, so the time is the sum of theirs; the order of the sum does not depend on the
    batch.
    """

    def __init__(
        self, networks: Sequence[OnnxNetwork], average: Callable[[Sequence[Array]], Array] = mean_maps
    ) -> None:
        """average: the maps of all networks -> those of this one, each value from the values at the same place.

        Raises NetworkError if the networks do not expect the same input or do not have the same outputs.
        """
        self._networks, self._average = networks, average
        self.contract = common_contract([network.contract for network in networks])
        first = networks[0]
        self.device, self.fallback, self.runtime = first.device, first.fallback, first.runtime
        limits = [network.gpu_memory for network in networks if network.gpu_memory is not None]
        self.gpu_memory = min(limits, default=None)
        self.count = len(networks)

    def maps(self, tiles: Array) -> Array:
        """Return the average values of all heads; see `flowmask.network.session.Network.maps`."""
        return self._average([network.maps(tiles) for network in self._networks])

    def diameters(self, tiles: Array) -> Array:
        """Return the cell diameters of the first network; see `flowmask.network.session.Network.diameters`."""
        return self._networks[0].diameters(tiles)

    def used_gpu_memory(self) -> int | None:
        """Return the bytes of GPU memory in use; see `flowmask.network.session.OnnxNetwork.used_gpu_memory`."""
        return self._networks[0].used_gpu_memory()


def common_contract(contracts: Sequence[Contract]) -> Contract:
    """Return the contract of the mean of several networks.

    Raises NetworkError if family, channels, scale, normalisation or heads differ, or if the heads hold records.

    >>> small = Contract("small", "rgb", 30.0, 30.0, False, "CC0-1.0", "cells", multiple=32)
    >>> both = common_contract([small, replace(small, name="other", multiple=8)])
    >>> both.name, both.multiple, both.tile
    ('small,other', 32, 224)
    """
    first = contracts[0]
    if first.record > 1:
        raise NetworkError(
            f"{first.name}: networks of the {first.family} family cannot be averaged, because their outputs are "
            "detections; use one network."
        )
    for other in contracts[1:]:
        for field in ("family", "channels", "mean_diameter", "percentiles", "clahe", "pixel_size", "heads"):
            one, two = getattr(first, field), getattr(other, field)
            if one != two:
                raise NetworkError(
                    f"{first.name}, {other.name}: these networks cannot be averaged, because their "
                    f"{field.replace('_', ' ')} differ ({one} and {two}); choose networks that agree, or use one."
                )
    multiple = math.lcm(*(contract.multiple for contract in contracts))
    grain = replace(first, multiple=multiple).grain
    return replace(
        first,
        name=",".join(contract.name for contract in contracts),
        multiple=multiple,
        tile=grain * math.ceil(max(contract.tile for contract in contracts) / grain),
        licence="; ".join(dict.fromkeys(contract.licence for contract in contracts)),
        data="; ".join(dict.fromkeys(contract.data for contract in contracts)),
    )
