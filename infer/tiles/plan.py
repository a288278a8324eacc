"""The plan of one image: everything that is fixed before its tiles go through the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..network.contract import Contract
from ..options import Segmentation
from .channels import ChannelMap
from .grid import TileGrid
from .normalise import IntensityRanges
from .view import Equalisation


@dataclass(frozen=True)
class DiameterEstimate:
    """The estimated cell diameter of an image, and how sure it is."""

    diameter: float
    """In px of the image."""
    first: float | None = None
    """First estimate in px, from the size regression; None if the network has none or the image has no style."""
    measured: float | None = None
    """Median diameter in px of the cells that were found at the best of the diameters that were tried."""
    flow_length: float = math.nan
    """Mean flow length at this diameter; 1 is ideal, 0 means that no cell was seen, NaN that none was tried."""
    at_end: bool = False
    """Whether the diameter is at an end of the range in which it was searched."""


@dataclass(frozen=True)
class ImagePlan:
    """The plan of one image. It can be sent to other processes, so any process can segment any part of the image."""

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
    equalisations: tuple[Equalisation | None, ...] = ()
    """How each of the distinct network inputs is equalised; () without `Contract.clahe`."""
    fills: tuple[float | None, ...] = ()
    """For each channel the value of missing pixels that the file does not declare; None, or (), without such pixels."""
    notes: tuple[str, ...] = ()
    """What was decided for this image, one sentence each."""
    warnings: tuple[str, ...] = ()
    """Why the labels may not be what was wanted, one sentence each."""
    unused: str | None = None
    """One sentence about the channels that were ignored, None if all were or the user chose the channels."""
    few_levels: float | None = None
    """Number of grey levels if they are so few that the cells may not be real, otherwise None."""

    def messages(self, cells: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return (notes, warnings) about an image in which this number of cells was found, one sentence each."""
        if self.unused is None:
            return self.notes, self.warnings
        if cells:
            return (*self.notes, self.unused), self.warnings
        return self.notes, (*self.warnings, f"No cells were found. {self.unused}")

    @property
    def scale(self) -> float:
        """Network pixels per image pixel."""
        return self.contract.mean_diameter / self.diameter

    @property
    def network_shape(self) -> tuple[int, int]:
        """(Y, X) of the image in network pixels."""
        return self.rows.length, self.columns.length
