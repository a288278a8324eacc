"""The residual flow network of Cellpose (Stringer et al. 2021, doi:10.1038/s41592-020-01018-x) as plain PyTorch.

Pre-activation batch-norm; skips and style are added. Three output maps: dy * 5, dx * 5, cell logit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.families.base import FamilyNetwork

FULL = (32, 64, 128, 256)
HALF = (16, 32, 64, 128)
QUARTER = (8, 16, 32, 64)


def norm_conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Batch-norm, ReLU, convolution, in the order of the reference.

    >>> norm_conv(4, 8, 3).eval()(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 6, 6])
    """
    return nn.Sequential(
        nn.BatchNorm2d(inputs, momentum=0.05), nn.ReLU(), nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    )


def projection(inputs: int, outputs: int) -> nn.Sequential:
    """Batch-norm and 1x1 convolution, without ReLU: the shortcut where the width changes.

    >>> [type(layer).__name__ for layer in projection(4, 8)]
    ['BatchNorm2d', 'Conv2d']
    """
    return nn.Sequential(nn.BatchNorm2d(inputs, momentum=0.05), nn.Conv2d(inputs, outputs, 1))


class Down(nn.Module):
    """Two residual blocks of one scale of the contracting path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = projection(inputs, outputs)
        self.conv = nn.ModuleList([norm_conv(inputs if k == 0 else outputs, outputs, 3) for k in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x) + self.conv[1](self.conv[0](x))
        return x + self.conv[3](self.conv[2](x))  # type: ignore[no-any-return]


class Up(nn.Module):
    """Two residual blocks of one scale of the expanding path; skip and style are added.

    The features of the scale below are enlarged (nearest neighbour) as late as possible: normalising and projecting
    them first gives the same values for a quarter of the work.
    """

    def __init__(self, inputs: int, outputs: int, style: int, enlarges: bool) -> None:
        super().__init__()
        self.grow = nn.Upsample(scale_factor=2, mode="nearest") if enlarges else nn.Identity()
        self.proj = projection(inputs, outputs)
        self.conv = nn.ModuleList([norm_conv(inputs if k == 0 else outputs, outputs, 3) for k in range(4)])
        # A linear map of the style, written as a 1x1 convolution: then ONNX Runtime gives the same result for an
        # item in batches of any size, which it does not guarantee for a matrix product.
        self.style = nn.ModuleList([nn.Conv2d(style, outputs, 1) for _ in range(3)])

    def forward(self, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
        norm, relu, convolution = self.conv[0].children()
        y = self.conv[1](convolution(self.grow(relu(norm(x)))) + skip + self.style[0](style))
        x = self.grow(self.proj(x)) + y
        y = self.conv[2](x + self.style[1](style))
        return x + self.conv[3](y + self.style[2](style))  # type: ignore[no-any-return]


class FlowNetwork(FamilyNetwork):
    """(B, C, Y, X) float32, Y and X multiples of 8 -> maps (B, 3, Y, X) and style (B, widths[-1]).

    >>> maps, style = FlowNetwork(3, (4, 4, 8, 8)).eval()(torch.zeros(2, 3, 16, 24))
    >>> tuple(maps.shape), tuple(style.shape)
    ((2, 3, 16, 24), (2, 8))
    """

    family, architecture = "flow", "cpnet"
    ones: Tensor

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = FULL) -> None:
        super().__init__()
        self.channels, self.widths = channels, tuple(widths)
        self.multiple = 2 ** (len(widths) - 1)
        self.styles = widths[-1]
        ins = (channels, *widths[:-1])
        self.down = nn.ModuleList([Down(i, o) for i, o in zip(ins, widths, strict=True)])
        deepest = widths[-1]
        outs = (*widths[1:], deepest)
        self.up = nn.ModuleList(
            [Up(i, o, deepest, level < len(widths) - 1) for level, (i, o) in enumerate(zip(outs, widths, strict=True))]
        )
        self.pool = nn.MaxPool2d(2)
        self.output = norm_conv(widths[0], 3, 1)
        # The sum over channels in the style's norm, also as a 1x1 convolution: ONNX Runtime's ReduceSum adds in
        # another order for one item than for several. These ones are no weights: they are not in the checkpoint.
        self.register_buffer("ones", torch.ones(1, deepest, 1, 1), persistent=False)

    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the features of every scale and the style (B, S, 1, 1) of unit length."""
        features: list[Tensor] = []
        for level, block in enumerate(self.down):
            features.append(block(self.pool(features[-1]) if level else image))
        style = features[-1].mean(dim=(2, 3), keepdim=True)
        return features, style / nn.functional.conv2d(style * style, self.ones).sqrt()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features, style = self.encode(image)
        x = features[-1]
        for block, skip in zip(reversed(self.up), reversed(features), strict=True):
            x = block(x, skip, style)
        return self.output(x), style.flatten(1)
