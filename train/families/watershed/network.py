"""A light PanopticNet: an encoder that was pretrained on ImageNet, a feature pyramid, and two semantic heads.

PanopticNet: Greenwald et al. 2022, doi:10.1038/s41587-021-01094-0 (``deepcell/model_zoo/panopticnet.py``). Feature
pyramid: Lin et al. 2017, arXiv:1612.03144. Here the encoder is EfficientNet-Lite0, and the coarsest levels P6 and P7
are left out, because the semantic heads use the finest level alone, P3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.families.base import FamilyNetwork
from train.families.flow.light import SKIPS, Encoder, conv_norm

WIDTHS = (32, 64)
"""Features of the semantic heads and of the pyramid. Published: 64 and 256."""
LEVELS = 3
"""Levels of the pyramid: C3, C4 and C5, at an 8th, a 16th and a 32nd of the resolution."""


def separable(channels: int) -> nn.Sequential:
    """Return a 3x3 convolution of each channel and a 1x1 convolution, as in the "lite" pyramid of PanopticNet."""
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.Conv2d(channels, channels, 1))


class Pyramid(nn.Module):
    """Features at strides 8, 16 and 32 -> the finest level of a feature pyramid, (B, width, Y / 8, X / 8)."""

    def __init__(self, inputs: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(channels, width, 1) for channels in inputs])
        self.finest = separable(width)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.lateral[-1](features[-1])
        for lateral, feature in zip(reversed(self.lateral[:-1]), reversed(features[:-1]), strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest") + lateral(feature)
        out: Tensor = self.finest(x)
        return out


class SemanticHead(nn.Module):
    """(B, inputs, Y / 8, X / 8) -> (B, outputs, Y, X): three times a convolution and twice the resolution."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ModuleList([conv_norm(width if number else inputs, width) for number in range(3)])
        self.mix, self.output = conv_norm(width, 2 * width, 1), nn.Conv2d(2 * width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.up:
            x = functional.interpolate(functional.relu(convolution(x)), scale_factor=2.0, mode="bilinear")
        out: Tensor = self.output(functional.relu(self.mix(x)))
        return out


class PanopticNetwork(FamilyNetwork):
    """(B, 3, Y, X) float32, Y and X multiples of 32 -> a tuple of the maps (B, 4, Y, X).

    The maps are the inner distance, then interior, border and background: in training any number and three logits, in
    evaluation mode what the decoder needs, at least 0 and three probabilities.

    >>> (maps,) = PanopticNetwork(3, (4, 8)).eval()(torch.zeros(2, 3, 64, 96))
    >>> tuple(maps.shape), round(maps[0, 1:, 0, 0].sum().item(), 3)
    ((2, 4, 64, 96), 1.0)
    """

    family, architecture = "watershed", "light"
    multiple = 32
    located = False
    """Whether the network gets the position of each pixel in the tile, from 0 to 1, as two more channels."""

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.channels, self.widths = channels, tuple(widths)
        head, pyramid = widths
        self.entry = nn.Conv2d(channels + 2, 3, 1) if self.located else None
        self.encoder = Encoder()
        self.pyramid = Pyramid(tuple(SKIPS.values())[-LEVELS:], pyramid)
        self.inner_distance, self.pixelwise = SemanticHead(pyramid, head, 1), SemanticHead(pyramid, head, 3)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        x = 2 * image - 1  # the published weights expect -1 to 1
        if self.entry is not None:
            x = self.entry(torch.cat([x, *coordinates(image)], dim=1))
        finest = self.pyramid(self.encoder(x)[-LEVELS:])
        distance, classes = self.inner_distance(finest), self.pixelwise(finest)
        if not self.training:
            distance, classes = functional.relu(distance), classes.softmax(dim=1)
        return (torch.cat([distance, classes], dim=1),)


class LocatedNetwork(PanopticNetwork):
    """The same network with coordinates, as published; its input may have any number of channels."""

    architecture, located = "light-coordinates", True


def coordinates(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row and the column of each pixel, both (B, 1, Y, X), from 0 at the first to 1 at the last.

    >>> coordinates(torch.zeros(1, 3, 1, 3))[1].tolist()
    [[[[0.0, 0.5, 1.0]]]]
    """
    ones = torch.ones_like(image[:, :1])
    counts = (ones.cumsum(axis) - 1 for axis in (2, 3))
    rows, columns = (count / count.amax(dim=(2, 3), keepdim=True).clamp(min=1) for count in counts)
    return rows, columns
