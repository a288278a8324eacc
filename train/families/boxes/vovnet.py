"""The backbone VoVNet2 (Lee and Park 2020, CenterMask, arXiv:1911.06667) in its sizes 19-slim-depthwise, 39 and 99.

As in the published code (``centermask/modeling/backbone/vovnet.py``), every block has effective squeeze-and-excitation
(eSE), and every block but the first of a stage adds its input to its output.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Size:
    """The numbers that distinguish the sizes of VoVNet2."""

    stem: tuple[int, int, int]
    """Features of the three convolutions of the stem."""
    inner: tuple[int, int, int, int]
    """Features of the 3x3 convolutions in each stage."""
    outputs: tuple[int, int, int, int]
    """Features that each stage returns."""
    layers: int
    """3x3 convolutions of a block."""
    blocks: tuple[int, int, int, int]
    """Blocks of each stage."""
    depthwise: bool
    """Whether a 3x3 convolution is one of each channel and then a 1x1 convolution."""


SLIM_DEPTHWISE = Size((64, 64, 64), (64, 80, 96, 112), (112, 256, 384, 512), 3, (1, 1, 1, 1), depthwise=True)
WIDE = ((64, 64, 128), (128, 160, 192, 224), (256, 512, 768, 1024), 5)
SIZES = {
    "19-slim-dw": SLIM_DEPTHWISE,
    "39": Size(*WIDE, (1, 1, 2, 2), depthwise=False),
    "99": Size(*WIDE, (1, 3, 9, 3), depthwise=False),
}
"""The published sizes."""


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, depthwise: bool = False) -> nn.Sequential:
    """Return a convolution, batch-norm and ReLU.

    >>> convolution(4, 8, 3, stride=2).eval()(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """
    padding = kernel // 2
    if depthwise:
        layers = [
            nn.Conv2d(inputs, inputs, kernel, stride, padding, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
        ]
    else:
        layers = [nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs), nn.ReLU())


class Excitation(nn.Module):
    """Effective squeeze-and-excitation: (B, C, Y, X) times a factor from 0 to 1 for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        factor = functional.relu6(self.mix(x.mean(dim=(2, 3), keepdim=True)) + 3) / 6
        return x * factor


class OneShotBlock(nn.Module):
    """One-shot aggregation: (B, inputs, Y, X) and the outputs of all layers together -> (B, outputs, Y, X)."""

    def __init__(self, inputs: int, inner: int, outputs: int, layers: int, depthwise: bool, adds: bool) -> None:
        super().__init__()
        self.adds = adds
        self.reduce = convolution(inputs, inner, 1) if depthwise and inputs != inner else None
        first = inner if depthwise else inputs
        self.layers = nn.ModuleList(
            [convolution(inner if number else first, inner, 3, depthwise=depthwise) for number in range(layers)]
        )
        self.gather = convolution(inputs + layers * inner, outputs, 1)
        self.excite = Excitation(outputs)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        y = x if self.reduce is None else self.reduce(x)
        for layer in self.layers:
            y = layer(y)
            features.append(y)
        out: Tensor = self.excite(self.gather(torch.cat(features, dim=1)))
        return out + x if self.adds else out


class VoVNet(nn.Module):
    """(B, 3, Y, X) -> features at strides 8, 16 and 32.

    >>> [tuple(f.shape[1:]) for f in VoVNet(SLIM_DEPTHWISE).eval()(torch.zeros(1, 3, 64, 96))]
    [(256, 8, 12), (384, 4, 6), (512, 2, 3)]
    """

    def __init__(self, size: Size, channels: int = 3) -> None:
        super().__init__()
        first, second, third = size.stem
        self.stem = nn.Sequential(
            convolution(channels, first, 3, stride=2),
            convolution(first, second, 3, depthwise=size.depthwise),
            convolution(second, third, 3, stride=2, depthwise=size.depthwise),
        )
        self.stages = nn.ModuleList()
        for inputs, inner, outputs, blocks in zip(
            (third, *size.outputs), size.inner, size.outputs, size.blocks, strict=False
        ):
            stage = [
                OneShotBlock(outputs if n else inputs, inner, outputs, size.layers, size.depthwise, adds=n > 0)
                for n in range(blocks)
            ]
            self.stages.append(nn.Sequential(*stage))
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stages[0](self.stem(x))
        features = []
        for stage in self.stages[1:]:
            x = stage(self.pool(x))
            features.append(x)
        return features
