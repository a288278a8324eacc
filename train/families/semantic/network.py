"""U-Nets (Ronneberger et al. 2015, arXiv:1505.04597) with one foreground logit or three classes per pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.families.base import FamilyNetwork

STANDARD = (64, 128, 256, 512)
"""Features at each scale, from full resolution down, of a U-Net of the published width. All filters have 3 x 3 px."""
DEEP = (*STANDARD, 1024)
"""One more scale. This one and the next are the deep U-Nets of the LIVECell study with U-Net and CenterMask."""
DOUBLE_DEEP = (*DEEP, 2048)
"""Two more scales."""


def double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Twice a 3x3 convolution, batch-norm and ReLU; the resolution stays the same.

    >>> double_convolution(4, 8).eval()(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 6, 6])
    """
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(FamilyNetwork):
    """(B, C, Y, X) float32 -> a tuple of one map (B, 1, Y, X), the logit of the foreground.

    Y and X are multiples of ``multiple``: 8 for four widths, 16 for five, 32 for six.

    >>> (logit,) = UNet(1, (4, 8)).eval()(torch.zeros(2, 1, 6, 8))
    >>> tuple(logit.shape)
    (2, 1, 6, 8)
    """

    family, architecture = "semantic", "unet"
    outputs = 1

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.channels, self.widths = channels, tuple(widths)
        self.multiple = 2 ** (len(widths) - 1)
        scales = [*zip(widths, widths[1:], strict=False)]
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList([double_convolution(i, o) for i, o in [(channels, widths[0]), *scales]])
        self.grow = nn.ModuleList([nn.ConvTranspose2d(deep, fine, 2, stride=2) for fine, deep in reversed(scales)])
        self.decoder = nn.ModuleList([double_convolution(2 * fine, fine) for fine, _ in reversed(scales)])
        self.output = nn.Conv2d(widths[0], self.outputs, 1)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.values(image),)

    def values(self, image: Tensor) -> Tensor:
        """Return the output of the last layer, (B, ``outputs``, Y, X)."""
        features: list[Tensor] = []
        for block in self.encoder:
            features.append(block(self.pool(features[-1]) if features else image))
        x = features.pop()
        for grow, block in zip(self.grow, self.decoder, strict=True):
            x = block(torch.cat([features.pop(), grow(x)], dim=1))
        out: Tensor = self.output(x)
        return out


class BorderUNet(UNet):
    """The same network with three maps (B, 3, Y, X): interior, border and background.

    In training they are logits, in evaluation mode probabilities.

    >>> (maps,) = BorderUNet(1, (4, 8)).eval()(torch.zeros(2, 1, 6, 8))
    >>> tuple(maps.shape), round(maps[0, :, 0, 0].sum().item(), 3)
    ((2, 3, 6, 8), 1.0)
    """

    architecture, outputs = "unet-border", 3

    def forward(self, image: Tensor) -> tuple[Tensor]:
        logits = self.values(image)
        return (logits if self.training else logits.softmax(dim=1),)
