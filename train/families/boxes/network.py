"""CenterMask2 (Lee and Park 2020, arXiv:1911.06667): VoVNet2, feature pyramid, FCOS, SAG-Mask and mask IoU."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from flowmask.families.boxes.constants import CHANNELS, LEAST_SCORE, NMS_IOU, PIXELS, SQUARE
from train.families.base import FamilyNetwork
from train.families.boxes.fcos import Dense, Detector, Pyramid, boxes_of, scores_of
from train.families.boxes.mask import MaskHead, MaskIoUHead, pool
from train.families.boxes.onnx_ops import suppress
from train.families.boxes.vovnet import SIZES, VoVNet

WIDTHS = (256, 256)
"""Features of the pyramid with the detection head, and of the masks, as published."""
NUMBERS = CHANNELS * SQUARE**2
"""Numbers of a square."""


class Masks(NamedTuple):
    """What the network predicts in R boxes."""

    logits: Tensor
    """(R, 28, 28)."""
    ious: Tensor
    """(R,): the IoU that the mask is expected to have."""


class CenterMask(FamilyNetwork):
    """(B, 3, Y, X) float32, Y and X multiples of 32 -> in evaluation mode the records of the cells (B, 13, Y, X).

    `flowmask.families.boxes.constants` gives the layout of the records. In training, use `dense` and `masks`.
    widths: features of the pyramid with the detection head (see `Detector`), and of the masks.

    >>> (maps,) = SlimCenterMask(3, (32, 8)).eval()(torch.zeros(2, 3, 64, 96))
    >>> tuple(maps.shape), maps.count_nonzero().item()  # a new network finds no cells
    ((2, 13, 64, 96), 0)
    """

    family, architecture, size = "boxes", "vovnet99", "99"
    multiple = 32
    convolutions = 4
    """3x3 convolutions of each head."""

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.channels, self.widths = channels, tuple(widths)
        width, mask_width = widths
        size = SIZES[self.size]
        self.encoder = VoVNet(size, channels)
        self.pyramid = Pyramid(size.outputs[1:], width)
        self.detector = Detector(width, self.convolutions)
        self.mask = MaskHead(width, mask_width, self.convolutions)
        self.iou = MaskIoUHead(width, mask_width, self.convolutions)

    def levels(self, image: Tensor) -> list[Tensor]:
        """Return the five levels of the pyramid for images (B, C, Y, X)."""
        levels: list[Tensor] = self.pyramid(self.encoder(2 * image - 1))
        return levels

    def dense(self, levels: list[Tensor]) -> Dense:
        """Return the predictions at all locations of the levels."""
        dense: Dense = self.detector(levels)
        return dense

    def masks(self, levels: list[Tensor], images: Tensor, boxes: Tensor) -> Masks:
        """Return the masks in boxes (R, 4) px of the images (R,) int64 of the batch."""
        features = pool(levels, images, boxes)
        logits = self.mask(features)
        # In training, the mask is a given input of the IoU head: its gradient does not reach the mask.
        return Masks(logits[:, 0], self.iou(features, logits.detach().sigmoid()))

    def forward(self, image: Tensor) -> tuple[Tensor]:
        levels = self.levels(image)
        dense = self.dense(levels)
        boxes, scores = boxes_of(dense), candidate_scores(dense, image)
        chosen = suppress(boxes, scores, NMS_IOU)
        images, places = chosen.unbind(1)
        boxes, scores = boxes[images, places], scores[images, places]
        # One more box, the first, so that the operators of a file never run on nothing.
        images, boxes = functional.pad(images, (1, 0)), functional.pad(boxes, (0, 0, 1, 0), value=8.0)
        masks = self.masks(levels, images, boxes)
        images, boxes, masks = images[1:], boxes[1:], Masks(*(values[1:] for values in masks))
        return (records(levels[0], images, boxes, scores, masks),)


class SlimCenterMask(CenterMask):
    """The light version: VoVNet2 19-slim-depthwise, and two convolutions in each head."""

    architecture, size, convolutions = "vovnet19-slim-dw", "19-slim-dw", 2


class MediumCenterMask(CenterMask):
    """The version with VoVNet2 39."""

    architecture, size = "vovnet39", "39"


def candidate_scores(dense: Dense, image: Tensor) -> Tensor:
    """Return the scores (B, N); -1 where the probability is too low, or the centre of the box outside the image.

    >>> logits, centreness, distances = torch.tensor([[9.0, -9.0]]), torch.full((1, 2), 9.0), torch.full((1, 2, 4), 3.0)
    >>> dense = Dense(logits, distances, centreness, torch.zeros(2, 2))
    >>> candidate_scores(dense, torch.zeros(1, 3, 8, 8)).round()  # the second probability is too low
    tensor([[ 1., -1.]])
    """
    left, top, right, bottom = dense.distances.unbind(2)
    y, x = dense.locations[:, 0] + (bottom - top) / 2, dense.locations[:, 1] + (right - left) / 2
    inside = (y >= 0) & (x >= 0) & (y < image.shape[2]) & (x < image.shape[3])
    # A box without an area has no mask.
    valid = inside & (dense.logits.sigmoid() > LEAST_SCORE) & (left + right > 1) & (top + bottom > 1)
    return torch.where(valid, scores_of(dense), -torch.ones_like(dense.logits))


def records(finest: Tensor, images: Tensor, boxes: Tensor, scores: Tensor, masks: Masks) -> Tensor:
    """Return the maps (B, 13, Y, X) with the record of each detection in the square of its centre.

    finest: level P3 (B, C, Y / 8, X / 8); images (R,), boxes (R, 4), scores (R,), masks: the detections, those of one
    image by falling score. If a square has several, the first one stays.
    """
    batch, height, width = finest.shape[0], finest.shape[2], finest.shape[3]
    squares = ((boxes[:, :2] + boxes[:, 2:]) / (2 * SQUARE)).floor().long()
    origin = (SQUARE * squares).float().repeat(1, 2)
    index = (images * height + squares[:, 0]) * width + squares[:, 1]
    cell_scores = scores * masks.ious.clamp(0, 1)
    numbers = torch.cat(
        [scores[:, None], cell_scores[:, None], boxes - origin, masks.logits.sigmoid().flatten(1)], dim=1
    )
    numbers = functional.pad(numbers, (0, NUMBERS - PIXELS.stop))
    rank = torch.ones_like(index).cumsum(0)
    taken = ((index[:, None] == index) & (rank[:, None] > rank)).any(dim=1)
    free = (~taken).nonzero()[:, 0]
    squares_of = torch.zeros(batch * height * width, NUMBERS, device=finest.device)
    filled = squares_of.scatter(0, index[free][:, None].expand(-1, NUMBERS), numbers[free])
    maps = filled.reshape(batch, height, width, NUMBERS).permute(0, 3, 1, 2)
    return functional.pixel_shuffle(maps, SQUARE)


__all__ = ["WIDTHS", "CenterMask", "Masks", "MediumCenterMask", "SlimCenterMask"]
