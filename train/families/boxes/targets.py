"""What CenterMask learns from a label image: boxes, their assignment to locations, and masks in boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from flowmask.families.boxes.constants import MASK
from train.families.boxes.fcos import STRIDES

RADIUS = 1.5
"""A location belongs to a cell if it is less than this many strides from the centre of its box, along each axis."""
RANGES = (0.0, 64.0, 128.0, 256.0, 512.0, torch.inf)
"""The largest distance from a location to a side of its box, in px, must lie in the range of its level."""


class Cells(NamedTuple):
    """The cells of one label image."""

    ids: Tensor
    """(n,) their labels, float32 as in the target."""
    boxes: Tensor
    """(n, 4) float32: top, left, bottom and right in px; the ends are the outer sides of the last pixels."""
    areas: Tensor
    """(n,) float32 in px."""


class Assigned(NamedTuple):
    """The targets of FCOS at N locations."""

    positive: Tensor
    """(N,) bool: whether the location belongs to a cell."""
    distances: Tensor
    """(N, 4): left, top, right and bottom in px; not defined at other locations."""
    centreness: Tensor
    """(N,): sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))."""


def cells_of(labels: Tensor) -> Cells:
    """Return the cells of a label image (Y, X).

    >>> cells_of(torch.tensor([[0.0, 3, 3], [0, 0, 3]])).boxes.tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """
    array = labels.cpu().numpy()
    rows, columns = np.nonzero(array)
    ids, index, areas = np.unique(array[rows, columns], return_inverse=True, return_counts=True)
    boxes = np.zeros((len(ids), 4), np.float32)
    for axis, at in enumerate((rows, columns)):
        boxes[:, axis] = np.inf
        np.minimum.at(boxes[:, axis], index, at)
        np.maximum.at(boxes[:, axis + 2], index, at + 1)
    return Cells(*(torch.from_numpy(values.astype(np.float32)).to(labels.device) for values in (ids, boxes, areas)))


def level_ranges(locations: int, side_y: int, side_x: int) -> Tensor:
    """Return the stride and the range of distances (N, 3) of each location of a crop of side_y x side_x px.

    >>> level_ranges(85, 64, 64)[[0, 64, 80]].tolist()
    [[8.0, 0.0, 64.0], [16.0, 64.0, 128.0], [32.0, 128.0, 256.0]]
    """
    rows = []
    for stride, low, high in zip(STRIDES, RANGES, RANGES[1:], strict=False):
        count = -(-side_y // stride) * -(-side_x // stride)
        rows.append(torch.tensor([[float(stride), low, high]]).expand(count, 3))
    table = torch.cat(rows)
    assert locations <= len(table)
    return table[:locations]


def assign(boxes: Tensor, locations: Tensor, ranges: Tensor) -> Assigned:
    """Return the targets of FCOS, with centre sampling.

    boxes: (n, 4); locations: (N, 2); ranges: (N, 3), see `level_ranges`. A location in several cells belongs to the one
    whose box has the smallest area.

    >>> found = assign(torch.tensor([[0.0, 0, 8, 16]]), torch.tensor([[4.0, 4], [4, 20]]), level_ranges(2, 8, 16))
    >>> found.positive.tolist(), found.distances[0].tolist(), round(found.centreness[0].item(), 3)
    ([True, False], [4.0, 4.0, 12.0, 4.0], 0.577)
    """
    if len(boxes) == 0:
        zeros = torch.zeros(len(locations), 4, device=locations.device)
        return Assigned(zeros[:, 0] > 0, zeros, zeros[:, 0])
    from_start = locations[:, None] - boxes[:, :2]  # (N, n, 2): rows, columns
    to_end = boxes[:, 2:] - locations[:, None]
    sides = torch.cat([from_start.flip(2), to_end.flip(2)], dim=2)  # left, top, right, bottom
    strides, low, high = (ranges[:, column, None].to(locations.device) for column in range(3))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = ((locations[:, None] - centres).abs() < RADIUS * strides[:, :, None]).all(dim=2)
    largest = sides.amax(dim=2)
    valid = near & (sides.amin(dim=2) > 0) & (largest >= low) & (largest <= high)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    smallest, cell = torch.where(valid, areas, torch.inf).min(dim=1)
    distances = sides.gather(1, cell[:, None, None].expand(-1, 1, 4))[:, 0]
    across, down = distances[:, [0, 2]].clamp(min=1e-6), distances[:, [1, 3]].clamp(min=1e-6)
    ratio = across.amin(1) / across.amax(1) * (down.amin(1) / down.amax(1))
    return Assigned(smallest < torch.inf, distances, ratio.sqrt())


def masks_in(labels: Tensor, boxes: Tensor, ids: Tensor) -> Tensor:
    """Return (R, 28, 28) float32, 1 where the pixel at the middle of a bin of the box (R, 4) has the label (R,).

    labels: (R, Y, X), the label image for each box; pixels outside belong to no cell.

    >>> masks_in(torch.tensor([[[1.0, 2]]]), torch.tensor([[0.0, 0, 1, 2]]), torch.tensor([2.0])).sum().item()
    392.0
    """
    steps = (torch.arange(MASK, device=boxes.device) + 0.5) / MASK
    rows, columns = (
        (boxes[:, axis, None] + steps * (boxes[:, axis + 2] - boxes[:, axis])[:, None]).floor().long()
        for axis in (0, 1)
    )
    inside = ((rows >= 0) & (rows < labels.shape[1]))[:, :, None] & ((columns >= 0) & (columns < labels.shape[2]))[
        :, None
    ]
    rows, columns = rows.clamp(0, labels.shape[1] - 1), columns.clamp(0, labels.shape[2] - 1)
    numbers = torch.arange(len(boxes), device=boxes.device)[:, None, None]
    values = labels[numbers, rows[:, :, None], columns[:, None]]
    return ((values == ids[:, None, None]) & inside).float()
