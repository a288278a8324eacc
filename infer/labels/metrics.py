"""Scores of a predicted label image against a true one; each score follows its published definition.

`f1_challenge` is the score of the NeurIPS 2022 cell segmentation challenge. `average_precision` and
`false_negative_ratio` are those of LIVECell (Edlund et al. 2021, doi:10.1038/s41592-021-01249-6), which uses COCO's
evaluation. `dice` and `pixel_iou` compare the foregrounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .reused_ids import LARGE, PATCH

Labels = npt.NDArray[np.integer]
BORDER = 2
"""Width in px of the border of an image; the challenge ignores labels that touch it."""
IOUS = np.linspace(0.5, 0.95, 10)
"""LIVECell's thresholds of the intersection over union (IoU)."""
RECALLS = np.linspace(0, 1, 101)
"""The recalls at which COCO's evaluation takes the precision."""
AREAS = {"all": (0, np.inf), "small": (0, 18**2), "medium": (18**2, 31**2), "large": (31**2, np.inf)}
"""LIVECell's ranges of the area of a cell in px, both ends included."""
MOST = 2000
"""Most predicted cells of one image that LIVECell's evaluation uses: those with the highest confidence."""


def sequential(labels: Labels) -> npt.NDArray[np.int32]:
    """Return the labels (Y, X) int32, renumbered 1..n in the order of their ids; 0 stays 0.

    Raises ValueError for a negative id.

    >>> sequential(np.array([[0, 9, 4]]))
    array([[0, 2, 1]], dtype=int32)
    """
    ids, inverse = np.unique(labels, return_inverse=True)
    if ids.size and ids[0] < 0:
        raise ValueError(f"the label image has a negative id ({ids[0]}); use 0 for background and ids from 1.")
    return (inverse + (0 if ids.size and ids[0] == 0 else 1)).reshape(labels.shape).astype(np.int32)


def drop_border(labels: Labels, width: int = BORDER) -> Labels:
    """Return a copy of the labels (Y, X) without the cells that touch the border of ``width`` px.

    >>> drop_border(np.array([[1, 0, 0], [0, 2, 0], [0, 0, 0]]), 1)
    array([[0, 0, 0],
           [0, 2, 0],
           [0, 0, 0]])
    """
    frame = np.ones(labels.shape, bool)
    frame[width : labels.shape[0] - width, width : labels.shape[1] - width] = False
    return np.where(np.isin(labels, np.unique(labels[frame])), 0, labels)


def iou_matrix(truth: Labels, prediction: Labels) -> npt.NDArray[np.float64]:
    """Return the (n, m) float64 intersection over union of the n true and m predicted cells, in the order of ids.

    truth, prediction: (Y, X). Raises ValueError if their shapes differ.

    >>> iou_matrix(np.array([[1, 1, 2]]), np.array([[7, 7, 7]]))
    array([[0.66666667],
           [0.33333333]])
    """
    _check_shapes(truth, prediction)
    truth, prediction = sequential(truth), sequential(prediction)
    n, m = int(truth.max(initial=0)), int(prediction.max(initial=0))
    pairs = np.bincount(truth.ravel().astype(np.int64) * (m + 1) + prediction.ravel(), minlength=(n + 1) * (m + 1))
    overlap = pairs.reshape(n + 1, m + 1)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou: npt.NDArray[np.float64] = overlap[1:, 1:] / np.maximum(union[1:, 1:], 1)
    return iou


def matches(truth: Labels, prediction: Labels, threshold: float = 0.5) -> tuple[int, int, int]:
    """Return (true positives, number of true cells, number of predicted cells) of two (Y, X) label images.

    The number of true positives equals that of the challenge's script. The script finds the matching with the lowest
    sum of -(IoU >= threshold) - IoU / (2 min(n, m)). The second terms of a matching add up to less than 1/2, so the
    best matching has the largest possible number of pairs with IoU >= threshold. This function counts those pairs.

    >>> matches(np.array([[1, 1, 2]]), np.array([[7, 7, 0]]))
    (1, 2, 1)
    """
    iou = iou_matrix(truth, prediction)
    n, m = iou.shape
    return _most_pairs([np.flatnonzero(row).tolist() for row in iou >= threshold]), n, m


def _most_pairs(partners: Sequence[Sequence[int]]) -> int:
    """Return the largest number of pairs (row, column) in which no row and no column occurs twice.

    partners: for each row, the columns it can be paired with. Method: augmenting paths in a bipartite graph.

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
                for (row, _), matched in zip(path, chosen, strict=True):
                    row_of[matched] = row
                break
            path.append((row_of[column], iter(partners[row_of[column]])))
    return len(row_of)


def f1(truth: Labels, prediction: Labels, threshold: float = 0.5) -> float:
    """Return 2 TP / (n + m) of two (Y, X) label images with n true and m predicted cells; 1.0 if both are empty.

    Cells at the border count.

    >>> f1(np.array([[1, 1, 2]]), np.array([[7, 7, 0]]))
    0.6666666666666666
    """
    hits, n, m = matches(truth, prediction, threshold)
    return 2 * hits / (n + m) if n + m else 1.0


def f1_challenge(truth: Labels, prediction: Labels, threshold: float = 0.5) -> float:
    """Return the F1 of two (Y, X) label images as the challenge's published script (compute_metric.py) computes it.

    Cells that touch the border of 2 px are ignored. An image of 25 Mpx or more is padded with zeros to multiples of
    2,000 px and scored in patches of 2,000 x 2,000 px; each patch has its own border. 0.0 if no cells match.

    >>> truth = np.zeros((9, 9), int)
    >>> truth[4, 2], truth[4, 6] = 1, 2
    >>> f1_challenge(truth, np.where(truth == 1, 1, 0))  # one of two cells: precision 1, recall 1/2
    0.6666666666666666
    """
    return f1_of_counts(*challenge_counts(truth, prediction, threshold))


def challenge_counts(truth: Labels, prediction: Labels, threshold: float = 0.5) -> tuple[int, int, int]:
    """Return (true positives, true cells, predicted cells) of one image by the rules of `f1_challenge`.

    >>> truth = np.zeros((9, 9), int)
    >>> truth[4, 4], truth[0, 0] = 1, 2
    >>> challenge_counts(truth, truth)  # cell 2 touches the border
    (1, 1, 1)
    """
    hits = n = m = 0
    for true, predicted in patches(truth, prediction):
        counts = matches(drop_border(true), drop_border(predicted), threshold)
        hits, n, m = hits + counts[0], n + counts[1], m + counts[2]
    return hits, n, m


def patches(truth: Labels, prediction: Labels) -> Iterator[tuple[Labels, Labels]]:
    """Yield the patches in which the challenge scores two (Y, X) label images: see `f1_challenge`.

    An image of less than 25 Mpx is one patch. Raises ValueError if the shapes differ.

    >>> [true.shape for true, _ in patches(np.zeros((5001, 5000), int), np.zeros((5001, 5000), int))][:2]
    [(2000, 2000), (2000, 2000)]
    """
    _check_shapes(truth, prediction)
    patch = truth.shape if truth.size < LARGE else (PATCH, PATCH)
    for top in range(0, truth.shape[0], patch[0]):
        for left in range(0, truth.shape[1], patch[1]):
            window = np.s_[top : top + patch[0], left : left + patch[1]]
            yield _padded(truth[window], patch), _padded(prediction[window], patch)


def f1_of_counts(hits: int, n: int, m: int) -> float:
    """Return the F1 for the number of true positives, of true cells (n) and of predicted cells (m).

    0.0 if there are no true positives.

    >>> f1_of_counts(1, 2, 1)
    0.6666666666666666
    """
    if hits == 0:
        return 0.0
    precision, recall = hits / m, hits / n
    return 2 * precision * recall / (precision + recall)


def _check_shapes(truth: Labels, prediction: Labels) -> None:
    if truth.shape != prediction.shape:
        raise ValueError(
            f"the label images differ in shape: {truth.shape} and {prediction.shape}; give labels of one image."
        )


def _padded(window: Labels, shape: tuple[int, ...]) -> Labels:
    """Return the window padded with zeros, below and on the right, to ``shape``."""
    padding = [(0, length - current) for length, current in zip(shape, window.shape, strict=True)]
    return np.pad(window, padding)


@dataclass(frozen=True)
class Ranked:
    """The predicted cells of one image in the order of falling confidence, matched by COCO's rules."""

    confidence: npt.NDArray[np.float64]
    """(m,), falling."""
    hits: npt.NDArray[np.bool_]
    """(10, m): whether each predicted cell matches a true cell at each threshold of `IOUS`."""
    counted: npt.NDArray[np.bool_]
    """(10, m): whether each predicted cell counts: all hits, and the others unless their area is out of range."""
    cells: int
    """Number of true cells with an area in range."""


def ranked(
    truth: Labels, prediction: Labels, confidence: npt.ArrayLike, area: tuple[float, float] = AREAS["all"]
) -> Ranked:
    """Match the predicted cells of one image with its true cells, as COCO's evaluation does.

    In the order of falling confidence, each predicted cell takes the true cell of highest IoU that is still free.

    truth, prediction: (Y, X); confidence: (m,), one value for each predicted cell, in the order of ids. In COCO the
    confidence is a detector's score. A label image has no such score, so publish with the result which value was used:
    the average precision depends on it (`bench.quality.scores` uses the mean cell probability of the cell's pixels).
    Cells with equal confidence stay in the order of their ids. Cells at the border count. Only the `MOST` most
    confident cells are used. area: only true cells with an area in this range count, in px, see `AREAS`; a predicted
    cell counts if it matches one of these, or if it matches none and its own area is in range. Raises ValueError if the
    number of confidences or a shape does not fit.

    >>> cells = ranked(np.array([[1, 1, 0, 2]]), np.array([[1, 0, 0, 2]]), [0.7, 0.9])
    >>> cells.hits[[0, 1]]  # the more confident cell first; the other one has an IoU of 1/2
    array([[ True,  True],
           [ True, False]])
    """
    iou = iou_matrix(truth, prediction)
    confidence = np.asarray(confidence, np.float64)
    if confidence.shape != iou.shape[1:]:
        raise ValueError(
            f"confidence has shape {confidence.shape}; give one value for each of {iou.shape[1]} predicted cells."
        )
    order = np.argsort(-confidence, kind="stable")[:MOST]
    true_inside, inside = (_areas_in(labels, area) for labels in (truth, prediction))
    hits, counted = (np.zeros((len(IOUS), len(order)), np.bool_) for _ in range(2))
    for level, threshold in enumerate(IOUS):
        free = iou.copy()
        for place, cell in enumerate(order):
            # Cells that count are taken first, whatever their IoU.
            best = _highest(np.where(true_inside, free[:, cell], 0), threshold)
            hits[level, place] = best is not None
            if best is None:
                best = _highest(free[:, cell], threshold)
            counted[level, place] = hits[level, place] or (best is None and inside[cell])
            if best is not None:
                free[best] = 0
    return Ranked(confidence[order], hits, counted, int(true_inside.sum()))


def _areas_in(labels: Labels, area: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Return (n,) whether the area of each cell of a label image, in the order of ids, is in the range."""
    areas = np.bincount(sequential(labels).ravel())[1:]
    return (areas >= area[0]) & (areas <= area[1])


def _highest(iou: npt.NDArray[np.float64], threshold: float) -> int | None:
    """Return the index of the highest IoU of at least the threshold; None if there is none."""
    best = int(np.argmax(iou)) if len(iou) else 0
    return best if len(iou) and iou[best] >= threshold else None


def average_precision(images: Sequence[Ranked]) -> float:
    """Return LIVECell's average precision over the cells of all images; NaN if there are no true cells.

    The cells of all images are sorted by falling confidence. The precision at a recall is the highest precision at
    this or a higher recall, or 0 if the recall is not reached. The result is the mean over `RECALLS` and `IOUS`.

    >>> cells = np.array([[1, 0, 2]])
    >>> average_precision([ranked(cells, cells, [0.9, 0.8])])
    1.0
    """
    cells = sum(image.cells for image in images)
    if cells == 0:
        return float("nan")
    order = np.argsort(-np.concatenate([image.confidence for image in images]), kind="stable")
    found, counted = (
        np.cumsum(np.concatenate([getattr(image, name) for image in images], axis=1)[:, order], axis=1)
        for name in ("hits", "counted")
    )
    precision = np.maximum.accumulate((found / np.maximum(counted, 1))[:, ::-1], axis=1)[:, ::-1]
    reached = [np.searchsorted(recall, RECALLS) for recall in found / cells]
    return float(np.mean([np.append(p, 0)[at] for p, at in zip(precision, reached, strict=True)]))


def false_negative_ratio(images: Sequence[Ranked]) -> float:
    """Return LIVECell's average false negative ratio over the cells of all images; NaN if there are no true cells.

    The result is the fraction of true cells without a match, averaged over `IOUS`.

    >>> false_negative_ratio([ranked(np.array([[1, 0, 2]]), np.array([[1, 0, 0]]), [0.9])])
    0.5
    """
    cells = sum(image.cells for image in images)
    return 1 - sum(float(image.hits.sum()) for image in images) / (len(IOUS) * cells) if cells else float("nan")


def dice(truth: Labels, prediction: Labels) -> float:
    """Return 2 |A and B| / (|A| + |B|) for the foregrounds A and B of two (Y, X) label images; 1.0 if both are empty.

    This is also the pixel F1, the harmonic mean of the pixels' precision and recall.

    >>> dice(np.array([[1, 1, 2]]), np.array([[7, 7, 0]]))
    0.8
    """
    _check_shapes(truth, prediction)
    true, predicted = truth > 0, prediction > 0
    total = np.count_nonzero(true) + np.count_nonzero(predicted)
    return float(2 * np.count_nonzero(true & predicted) / total) if total else 1.0


def pixel_iou(truth: Labels, prediction: Labels) -> float:
    """Return |A and B| / |A or B| for the foregrounds A and B of two (Y, X) label images; 1.0 if both are empty.

    >>> pixel_iou(np.array([[1, 1, 2]]), np.array([[7, 7, 0]]))
    0.6666666666666666
    """
    _check_shapes(truth, prediction)
    true, predicted = truth > 0, prediction > 0
    either = np.count_nonzero(true | predicted)
    return float(np.count_nonzero(true & predicted) / either) if either else 1.0
