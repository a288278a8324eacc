"""PanopticNet: an encoder that was pretrained on ImageNet, a feature pyramid, and semantic heads.

PanopticNet: Greenwald et al. 2022, doi:10.1038/s41587-021-01094-0 (``deepcell/model_zoo/panopticnet.py``). Feature
pyramid: Lin et al. 2017, arXiv:1612.03144. The encoder is EfficientNet-Lite0 or a backbone of timm. The semantic heads
use the finest level alone, P3. The coarsest levels P6 and P7 are left out: the published code computes P6 from C5 and
P7 from P6, and nothing leads from them to P3, so that they do not change any output.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.families.base import FamilyNetwork
from train.families.flow.light import SKIPS, Encoder, conv_norm
from train.families.watershed.backbones import BACKBONES, TimmEncoder

WIDTHS = (32, 64)
"""Features of the semantic heads and of the pyramid. Published: 64 and 256."""
LEVELS = 3
"""Levels of the pyramid: C3, C4 and C5, at an 8th, a 16th and a 32nd of the resolution."""


PUBLISHED = (64, 256)
"""Features of the published network: of the semantic heads and of the pyramid."""
LIGHT = "light"
"""The backbone EfficientNet-Lite0."""


@dataclass(frozen=True)
class Design:
    """What distinguishes one PanopticNet from another, besides its widths."""

    backbone: str = LIGHT
    """`LIGHT` or a key of `train.families.watershed.backbones.BACKBONES`."""
    coordinates: bool = False
    """Whether the network gets the position of each pixel in the tile, from 0 to 1, as two more channels."""
    depthwise: bool = True
    """Whether the convolution of the pyramid is depthwise, as in both papers; otherwise it is a full one."""
    outer_distance: bool = False
    """Whether a head for the outer distance is trained too. Only the training uses this head and the next."""
    foreground: bool = False
    """Whether a head for foreground and background is trained too."""
    nuclei: bool = False
    """Whether the network has an inner distance and classes for nuclei too, as that of Mesmer."""

    @property
    def name(self) -> str:
        """The name of the architecture; those with a backbone of timm always have coordinates, as published.

        >>> Design().name, Design(coordinates=True).name, Design("resnet50", True, outer_distance=True).name
        ('light', 'light-coordinates', 'resnet50-outer')
        """
        parts = {
            "coordinates": self.coordinates and self.backbone == LIGHT,
            "full": not self.depthwise,
            "outer": self.outer_distance,
            "foreground": self.foreground,
            "nuclei": self.nuclei,
        }
        return "-".join([self.backbone, *(part for part, is_in in parts.items() if is_in)])


def separable(channels: int) -> nn.Sequential:
    """Return a 3x3 convolution of each channel and a 1x1 convolution, as in the "lite" pyramid of PanopticNet.

    >>> separable(8)(torch.zeros(1, 8, 6, 6)).shape
    torch.Size([1, 8, 6, 6])
    """
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.Conv2d(channels, channels, 1))


class Pyramid(nn.Module):
    """Features at strides 8, 16 and 32 -> the finest level of a feature pyramid, (B, width, Y / 8, X / 8)."""

    def __init__(self, inputs: tuple[int, ...], width: int, depthwise: bool = True) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(channels, width, 1) for channels in inputs])
        self.finest = separable(width) if depthwise else nn.Conv2d(width, width, 3, padding=1)

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
    """(B, C, Y, X) float32, Y and X multiples of 32 -> a tuple of the maps (B, K, Y, X); C is 3 without coordinates.

    In evaluation mode the maps are what the decoder needs: the inner distance, at least 0, and the probabilities of
    interior, border and background, then those of nuclei if the design has them. In training they are any number and
    three logits, then the outer distance and two logits of foreground and background if the design has these heads,
    and at the end any number and three logits for nuclei.

    >>> (maps,) = PanopticNetwork(3, (4, 8)).eval()(torch.zeros(2, 3, 64, 96))
    >>> tuple(maps.shape), round(maps[0, 1:, 0, 0].sum().item(), 3)
    ((2, 4, 64, 96), 1.0)
    """

    family, multiple = "watershed", 32

    def __init__(
        self,
        channels: int = 3,
        widths: tuple[int, ...] = WIDTHS,
        design: Design = Design(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__()
        self.channels, self.widths, self.architecture = channels, tuple(widths), design.name
        head, pyramid = widths
        self.entry = nn.Conv2d(channels + 2, 3, 1) if design.coordinates else None
        self.encoder = TimmEncoder(design.backbone) if design.backbone in BACKBONES else Encoder()
        inputs = self.encoder.widths if isinstance(self.encoder, TimmEncoder) else tuple(SKIPS.values())[-LEVELS:]
        self.pyramid = Pyramid(inputs, pyramid, design.depthwise)
        self.inner_distance, self.pixelwise = SemanticHead(pyramid, head, 1), SemanticHead(pyramid, head, 3)
        outputs = [1] * design.outer_distance + [2] * design.foreground
        self.auxiliary = nn.ModuleList([SemanticHead(pyramid, head, count) for count in outputs])
        self.nuclei = nn.ModuleList([SemanticHead(pyramid, head, count) for count in (1, 3) * design.nuclei])

    def forward(self, image: Tensor) -> tuple[Tensor]:
        x = 2 * image - 1  # the published weights expect -1 to 1
        if self.entry is not None:
            x = self.entry(torch.cat([x, *coordinates(image)], dim=1))
        finest = self.pyramid(self.encoder(x)[-LEVELS:])
        cells = [self.inner_distance(finest), self.pixelwise(finest)]
        nuclei = [head(finest) for head in self.nuclei]
        if self.training:
            return (torch.cat([*cells, *(head(finest) for head in self.auxiliary), *nuclei], dim=1),)
        maps = [part for distance, classes in filter(None, (cells, nuclei)) for part in activated(distance, classes)]
        return (torch.cat(maps, dim=1),)


def activated(distance: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inner distance, at least 0, and the probabilities of the classes, which were logits.

    >>> activated(torch.tensor([[-1.0]]), torch.zeros(1, 4))
    (tensor([[0.]]), tensor([[0.2500, 0.2500, 0.2500, 0.2500]]))
    """
    return functional.relu(distance), classes.softmax(dim=1)


def designs() -> dict[str, Design]:
    """Return all designs by the names of their architectures.

    >>> found = designs()
    >>> len(found), found["densenet201-full"] == Design("densenet201", coordinates=True, depthwise=False)
    (80, True)
    """
    entries = [partial(Design, LIGHT, False), *(partial(Design, name, True) for name in (LIGHT, *BACKBONES))]
    options = [(not full, *heads) for full, *heads in product((False, True), repeat=4)]
    return {design.name: design for entry in entries for design in (entry(*own) for own in options)}


def coordinates(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row and the column of each pixel, both (B, 1, Y, X), from 0 at the first to 1 at the last.

    >>> coordinates(torch.zeros(1, 3, 1, 3))[1].tolist()
    [[[[0.0, 0.5, 1.0]]]]
    """
    ones = torch.ones_like(image[:, :1])
    counts = (ones.cumsum(axis) - 1 for axis in (2, 3))
    rows, columns = (count / count.amax(dim=(2, 3), keepdim=True).clamp(min=1) for count in counts)
    return rows, columns
