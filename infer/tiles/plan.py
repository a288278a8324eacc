"""The plan of one image: everything that is fixed before its tiles go through the network."""

from __future__ import annotations

from dataclasses import dataclass

from ..network.contract import Contract
from ..options import Segmentation
from .channels import ChannelMap
from .grid import TileGrid
from .normalise import IntensityRanges


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
    gaps: tuple[float | None, ...] = ()
    """For each channel of the image the value that stands for missing pixels; None, or (), where there is none."""
    notes: tuple[str, ...] = ()
    """What was decided for this image, one sentence each."""
    warnings: tuple[str, ...] = ()
    """The notes that the user must see, because the labels may not be what was wanted."""
    unseen: str | None = None
    """The note about channels that were not looked at; with 0 cells it is a warning."""

    def warnings_with(self, cells: int) -> tuple[str, ...]:
        """Return the warnings of an image in which this number of cells was found."""
        return (*self.warnings, self.unseen) if self.unseen and not cells else self.warnings

    @property
    def scale(self) -> float:
        """Network pixels per image pixel."""
        return self.contract.mean_diameter / self.diameter

    @property
    def network_shape(self) -> tuple[int, int]:
        """(Y, X) of the image in network pixels."""
        return self.rows.length, self.columns.length
