"""Network families: how the maps of a network become labels.

A family is one folder with a module ``family`` that defines ``FAMILY``. The table `FAMILIES` is the only list of
families. The contract of a network names its family by the key of this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NetworkError, SettingsError
from ..network.contract import Contract
from ..network.mean import MeanNetwork, mean_maps
from ..network.session import Network, OnnxNetwork
from ..options import Runtime, Segmentation, named

if TYPE_CHECKING:  # a network can be opened before these modules are loaded
    from ..images.image import Image
    from ..labels.cell_table import CellTableBuilder
    from ..labels.labels import Labels
    from ..tiles.channels import ChannelMap
    from ..tiles.normalise import IntensityRanges
    from ..tiles.plan import DiameterEstimate, ImagePlan
    from .blocks import LabelBlock, LabelFrom, Maps

FAMILIES = {
    "boxes": ".boxes.family",
    "flow": ".flow.family",
    "semantic": ".semantic.family",
    "watershed": ".watershed.family",
}
"""Name of each family, and the module of this package that defines its ``FAMILY``."""
COMMON = frozenset({"diameter", "pixel_size", "channels", "plane", "project", "augment", "skip_noise_check"})
"""Fields of `Segmentation` that every family uses; ``augment`` only if its heads can be averaged."""


@dataclass(frozen=True)
class Family:
    """The options, limits and functions of one family, as the engine uses them."""

    options: frozenset[str]
    """Fields of `Segmentation` that it uses in addition to `COMMON`."""
    halo: Callable[[ImagePlan], int]
    """(plan) -> most network rows above and below a block that can change its labels."""
    estimate_diameter: Callable[[Image, Network, ChannelMap, IntensityRanges, int], DiameterEstimate]
    """(image, network, channels, ranges, threads) -> the estimated cell diameter in px of the image."""
    label_rows: Callable[[Iterable[Maps], ImagePlan, CellTableBuilder], Iterator[Labels]]
    """(rows of maps from the top down, plan, empty table) -> labels (n, X) int32 from the top down, numbered by first
    pixel. The table is filled as rows become final."""
    label_block: LabelBlock
    """The labels of one block; see `flowmask.families.blocks.LabelBlock`."""
    row_bytes: Callable[[tuple[int, int], tuple[int, int]], int]
    """(shape of the image, shape of the network image) -> most bytes of memory that `label_rows` uses."""
    check: Callable[[Contract, Segmentation], object] = lambda contract, options: None
    """Raises SettingsError if its options do not fit the heads of the network, NetworkError if it cannot run these."""
    average: Callable[[Sequence[Maps]], Maps] = mean_maps
    """The maps (B, K, Y, X) of several networks -> their average, with which `label_rows` works best."""
    label_from: LabelFrom | None = None
    """Blocks from any row of the image on (`flowmask.families.blocks.LabelFrom`); None if cells can depend on rows at
    any distance. The blocks of several processes have, once gathered, the labels of `label_rows`."""
    label_sets: Callable[[Segmentation], Mapping[str, Segmentation]] = lambda options: {"": options}
    """The label images that the options ask for: the suffix of each label file, one of
    `flowmask.labels.paths.LABEL_SUFFIXES`, and options that ask for this label image alone. The first suffix is "". The
    maps are the same for all of them."""


def training_diameter(
    image: Image, network: Network, channels: ChannelMap, ranges: IntensityRanges, threads: int = 0
) -> DiameterEstimate:
    """Return the training diameter in px from the contract, for families that estimate no diameter from the image.

    >>> from types import SimpleNamespace
    >>> network = SimpleNamespace(contract=SimpleNamespace(train_diameter=34.0))
    >>> training_diameter(None, network, (), None).diameter
    34.0
    """
    from ..tiles.plan import DiameterEstimate

    return DiameterEstimate(network.contract.train_diameter)


def family_of(contract: Contract, path: Path | None = None) -> Family:
    """Return the family of a network.

    Raises NetworkError, naming the file ``path``, if this version does not have the family.

    >>> contract = Contract("n", "rgb", 30.0, 30.0, False, "CC0-1.0", "none", family="semantic")
    >>> sorted(family_of(contract).options)
    ['cellprob_threshold', 'min_size']
    """
    if contract.family not in FAMILIES:
        file = f"{path}: " if path else ""
        raise NetworkError(
            f"{file}the network {contract.name!r} has the family {contract.family!r} but this version of Flowmask runs "
            f"only {', '.join(FAMILIES)}; install a newer version."
        )
    family: Family = import_module(FAMILIES[contract.family], __name__).FAMILY
    return family


def open_network(paths: Sequence[Path], runtime: Runtime) -> OnnxNetwork | MeanNetwork:
    """Open a network file, or several to be averaged, on the device of ``runtime``.

    Raises NetworkError when there is no such file, it cannot be used, this version does not know its family, or the
    networks cannot be averaged; SettingsError when the device is not available.

    >>> from flowmask.network.registry import default_network
    >>> open_network([default_network()], Runtime(device="cpu")).contract.family
    'flow'
    """
    networks = []
    for path in paths:
        network = OnnxNetwork(path, runtime.device, runtime.threads, runtime.gpu_memory, share=len(paths))
        family_of(network.contract, path)
        networks.append(network)
    if len(networks) == 1:
        return networks[0]
    return MeanNetwork(networks, family_of(networks[0].contract).average)


def check_options(contract: Contract, options: Segmentation) -> None:
    """Raise SettingsError if an option differs from its default and has no use with the network or other options.

    Raises NetworkError if the family cannot run the heads of the network.

    >>> contract = Contract("n", "rgb", 30.0, 30.0, False, "CC0-1.0", "none", family="semantic")
    >>> check_options(contract, Segmentation(min_size=20))
    >>> check_options(contract, Segmentation(flow_threshold=0.2))
    Traceback (most recent call last):
    ...
    flowmask.errors.SettingsError: `flow_threshold` has no effect on a network of the semantic family; leave it out.
    """
    family = family_of(contract)
    unused = {field.name for field in fields(Segmentation)} - COMMON - family.options
    if contract.record > 1:
        unused.add("augment")  # records cannot be averaged
    for field in fields(Segmentation):
        if field.name in unused and getattr(options, field.name) != field.default:
            raise SettingsError(
                f"{named(field.name)} has no effect on a network of the {contract.family} family; leave it out."
            )
    family.check(contract, options)


def label_sets(contract: Contract, options: Segmentation) -> Mapping[str, Segmentation]:
    """Return the label images that the options ask for, as `Family.label_sets`.

    >>> contract = Contract("n", "rgb", 30.0, 30.0, False, "CC0-1.0", "none", family="watershed")
    >>> list(label_sets(contract, Segmentation(compartment="both")))
    ['', '_nuclear']
    """
    return family_of(contract).label_sets(options)


def check_single(contract: Contract, options: Segmentation, reason: str) -> None:
    """Raise SettingsError if the options ask for several label images. reason: why there can be only one.

    >>> contract = Contract("n", "rgb", 30.0, 30.0, False, "CC0-1.0", "none", family="watershed")
    >>> check_single(contract, Segmentation(compartment="both"), "this file holds one")
    Traceback (most recent call last):
    ...
    flowmask.errors.SettingsError: `compartment='both'` asks for 2 label images, but this file holds one; choose \
`compartment='whole-cell'` or `compartment='nuclear'`.
    """
    sets = [*label_sets(contract, options).values()]
    if len(sets) == 1:
        return
    name = next(field.name for field in fields(Segmentation) if len({getattr(each, field.name) for each in sets}) > 1)
    choices = " or ".join(named(name, getattr(each, name)) for each in sets)
    given = named(name, getattr(options, name))
    raise SettingsError(f"{given} asks for {len(sets)} label images, but {reason}; choose {choices}.")


def preload() -> None:
    """Import the slowest modules of the flow family. A thread can do it while the network is opened."""
    import_module(".flow.strip", __name__)
