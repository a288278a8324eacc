"""The forward pass of the training and the loss: that of FCOS, of the masks, and of their expected IoU."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from train.families.base import FamilyNetwork
from train.families.boxes.fcos import Dense, boxes_of, scores_of
from train.families.boxes.network import CenterMask, Masks
from train.families.boxes.onnx_ops import iou_matrix
from train.families.boxes.targets import Assigned, Cells, assign, cells_of, level_ranges, masks_in

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss (Lin et al. 2017, arXiv:1708.02002)."""
PROPOSALS = 64
"""The predicted boxes of highest score in a crop, of which those that fit a cell get a mask."""
FITS = 0.5
"""Least IoU of a predicted box and the box of its cell."""
MOST = 48
"""Most boxes of a crop that get a mask."""


class Guided(NamedTuple):
    """What the network predicts in training: everywhere, and in boxes that fit true cells."""

    dense: Dense
    masks: Masks
    images: Tensor
    """(R,) int64: the crop of each box."""
    boxes: Tensor
    """(R, 4) px."""
    cells: Tensor
    """(R,) int64: the number of the cell of each box, in the order of `cells_of` for its crop."""


def guided_forward(network: FamilyNetwork, crops: Tensor, target: Tensor) -> Guided:
    """Return the predictions for crops (B, C, Y, X), with masks in the boxes of their cells.

    target: the labels (B, 1, Y, X). As in Mask R-CNN, masks are predicted in predicted boxes that fit a true one, and
    in the true boxes themselves.
    """
    assert isinstance(network, CenterMask)
    levels = network.levels(crops)
    dense = Dense(*(values.float() for values in network.dense(levels)))
    boxes, scores = boxes_of(dense).detach(), scores_of(dense).detach()
    chosen = [matched(boxes[n], scores[n], cells_of(labels[0])) for n, labels in enumerate(target)]
    images = torch.cat([torch.full_like(cells, n) for n, (_, cells) in enumerate(chosen)])
    rois, cells = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    masks = Masks(*(values.float() for values in network.masks(levels, images, rois)))
    return Guided(dense, masks, images, rois, cells)


def matched(boxes: Tensor, scores: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
    """Return boxes (R, 4) that fit cells, and the number (R,) of the cell of each: predicted ones, then the true ones.

    >>> cells = cells_of(torch.ones(4, 4))
    >>> matched(torch.tensor([[0.0, 0, 4, 3], [0, 0, 1, 1]]), torch.tensor([0.5, 0.9]), cells)
    (tensor([[0., 0., 4., 3.],
            [0., 0., 4., 4.]]), tensor([0, 0]))
    """
    count = len(cells.ids)
    if count == 0:
        return boxes[:0], torch.zeros(0, dtype=torch.int64, device=boxes.device)
    best = boxes[scores.argsort(descending=True)[:PROPOSALS]]
    iou, cell = iou_matrix(best, cells.boxes).max(dim=1)
    fitting = iou >= FITS
    found = torch.cat([best[fitting], cells.boxes])
    numbers = torch.cat([cell[fitting], torch.arange(count, device=boxes.device)])
    spread = torch.linspace(0, len(found) - 1, min(MOST, len(found)), device=boxes.device).round().long()
    return found[spread], numbers[spread]


def boxes_loss(outputs: Guided, target: Tensor) -> Tensor:
    """Return the sum of the five losses, each with the weight 1 as published.

    target: the labels (B, 1, Y, X) float32.
    """
    cells = [cells_of(labels[0]) for labels in target]
    dense = outputs.dense
    ranges = level_ranges(len(dense.locations), target.shape[2], target.shape[3])
    parts = [assign(each.boxes, dense.locations, ranges) for each in cells]
    assigned = Assigned(*(torch.stack(values) for values in zip(*parts, strict=True)))
    return detection_loss(dense, assigned) + mask_loss(outputs, target[:, 0], cells)


def detection_loss(dense: Dense, assigned: Assigned) -> Tensor:
    """Return the loss of FCOS: focal loss, generalised IoU weighted by centre-ness, and centre-ness.

    assigned: the targets, with a first axis for the crops. Generalised IoU: Rezatofighi et al. 2019, arXiv:1902.09630.
    """
    positive = assigned.positive
    count = positive.sum().clamp(min=1)
    classes = focal_loss(dense.logits, positive.float()).sum() / count
    weights = assigned.centreness[positive]
    overlap = generalised_iou(dense.distances[positive], assigned.distances[positive])
    boxes = ((1 - overlap) * weights).sum() / weights.sum().clamp(min=1e-6)
    centres = functional.binary_cross_entropy_with_logits(dense.centreness[positive], weights, reduction="sum") / count
    return classes + boxes + centres


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the focal loss of each logit; target: 0 or 1.

    >>> round(focal_loss(torch.zeros(1), torch.ones(1)).item(), 4)  # 0.25 (1 - 0.5)^2 log 2
    0.0433
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = logits.sigmoid()
    miss = probability + target - 2 * probability * target
    return (ALPHA * target + (1 - ALPHA) * (1 - target)) * miss**GAMMA * entropy


def generalised_iou(found: Tensor, true: Tensor) -> Tensor:
    """Return the generalised IoU (n,) of two boxes that contain the same point, as distances (n, 4) from it.

    >>> generalised_iou(torch.tensor([[1.0, 1, 1, 1]]), torch.tensor([[1.0, 1, 1, 0]])).tolist()
    [0.5]
    """
    common, around = torch.minimum(found, true), torch.maximum(found, true)
    area_found, area_true, inner, hull = (
        (sides[:, 0] + sides[:, 2]) * (sides[:, 1] + sides[:, 3]) for sides in (found, true, common, around)
    )
    union = area_found + area_true - inner
    return inner / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def mask_loss(outputs: Guided, labels: Tensor, cells: list[Cells]) -> Tensor:
    """Return the cross entropy of the masks plus half the squared error of their expected IoU.

    labels: (B, Y, X). The true IoU is that of the mask, at a threshold of 0.5, with the whole cell.
    """
    masks = outputs.masks
    if len(outputs.boxes) == 0:
        return 0 * (masks.logits.sum() + masks.ious.sum())
    counts = torch.tensor([0] + [len(each.ids) for each in cells[:-1]], device=labels.device).cumsum(0)
    index = counts[outputs.images] + outputs.cells
    ids, areas = (torch.cat([getattr(each, name) for each in cells])[index] for name in ("ids", "areas"))
    true = masks_in(labels[outputs.images], outputs.boxes, ids)
    entropy = functional.binary_cross_entropy_with_logits(masks.logits, true)
    error = masks.ious - mask_iou(masks.logits.detach() > 0, true, outputs.boxes, areas)
    return entropy + 0.5 * error.square().mean()


def mask_iou(found: Tensor, true: Tensor, boxes: Tensor, areas: Tensor) -> Tensor:
    """Return the IoU (R,) of masks in boxes (R, 4) with whole cells of these areas (R,) px.

    found, true: (R, 28, 28), the mask and the part of the cell in the box.

    >>> half = torch.zeros(1, 28, 28)
    >>> half[:, :14] = 1
    >>> mask_iou(half > 0, torch.ones(1, 28, 28), torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([16.0])).tolist()
    [0.5]
    """
    bins = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / found[0].numel()
    common = (found & (true > 0)).sum(dim=(1, 2)) * bins
    return (common / (found.sum(dim=(1, 2)) * bins + areas - common).clamp(min=1e-6)).clamp(max=1)
