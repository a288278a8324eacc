"""Agreement between two label images: the F1 score of the NeurIPS 2022 cell segmentation challenge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]
BORDER = 2
LARGE = 25_000_000
PATCH = 2000


def sequential(labels: Labels) -> npt.NDArray[np.int32]:
    """Return the labels (Y, X) renumbered 1..n in the order of their ids; 0 stays 0."""
    ids, inverse = np.unique(labels, return_inverse=True)
    return (inverse + (0 if ids.size and ids[0] == 0 else 1)).reshape(labels.shape).astype(np.int32)


def drop_border(labels: Labels, width: int = BORDER) -> Labels:
    """Return a copy without the labels that have a pixel in the outer frame of ``width`` pixels."""
    frame = np.ones(labels.shape, bool)
    frame[width : labels.shape[0] - width, width : labels.shape[1] - width] = False
    return np.where(np.isin(labels, np.unique(labels[frame])), 0, labels)


def iou_matrix(truth: Labels, prediction: Labels) -> npt.NDArray[np.float64]:
    """Return the (n, m) intersection over union of the n true and m predicted labels, in the order of ids."""
    truth, prediction = sequential(truth), sequential(prediction)
    n, m = int(truth.max(initial=0)), int(prediction.max(initial=0))
    pairs = np.bincount(truth.ravel().astype(np.int64) * (m + 1) + prediction.ravel(), minlength=(n + 1) * (m + 1))
    overlap = pairs.reshape(n + 1, m + 1)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou: npt.NDArray[np.float64] = overlap[1:, 1:] / np.maximum(union[1:, 1:], 1)
    return iou


def matches(truth: Labels, prediction: Labels, threshold: float = 0.5) -> tuple[int, int, int]:
    """Return (true positives, number of true labels, number of predicted labels) of two (Y, X) label images.

    Hungarian matching on the cost of the challenge's script: -(IoU >= threshold) - IoU / (2 min(n, m)).
    """
    from scipy.optimize import linear_sum_assignment

    iou = iou_matrix(truth, prediction)
    n, m = iou.shape
    if min(n, m) == 0:
        return 0, n, m
    hit = iou >= threshold
    rows, columns = linear_sum_assignment(-hit.astype(float) - iou / (2 * min(n, m)))
    return int(hit[rows, columns].sum()), n, m


def f1(truth: Labels, prediction: Labels, threshold: float = 0.5) -> float:
    """Return 2 TP / (n + m) of two label images, every label counted; 1.0 where both are empty."""
    hits, n, m = matches(truth, prediction, threshold)
    return 2 * hits / (n + m) if n + m else 1.0


def f1_challenge(truth: Labels, prediction: Labels, threshold: float = 0.5) -> float:
    """Return the F1 of the challenge's published script (baseline/compute_metric.py) for one image.

    Labels that touch the outer 2-pixel frame do not count. An image of 25 Mpx and more is padded with zeros to
    multiples of 2,000 and scored by patches of that size, each with its own frame. 0 where nothing matches.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"the label images differ in shape: {truth.shape} and {prediction.shape}")
    patch = truth.shape if truth.size < LARGE else (PATCH, PATCH)
    height, width = (-(-length // step) * step for length, step in zip(truth.shape, patch, strict=True))
    hits = n = m = 0
    for top in range(0, height, patch[0]):
        for left in range(0, width, patch[1]):
            window = np.s_[top : top + patch[0], left : left + patch[1]]
            true, predicted = (drop_border(_padded(image[window], patch)) for image in (truth, prediction))
            counts = matches(true, predicted, threshold)
            hits, n, m = hits + counts[0], n + counts[1], m + counts[2]
    if hits == 0:
        return 0.0
    precision, recall = hits / m, hits / n
    return 2 * precision * recall / (precision + recall)


def _padded(window: Labels, shape: tuple[int, ...]) -> Labels:
    missing = [(0, size - have) for size, have in zip(shape, window.shape, strict=True)]
    return np.pad(window, missing)
