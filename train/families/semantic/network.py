"""A U-Net (Ronneberger et al. 2015, arXiv:1505.04597) with one foreground logit per pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.families.base import FamilyNetwork


def double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Twice a 3x3 convolution, batch-norm and ReLU; the resolution stays the same."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(FamilyNetwork):
    """(B, C, Y, X) float32, Y and X multiples of 8 for four widths -> a tuple of one map (B, 1, Y, X), the logit.

    >>> (logit,) = UNet(1, (4, 8)).eval()(torch.zeros(2, 1, 6, 8))
    >>> tuple(logit.shape)
    (2, 1, 6, 8)
    """

    family, architecture = "semantic", "unet"

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.channels, self.widths = channels, tuple(widths)
        self.multiple = 2 ** (len(widths) - 1)
        scales = [*zip(widths, widths[1:], strict=False)]
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList([double_convolution(i, o) for i, o in [(channels, widths[0]), *scales]])
        self.grow = nn.ModuleList([nn.ConvTranspose2d(deep, fine, 2, stride=2) for fine, deep in reversed(scales)])
        self.decoder = nn.ModuleList([double_convolution(2 * fine, fine) for fine, _ in reversed(scales)])
        self.output = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        features: list[Tensor] = []
        for block in self.encoder:
            features.append(block(self.pool(features[-1]) if features else image))
        x = features.pop()
        for grow, block in zip(self.grow, self.decoder, strict=True):
            x = block(torch.cat([features.pop(), grow(x)], dim=1))
        return (self.output(x),)
