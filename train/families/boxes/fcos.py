"""The dense part after the backbone: a feature pyramid and the detection head of FCOS, shared by its levels.

FCOS: Tian et al. 2019, arXiv:1904.01355. Feature pyramid: Lin et al. 2017, arXiv:1612.03144.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32, 64, 128)
"""Strides of the levels P3 to P7."""
PRIOR = 0.01
"""Probability of a cell that a new network gives everywhere."""
GROUPS, IN_GROUP = 32, 4
"""Most groups of the group norm, and fewest features of a group; published are 32 groups of 8 or 4."""


class Dense(NamedTuple):
    """What FCOS predicts at the N locations of all levels."""

    logits: Tensor
    """(B, N): logit of the probability that the location belongs to a cell."""
    distances: Tensor
    """(B, N, 4): from the location to the left, top, right and bottom of the box, in px."""
    centreness: Tensor
    """(B, N): logit of the centre-ness, which is high in the middle of a box."""
    locations: Tensor
    """(N, 2): row and column in px."""


class Pyramid(nn.Module):
    """Features at strides 8, 16 and 32 -> five levels P3 to P7, each (B, width, Y / stride, X / stride)."""

    def __init__(self, inputs: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(channels, width, 1) for channels in inputs])
        self.smooth = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in inputs])
        self.sixth, self.seventh = (nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(2))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        x: Tensor | None = None
        levels: list[Tensor] = []
        for lateral, smooth, feature in zip(
            reversed(self.lateral), reversed(self.smooth), reversed(features), strict=True
        ):
            finer = lateral(feature)
            x = finer if x is None else finer + functional.interpolate(x, scale_factor=2.0, mode="nearest")
            levels.insert(0, smooth(x))
        levels.append(self.sixth(levels[-1]))
        levels.append(self.seventh(functional.relu(levels[-1])))
        return levels


def tower(width: int, convolutions: int) -> nn.Sequential:
    """Return convolutions, each with group norm and ReLU.

    >>> len(tower(32, 2))  # convolution, norm and ReLU, twice
    6
    """
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(min(GROUPS, width // IN_GROUP), width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class Detector(nn.Module):
    """Levels (B, width, Y / stride, X / stride) -> `Dense`; width: a multiple of 32, or of 4 below 128.

    >>> dense = Detector(32, 1).eval()([torch.zeros(2, 32, 4, 6), torch.zeros(2, 32, 2, 3)])
    >>> tuple(dense.logits.shape), tuple(dense.distances.shape), dense.locations[[0, 1, 24]].tolist()
    ((2, 30), (2, 30, 4), [[4.0, 4.0], [4.0, 12.0], [8.0, 8.0]])
    """

    def __init__(self, width: int, convolutions: int) -> None:
        super().__init__()
        self.classes, self.boxes = tower(width, convolutions), tower(width, convolutions)
        self.logit, self.distances, self.centreness = (nn.Conv2d(width, n, 3, padding=1) for n in (1, 4, 1))
        self.scales = nn.Parameter(torch.ones(len(STRIDES)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.logit.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]

    def forward(self, levels: list[Tensor]) -> Dense:
        logits, distances, centreness, locations = [], [], [], []
        for number, (level, stride) in enumerate(zip(levels, STRIDES, strict=False)):
            boxes = self.boxes(level)
            logits.append(self.logit(self.classes(level)).flatten(1))
            # As in CenterMask2: a scale for each level, and ReLU in place of the exponential function of FCOS.
            around = functional.relu(self.distances(boxes) * self.scales[number]) * stride
            distances.append(around.flatten(2).transpose(1, 2))
            centreness.append(self.centreness(boxes).flatten(1))
            locations.append(positions(level, stride))
        return Dense(torch.cat(logits, 1), torch.cat(distances, 1), torch.cat(centreness, 1), torch.cat(locations, 0))


def positions(level: Tensor, stride: int) -> Tensor:
    """Return the centres (Y * X, 2) of the pixels of a level (B, C, Y, X), as row and column in px of the input.

    >>> positions(torch.zeros(1, 1, 1, 2), 8).tolist()
    [[4.0, 4.0], [4.0, 12.0]]
    """
    ones = torch.ones_like(level[0, 0])
    rows, columns = (ones.cumsum(axis) - 0.5 for axis in (0, 1))
    return stride * torch.stack([rows.flatten(), columns.flatten()], dim=1)


def boxes_of(dense: Dense) -> Tensor:
    """Return the predicted boxes (B, N, 4): top, left, bottom, right in px.

    >>> distances = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])  # left, top, right, bottom
    >>> boxes_of(Dense(torch.zeros(1, 1), distances, torch.zeros(1, 1), torch.tensor([[10.0, 20.0]])))
    tensor([[[ 8., 19., 14., 23.]]])
    """
    left, top, right, bottom = dense.distances.unbind(2)
    y, x = dense.locations.unbind(1)
    return torch.stack([y - top, x - left, y + bottom, x + right], dim=2)


def scores_of(dense: Dense) -> Tensor:
    """Return the scores (B, N): the root of the probability of a cell times the centre-ness.

    >>> zero = torch.zeros(1, 1)  # both probabilities are one half
    >>> scores_of(Dense(zero, torch.zeros(1, 1, 4), zero, torch.zeros(1, 2)))
    tensor([[0.5000]])
    """
    return (dense.logits.sigmoid() * dense.centreness.sigmoid()).sqrt()
