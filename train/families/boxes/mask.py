"""The part for each box: a mask with spatial attention (SAG-Mask) and the IoU that the mask is expected to have.

SAG-Mask: Lee and Park 2020, CenterMask, arXiv:1911.06667. Mask IoU: Huang et al. 2019, Mask Scoring R-CNN,
arXiv:1903.00241.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from flowmask.families.boxes.constants import MASK
from train.families.boxes.fcos import STRIDES
from train.families.boxes.onnx_ops import roi_align

LEVELS = STRIDES[:3]
"""Strides of the levels that masks are predicted from: P3, P4 and P5."""
IMAGE_AREA = 224.0**2
"""Area in px of the image in the published rule for the level of a box. Here it is constant, so that the level does not
depend on the size of the tile."""


def level_of(boxes: Tensor) -> Tensor:
    """Return the level (R,) of each box (R, 4), 0 for P3 to 2 for P5: ceil(5 - log2(image area / box area)) - 3.

    >>> level_of(torch.tensor([[0.0, 0, 30, 30], [0, 0, 120, 120], [0, 0, 224, 224]])).tolist()
    [0.0, 1.0, 2.0]
    """
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=1)
    return (5 + torch.log2(area / IMAGE_AREA)).ceil().clamp(3, 5) - 3


def pool(levels: list[Tensor], images: Tensor, boxes: Tensor) -> Tensor:
    """Return the features (R, C, 14, 14) in boxes (R, 4) px of the images (R,), each from the level of its size."""
    level = level_of(boxes)[:, None, None, None]
    chosen: Tensor | None = None
    for number, (features, stride) in enumerate(zip(levels, LEVELS, strict=False)):
        aligned = roi_align(features, images, boxes, MASK // 2, 1 / stride)
        chosen = aligned if chosen is None else torch.where(level == number, aligned, chosen)
    assert chosen is not None
    return chosen


def convolutions(inputs: int, width: int, count: int, last_stride: int = 1) -> nn.Sequential:
    """Return 3x3 convolutions with ReLU; the last one has the stride ``last_stride``.

    >>> convolutions(4, 8, 2, last_stride=2)(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """
    layers: list[nn.Module] = []
    for number in range(count):
        stride = last_stride if number == count - 1 else 1
        layers += [nn.Conv2d(width if number else inputs, width, 3, stride, 1), nn.ReLU()]
    return nn.Sequential(*layers)


class SpatialAttention(nn.Module):
    """(R, C, Y, X) times a factor from 0 to 1 for each pixel, from the mean and the maximum over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        factor: Tensor = self.mix(both).sigmoid()
        return x * factor


class MaskHead(nn.Module):
    """(R, inputs, 14, 14) -> logits of the mask (R, 1, 28, 28).

    >>> tuple(MaskHead(8, 4, 2)(torch.zeros(5, 8, 14, 14)).shape)
    (5, 1, 28, 28)
    """

    def __init__(self, inputs: int, width: int, count: int) -> None:
        super().__init__()
        self.before, self.attention = convolutions(inputs, width, count), SpatialAttention()
        self.up, self.output = nn.ConvTranspose2d(width, width, 2, stride=2), nn.Conv2d(width, 1, 1)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(functional.relu(self.up(self.attention(self.before(x)))))
        return out


class MaskIoUHead(nn.Module):
    """Features (R, inputs, 14, 14) and mask (R, 1, 28, 28) from 0 to 1 -> expected IoU (R,).

    The fully connected layers are convolutions, so that a box gets the same result, bit for bit, whatever the number
    of boxes.

    >>> tuple(MaskIoUHead(8, 4, 2)(torch.zeros(5, 8, 14, 14), torch.zeros(5, 1, 28, 28)).shape)
    (5,)
    """

    def __init__(self, inputs: int, width: int, count: int) -> None:
        super().__init__()
        self.before = convolutions(inputs + 1, width, count, last_stride=2)
        self.first, self.second = nn.Conv2d(width, 4 * width, MASK // 4), nn.Conv2d(4 * width, 4 * width, 1)
        self.output = nn.Conv2d(4 * width, 1, 1)
        _initialise(self)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        x = self.before(torch.cat([features, functional.max_pool2d(mask, 2)], dim=1))
        x = functional.relu(self.second(functional.relu(self.first(x))))
        out: Tensor = self.output(x).flatten()
        return out


def _initialise(head: nn.Module) -> None:
    """Set the weights as in detectron2: He's initialisation; small ones in the last layer."""
    for name, module in head.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if name == "output":
                nn.init.normal_(module.weight, std=0.001)
            else:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
