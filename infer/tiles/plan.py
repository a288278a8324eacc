"""The plan of one image: everything that is decided before its tiles go through the network."""

from __future__ import annotations

from dataclasses import dataclass

from ..network.contract import Contract
from ..options import Segmentation
from .channels import ChannelMap
from .grid import TileGrid
from .normalise import IntensityRanges


@dataclass(frozen=True)
class ImagePlan:
    """Frozen and picklable, so that any process can do any part of the image by it."""

    contract: Contract
    options: Segmentation
    shape: tuple[int, int]
    """(Y, X) of the image in px."""
    diameter: float
    """Cell diameter in px of the image, given or estimated."""
    channels: ChannelMap
    ranges: IntensityRanges
    """(inputs, 2) float64: what becomes 0 in each network input, and the span that becomes 1."""
    rows: TileGrid
    columns: TileGrid
    """The tiles along both axes of the network image; their lengths are its size."""
    batch: int
    """Tiles per run of the network."""
    threads: int
    """CPU threads as in `flowmask.options.Runtime`; they change no result."""

    @property
    def scale(self) -> float:
        """Network pixels per image pixel."""
        return self.contract.mean_diameter / self.diameter

    @property
    def network_shape(self) -> tuple[int, int]:
        """(Y, X) of the image in network pixels."""
        return self.rows.length, self.columns.length
