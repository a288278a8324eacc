"""RoIAlign and non-maximum suppression: written in PyTorch for training, the operators of ONNX in an exported file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SAMPLES = 2
"""Samples along each axis of a bin of RoIAlign."""


def iou_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU (n, m) of boxes (n, 4) and (m, 4): top, left, bottom, right.

    >>> iou_matrix(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[0.0, 1, 2, 3], [0, 0, 2, 2]])).tolist()
    [[0.3333333432674408, 1.0]]
    """
    first, last = torch.maximum(a[:, None, :2], b[:, :2]), torch.minimum(a[:, None, 2:], b[:, 2:])
    common = (last - first).clamp(min=0).prod(dim=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (a, b)]
    return common / (areas[0][:, None] + areas[1] - common).clamp(min=1e-9)


def suppress(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Return (M, 2) int64, batch and box, of the boxes that stay: those of each image by falling score.

    boxes: (B, N, 4); scores: (B, N); boxes with a score of 0 or less are left out. A box is dropped if its IoU with a
    box of higher score that stays is above ``iou``.

    >>> boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 5], [5, 5, 9, 9], [0, 0, 1, 1]]])
    >>> suppress(boxes, torch.tensor([[0.5, 0.6, 0.7, 0.0]]), 0.6).tolist()
    [[0, 2], [0, 1]]
    """
    if torch.onnx.is_in_onnx_export():
        chosen: Tensor = _Suppression.apply(boxes, scores, iou)  # type: ignore[no-untyped-call]
    else:
        chosen = _suppress(boxes, scores, iou)
    return chosen


def _suppress(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    found = []
    for image in range(len(boxes)):
        order = scores[image].argsort(descending=True, stable=True)
        order = order[scores[image][order] > 0]
        close = iou_matrix(boxes[image][order], boxes[image][order]) > iou
        dropped = torch.zeros(len(order), dtype=torch.bool)
        for place in range(len(order)):
            if not dropped[place]:
                dropped[place + 1 :] |= close[place, place + 1 :].cpu()
        selected = order[~dropped.to(order.device)]
        found.append(torch.stack([torch.full_like(selected, image), selected], dim=1))
    return torch.cat(found)


class _Suppression(torch.autograd.Function):
    """The operator NonMaxSuppression of ONNX."""

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
        return _suppress(boxes, scores, iou)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, iou: float) -> Any:
        one = g.op("Constant", value_t=torch.tensor([1]))
        most = g.op("Constant", value_t=torch.tensor([2**31 - 1]))
        thresholds = [g.op("Constant", value_t=torch.tensor([value])) for value in (iou, 0.0)]
        chosen = g.op("NonMaxSuppression", boxes, g.op("Unsqueeze", scores, one), most, *thresholds)  # (M, 3)
        return g.op("Gather", chosen, g.op("Constant", value_t=torch.tensor([0, 2])), axis_i=1)


def roi_align(features: Tensor, images: Tensor, boxes: Tensor, size: int, scale: float) -> Tensor:
    """Return the features (R, C, size, size) in boxes (R, 4) of the images (R,) int64 of a batch (B, C, Y, X).

    scale: pixels of the features per pixel of the boxes. Method: He et al. 2017, Mask R-CNN, arXiv:1703.06870, with two
    samples along each axis of a bin, and positions that count from the middle of the first pixel ("aligned").

    >>> features = torch.arange(4.0).reshape(1, 1, 1, 4)
    >>> roi_align(features, torch.tensor([0]), torch.tensor([[0.0, 0, 2, 8]]), 2, 0.5)[0, 0, 0].tolist()
    [0.5, 2.5]
    """
    if torch.onnx.is_in_onnx_export():
        aligned: Tensor = _Align.apply(features, images, boxes, size, scale)  # type: ignore[no-untyped-call]
    else:
        aligned = _roi_align(features, images, boxes, size, scale)
    return aligned


def _roi_align(features: Tensor, images: Tensor, boxes: Tensor, size: int, scale: float) -> Tensor:
    down = _interpolation(boxes[:, 0] * scale - 0.5, boxes[:, 2] * scale - 0.5, size, features.shape[2])
    across = _interpolation(boxes[:, 1] * scale - 0.5, boxes[:, 3] * scale - 0.5, size, features.shape[3])
    return torch.einsum("rsy,rcyx,rtx->rcst", down, features[images], across)


def _interpolation(first: Tensor, last: Tensor, size: int, length: int) -> Tensor:
    """Return the weights (R, size, length) with which the pixels of an axis count in each bin of each box."""
    steps = (torch.arange(size * SAMPLES, device=first.device) + 0.5) / (size * SAMPLES)
    at = first[:, None] + steps * (last - first)[:, None]
    inside = (at >= -1) & (at <= length)
    at = at.clamp(0, length - 1)
    pixels = torch.arange(length, device=first.device)
    weights = (1 - (at[:, :, None] - pixels).abs()).clamp(min=0) * inside[:, :, None]
    return weights.reshape(len(first), size, SAMPLES, length).mean(dim=2)


class _Align(torch.autograd.Function):
    """The operator RoiAlign of ONNX."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, images: Tensor, boxes: Tensor, size: int, scale: float) -> Tensor:
        return _roi_align(features, images, boxes, size, scale)

    @staticmethod
    def symbolic(g: Any, features: Any, images: Any, boxes: Any, size: int, scale: float) -> Any:
        swapped = g.op("Gather", boxes, g.op("Constant", value_t=torch.tensor([1, 0, 3, 2])), axis_i=1)
        return g.op(
            "RoiAlign", features, swapped, images, coordinate_transformation_mode_s="half_pixel", mode_s="avg",
            output_height_i=size, output_width_i=size, sampling_ratio_i=SAMPLES, spatial_scale_f=scale,
        )  # fmt: skip
