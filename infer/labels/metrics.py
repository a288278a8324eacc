"""Agreement between two label images, each score as those define it who publish it.

`f1_challenge`: the NeurIPS 2022 cell segmentation challenge. `average_precision` and `false_negative_ratio`: LIVECell
(Edlund et al. 2021, doi:10.1038/s41592-021-01249-6), by COCO's evaluation. `dice`: of the foreground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .challenge import LARGE, PATCH

Labels = npt.NDArray[np.integer]
BORDER = 2
IOUS = np.linspace(0.5, 0.95, 10)
"""LIVECell's thresholds on the intersection over union."""
RECALLS = np.linspace(0, 1, 101)
"""COCO's recalls at which the precision is read."""
MOST = 2000
"""Predicted cells of an image, the most confident ones, that LIVECell's evaluation looks at."""


def sequential(labels: Labels) -> npt.NDArray[np.int32]:
    """Return the labels (Y, X) renumbered 1..n in the order of their ids; 0 stays 0. ValueError for an id below it."""
    ids, inverse = np.unique(labels, return_inverse=True)
    if ids.size and ids[0] < 0:
        raise ValueError(f"a label image has no id below 0, this one has {ids[0]}")
    return (inverse + (0 if ids.size and ids[0] == 0 else 1)).reshape(labels.shape).astype(np.int32)


def drop_border(labels: Labels, width: int = BORDER) -> Labels:
    """Return a copy without the labels that have a pixel in the outer frame of ``width`` pixels."""
    frame = np.ones(labels.shape, bool)
    frame[width : labels.shape[0] - width, width : labels.shape[1] - width] = False
    return np.where(np.isin(labels, np.unique(labels[frame])), 0, labels)


def iou_matrix(truth: Labels, prediction: Labels) -> npt.NDArray[np.float64]:
    """Return the (n, m) intersection over union of the n true and m predicted labels, in the order of ids."""
    _alike(truth, prediction)
    truth, prediction = sequential(truth), sequential(prediction)
    n, m = int(truth.max(initial=0)), int(prediction.max(initial=0))
    pairs = np.bincount(truth.ravel().astype(np.int64) * (m + 1) + prediction.ravel(), minlength=(n + 1) * (m + 1))
    overlap = pairs.reshape(n + 1, m + 1)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou: npt.NDArray[np.float64] = overlap[1:, 1:] / np.maximum(union[1:, 1:], 1)
    return iou


def matches(truth: Labels, prediction: Labels, threshold: float = 0.5) -> tuple[int, int, int]:
    """Return (true positives, number of true labels, number of predicted labels) of two (Y, X) label images.

    The true positives are as many as the challenge's script finds by Hungarian matching on the cost
    -(IoU >= threshold) - IoU / (2 min(n, m)): the second term is below 1/2 in all, so a matching of the lowest cost has
    the most hits that any matching has. This function counts those hits.

    >>> matches(np.array([[1, 1, 2]]), np.array([[7, 7, 0]]))
    (1, 2, 1)
    """
    iou = iou_matrix(truth, prediction)
    n, m = iou.shape
    return _most_pairs([np.flatnonzero(row).tolist() for row in iou >= threshold]), n, m


def _most_pairs(partners: Sequence[Sequence[int]]) -> int:
    """Return the most pairs (row, column) with each row and each column in one pair at most, by augmenting paths.

    partners: for each row the columns that it may be paired with.

    >>> _most_pairs([[0], [0, 1]])
    2
    """
    row_of: dict[int, int] = {}
    for start in range(len(partners)):
        seen: set[int] = set()
        path = [(start, iter(partners[start]))]
        chosen: list[int] = []
        while path:
            column = next((column for column in path[-1][1] if column not in seen), None)
            if column is None:
                path.pop()
                chosen = chosen[: len(path) - 1] if path else []
                continue
            seen.add(column)
            chosen.append(column)
            if column not in row_of:
                for (row, _), own in zip(path, chosen, strict=True):
                    row_of[own] = row
                break
            path.append((row_of[column], iter(partners[row_of[column]])))
    return len(row_of)


def f1(truth: Labels, prediction: Labels, threshold: float = 0.5) -> float:
    """Return 2 TP / (n + m) of two label images, every label counted; 1.0 where both are empty."""
    hits, n, m = matches(truth, prediction, threshold)
    return 2 * hits / (n + m) if n + m else 1.0


def f1_challenge(truth: Labels, prediction: Labels, threshold: float = 0.5) -> float:
    """Return the F1 of the challenge's published script (baseline/compute_metric.py) for one image.

    Labels that touch the outer 2-pixel frame do not count. An image of 25 Mpx and more is padded with zeros to
    multiples of 2,000 and scored by patches of that size, each with its own frame. 0 where nothing matches.
    """
    return f1_of_counts(*challenge_counts(truth, prediction, threshold))


def challenge_counts(truth: Labels, prediction: Labels, threshold: float = 0.5) -> tuple[int, int, int]:
    """Return (true positives, true cells, predicted cells) of an image by the rules of `f1_challenge`."""
    _alike(truth, prediction)
    patch = truth.shape if truth.size < LARGE else (PATCH, PATCH)
    height, width = (-(-length // step) * step for length, step in zip(truth.shape, patch, strict=True))
    hits = n = m = 0
    for top in range(0, height, patch[0]):
        for left in range(0, width, patch[1]):
            window = np.s_[top : top + patch[0], left : left + patch[1]]
            true, predicted = (drop_border(_padded(image[window], patch)) for image in (truth, prediction))
            counts = matches(true, predicted, threshold)
            hits, n, m = hits + counts[0], n + counts[1], m + counts[2]
    return hits, n, m


def f1_of_counts(hits: int, n: int, m: int) -> float:
    """Return the F1 of so many true positives, true cells and predicted cells; 0 without true positives.

    >>> f1_of_counts(1, 2, 1)
    0.6666666666666666
    """
    if hits == 0:
        return 0.0
    precision, recall = hits / m, hits / n
    return 2 * precision * recall / (precision + recall)


def _alike(truth: Labels, prediction: Labels) -> None:
    if truth.shape != prediction.shape:
        raise ValueError(f"the label images differ in shape: {truth.shape} and {prediction.shape}")


def _padded(window: Labels, shape: tuple[int, ...]) -> Labels:
    missing = [(0, size - have) for size, have in zip(shape, window.shape, strict=True)]
    return np.pad(window, missing)


@dataclass(frozen=True)
class Ranked:
    """The predicted cells of one image, the most confident first, matched as COCO's evaluation does."""

    confidence: npt.NDArray[np.float64]
    """(m,), falling."""
    hits: npt.NDArray[np.bool_]
    """(10, m): whether each is matched at each of `IOUS`."""
    cells: int
    """Number of true cells."""


def ranked(truth: Labels, prediction: Labels, confidence: npt.ArrayLike) -> Ranked:
    """Match the predicted cells of one image, the most confident first, each with the free true cell of highest IoU.

    truth, prediction: (Y, X); confidence: one value for each predicted label, in the order of ids. COCO takes what the
    detector says of each box. A label image says nothing: name what stands in for it beside the score, for the
    precision depends on it (in `bench/quality.py` it is the mean cell probability over the cell's pixels). Cells of
    equal confidence keep the order of their ids. All cells count, those at the border too; of more than `MOST` the
    least confident are left out.
    """
    iou = iou_matrix(truth, prediction)
    confidence = np.asarray(confidence, np.float64)
    if confidence.shape != iou.shape[1:]:
        raise ValueError(f"{iou.shape[1]} predicted cells have confidences of shape {confidence.shape}")
    order = np.argsort(-confidence, kind="stable")[:MOST]
    hits = np.zeros((len(IOUS), len(order)), np.bool_)
    for level, threshold in enumerate(IOUS):
        free = iou.copy()
        for place, cell in enumerate(order if len(iou) else ()):
            best = int(np.argmax(free[:, cell]))
            if free[best, cell] >= threshold:
                hits[level, place] = True
                free[best] = 0
    return Ranked(confidence[order], hits, len(iou))


def average_precision(images: Sequence[Ranked]) -> float:
    """Return LIVECell's AP of images taken together: the mean over `IOUS` of the area under precision by recall.

    The cells of all images are ordered by confidence; the precision at a recall is the highest at that recall or
    beyond, 0 where it is not reached, and the area is the mean over `RECALLS`. NaN where there is no true cell.
    """
    cells = sum(image.cells for image in images)
    if cells == 0:
        return float("nan")
    order = np.argsort(-np.concatenate([image.confidence for image in images]), kind="stable")
    found = np.cumsum(np.concatenate([image.hits for image in images], axis=1)[:, order], axis=1)
    precision = np.maximum.accumulate((found / np.arange(1, len(order) + 1))[:, ::-1], axis=1)[:, ::-1]
    reached = [np.searchsorted(recall, RECALLS) for recall in found / cells]
    return float(np.mean([np.append(p, 0)[at] for p, at in zip(precision, reached, strict=True)]))


def false_negative_ratio(images: Sequence[Ranked]) -> float:
    """Return LIVECell's AFNR of images taken together: the share of true cells missed, mean over `IOUS`.

    NaN where there is no true cell.
    """
    cells = sum(image.cells for image in images)
    return 1 - sum(float(image.hits.sum()) for image in images) / (len(IOUS) * cells) if cells else float("nan")


def dice(truth: Labels, prediction: Labels) -> float:
    """Return 2 |A and B| / (|A| + |B|) of the foregrounds of two (Y, X) label images; 1.0 where both are empty.

    It is the semantic F1 too: the harmonic mean of the pixels' precision and recall.
    """
    _alike(truth, prediction)
    true, predicted = truth > 0, prediction > 0
    total = np.count_nonzero(true) + np.count_nonzero(predicted)
    return 2 * np.count_nonzero(true & predicted) / total if total else 1.0
