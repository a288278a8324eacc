"""Network families: how the maps of a network become cells.

A family is one folder with a module ``family`` that defines ``FAMILY``. The table `FAMILIES` is the only place that
lists them; a contract names its family by the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from importlib import import_module

from ..errors import NetworkError, SettingsError
from ..images.image import Image
from ..labels.labels import Labels
from ..network.contract import Contract
from ..network.session import Network
from ..options import Segmentation, option_name
from ..tiles.channels import ChannelMap
from ..tiles.normalise import IntensityRanges
from ..tiles.plan import ImagePlan
from .blocks import LabelBlock, Maps

FAMILIES = {"flow": ".flow.family", "semantic": ".semantic.family"}
"""For each family the module, in this package, that defines its ``FAMILY``."""
COMMON = frozenset({"diameter", "channels", "augment"})
"""Options of `Segmentation` that every family uses."""


@dataclass(frozen=True)
class Family:
    """What the engine asks of a family; each function is documented where it is called."""

    options: frozenset[str]
    """Options of `Segmentation` that it uses besides those of `COMMON`."""
    halo: int
    """Network rows above and below a block that can change its labels, at most."""
    estimate_diameter: Callable[[Image, Network, ChannelMap, IntensityRanges, int], float]
    """(image, network, channels, ranges, threads) -> the cells' diameter in px of the image."""
    label_rows: Callable[[Iterable[Maps], ImagePlan], Iterator[Labels]]
    """Maps from the top down -> final labels (n, X) int32 from the top down, ids 1, 2, ... by first pixel."""
    label_block: LabelBlock
    row_bytes: Callable[[tuple[int, int], tuple[int, int]], int]
    """(shape of the image, shape of the network image) -> bytes of memory that `label_rows` holds at most."""


def family_of(contract: Contract) -> Family:
    """Return the family of a network. Raises NetworkError for one that this version does not know."""
    if contract.family not in FAMILIES:
        raise NetworkError(
            f"the network {contract.name!r} is of family {contract.family!r}, and this engine runs "
            f"{', '.join(FAMILIES)}; use a newer release."
        )
    family: Family = import_module(FAMILIES[contract.family], __name__).FAMILY
    return family


def check_options(contract: Contract, options: Segmentation) -> None:
    """Raise SettingsError where an option is set that the network's family does not use."""
    unused = {field.name for field in fields(Segmentation)} - COMMON - family_of(contract).options
    for field in fields(Segmentation):
        if field.name in unused and getattr(options, field.name) != field.default:
            raise SettingsError(
                f"{option_name(field.name)} has no meaning for a network of the {contract.family} family; leave it out."
            )


def preload() -> None:
    """Import the part of the flow family that loads slowest, so that a thread can do it while the network opens."""
    import_module(".flow.strip", __name__)
