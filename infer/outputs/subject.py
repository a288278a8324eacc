"""What all outputs of an image need to know about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..labels.cell_table import CellTable


@dataclass(frozen=True)
class Subject:
    """One segmented image."""

    shape: tuple[int, int]
    """(Y, X) in px."""
    channels: tuple[str, ...]
    """A name for each channel: that of the file, or its number from 0."""
    pixel_size_um: float | None
    """Side of a pixel in micrometres, None if unknown; of a pixel that is no square, that of a square of its area."""
    cells: CellTable
    """Place, size and quality of each cell."""
    display: npt.NDArray[np.float64]
    """(C, 2): the value of each channel that is shown black, and the span from it to full brightness."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the run knows about the image, for its card: the "outcome" and the "provenance" of its labels."""
    name: str = ""
    """The name of its label file without the ending."""
    pixel_sides_um: tuple[float, float] | None = None
    """Height and width of a pixel in micrometres if they differ."""

    @property
    def sides(self) -> tuple[float, float] | None:
        """Height and width of a pixel in micrometres, None if unknown."""
        return self.pixel_sides_um or ((self.pixel_size_um, self.pixel_size_um) if self.pixel_size_um else None)

    @property
    def at_border(self) -> npt.NDArray[np.bool_]:
        """(cells,): whether a cell touches the border of the image."""
        top, left, bottom, right = self.cells.bbox.T
        at_border: npt.NDArray[np.bool_] = (
            (top == 0) | (left == 0) | (bottom == self.shape[0]) | (right == self.shape[1])
        )
        return at_border


def channel_names(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return one name for each channel: the given ones if they are complete and differ, otherwise numbers from 0.

    >>> channel_names(("DAPI", "GFP"), 2), channel_names((), 2)
    (('DAPI', 'GFP'), ('0', '1'))
    """
    complete = len(names) == count and len(set(names)) == count and all(names)
    return names if complete else tuple(map(str, range(count)))
