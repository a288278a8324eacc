"""The plan of one image: everything that is fixed before its tiles go through the network."""

from __future__ import annotations

from dataclasses import dataclass

from ..network.contract import Contract
from ..options import Segmentation
from .channels import ChannelMap
from .grid import TileGrid
from .normalise import IntensityRanges


@dataclass(frozen=True)
class DiameterEstimate:
    """The estimated cell diameter of an image, and what it was chosen from."""

    diameter: float
    """In px of the image."""
    tried: tuple[float, ...] = ()
    """The diameters in px that were tried; empty if the network has no size regression or the image has no style."""
    flow_lengths: tuple[float, ...] = ()
    """The mean flow length at each of them; 1 is ideal, and 0 means that no cell was seen."""
    first: float | None = None
    """First estimate in px, from the size regression."""
    measured: float | None = None
    """Median diameter in px of the cells that were found at the best diameter tried; None without cells."""
    at_end: bool = False
    """Whether the diameter is at an end of the range in which it was searched."""


@dataclass(frozen=True)
class ImagePlan:
    """The plan of one image. It is frozen and can be pickled, so any process can segment any part of the image."""

    contract: Contract
    """The contract of the network."""
    options: Segmentation
    shape: tuple[int, int]
    """(Y, X) of the image in px."""
    diameter: float
    """Cell diameter in px of the image, given or estimated."""
    channels: ChannelMap
    ranges: IntensityRanges
    """(inputs, 2) float64: the low percentile of each network input, and the span to the high one."""
    rows: TileGrid
    columns: TileGrid
    """The tiles along both axes of the network image."""
    batch: int
    """Most tiles per run of the network."""
    threads: int
    """Number of CPU threads, as in `flowmask.options.Runtime`; it does not change the labels."""
    estimate: DiameterEstimate | None = None
    """How the diameter was estimated; None if it was given, or known from an interrupted run."""
    notes: tuple[str, ...] = ()
    """One sentence about each decision that the user may want to know."""

    @property
    def scale(self) -> float:
        """Network pixels per image pixel."""
        return self.contract.mean_diameter / self.diameter

    @property
    def network_shape(self) -> tuple[int, int]:
        """(Y, X) of the image in network pixels."""
        return self.rows.length, self.columns.length
