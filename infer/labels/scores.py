"""Scores of predicted label files against true label files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ImageError, InputError
from ..images.readers import open_single
from .metrics import (
    Labels,
    average_precision,
    challenge_counts,
    dice,
    f1_of_counts,
    false_negative_ratio,
    patches,
    pixel_iou,
    ranked,
    sequential,
)

COLUMNS = {"f1": "F1", "ap": "AP", "afnr": "AFNR", "dice": "Dice", "pixel_iou": "pixel-IoU"}
"""Scores in the table of `table`, and the titles of their columns."""


@dataclass(frozen=True)
class Score:
    """The scores of one pair of label images: F1 by the rules of the NeurIPS 2022 challenge, AP and AFNR by LIVECell's.

    Dice and pixel IoU compare the foregrounds, whatever the cells; Dice is also called semantic F1 or pixel F1. Label
    images hold no confidence, so AP takes the cells in the order of their ids. Large images are scored in the patches
    of the challenge, pixels as a whole. AP and AFNR are NaN if there are no true cells.
    """

    name: str
    """File name of the true label image."""
    f1: float
    ap: float
    """Average precision over IoU 0.50:0.95; cells at the border count."""
    afnr: float
    """Average false negative ratio over the same thresholds."""
    dice: float
    """Dice coefficient of the foregrounds."""
    pixel_iou: float
    """Intersection over union of the foregrounds."""
    true: int
    """Number of true cells that do not touch the border."""
    predicted: int
    """Number of predicted cells that do not touch the border."""


def score_pairs(prediction: Path, truth: Path) -> tuple[list[Score], list[str]]:
    """Return the score of each pair of label files, and one error message for each true file without a score.

    prediction, truth: two files, or two folders. In folders, two files are a pair if their names are the same without
    the suffix. Raises InputError if there are no pairs to compare.

    >>> import tifffile
    >>> from tempfile import TemporaryDirectory
    >>> labels = np.zeros((9, 9), np.uint16)
    >>> labels[4, 4] = 1
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a_label.tif", labels)
    ...     score_pairs(Path(folder), Path(folder))
    ([Score(name='a_label.tif', f1=1.0, ap=1.0, afnr=0.0, dice=1.0, pixel_iou=1.0, true=1, predicted=1)], [])
    """
    scores, reasons = [], []
    for name, predicted_path, true_path in _pairs(prediction, truth):
        try:
            if predicted_path is None:
                raise InputError(f"{true_path}: {prediction} has no label file of this name; segment the image first.")
            predicted, true = read_labels(predicted_path), read_labels(true_path)
            if predicted.shape != true.shape:
                raise ImageError(
                    f"{predicted_path}: its shape {predicted.shape} differs from {true.shape} of {true_path}; give "
                    "the labels of the same image."
                )
            scores.append(score(name, true, predicted))
        except (ImageError, InputError) as error:
            reasons.append(str(error))
    return scores, reasons


def score(name: str, true: Labels, predicted: Labels) -> Score:
    """Return the scores of one predicted label image (Y, X) against the true one.

    >>> true = np.zeros((9, 9), int)
    >>> true[4, 2], true[4, 6] = 1, 2
    >>> found = score("a", true, np.where(true == 1, 1, 0))
    >>> found.f1, found.ap, found.afnr  # one of two cells; the precision is 1 at 51 of the 101 recalls
    (0.6666666666666666, 0.504950495049505, 0.5)
    >>> found.dice, found.pixel_iou  # one of two pixels
    (0.6666666666666666, 0.5)
    """
    counts = challenge_counts(true, predicted)
    cells = [ranked(t, p, np.ones(sequential(p).max(initial=0))) for t, p in patches(true, predicted)]
    return Score(
        name=name,
        f1=f1_of_counts(*counts),
        ap=average_precision(cells),
        afnr=false_negative_ratio(cells),
        dice=dice(true, predicted),
        pixel_iou=pixel_iou(true, predicted),
        true=counts[1],
        predicted=counts[2],
    )


def table(scores: Sequence[Score]) -> str:
    r"""Return the scores as text with tabs: a line for each image, then the means if there are several images.

    AP and AFNR of an image without true cells are empty, and their means are those of the other images.

    >>> print(table([Score("a.tif", 0.5, 0.25, 0.75, 0.8, 0.7, 4, 3)]).replace("\t", " "))
    image F1 AP AFNR Dice pixel-IoU true predicted
    a.tif 0.5000 0.2500 0.7500 0.8000 0.7000 4 3
    """
    rows = [[s.name, *(_number(getattr(s, key)) for key in COLUMNS), str(s.true), str(s.predicted)] for s in scores]
    if len(scores) > 1:
        rows.append(["mean", *(_number(_mean([getattr(s, key) for s in scores])) for key in COLUMNS)])
    return "\n".join("\t".join(row) for row in [["image", *COLUMNS.values(), "true", "predicted"], *rows])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _pairs(prediction: Path, truth: Path) -> list[tuple[str, Path | None, Path]]:
    """Return (name, predicted file, true file) for each true label image; the predicted file is None if missing."""
    for path in (prediction, truth):
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder; give two label files or two folders.")
    if prediction.is_file() != truth.is_file():
        file, folder = (prediction, truth) if prediction.is_file() else (truth, prediction)
        raise InputError(f"{folder}: it is a folder but {file} is a file; give two files or two folders.")
    if truth.is_file():
        return [(truth.name, prediction, truth)]
    found = {path.stem: path for path in sorted(prediction.iterdir()) if path.is_file()}
    pairs = [(path.name, found.get(path.stem), path) for path in sorted(truth.iterdir()) if _is_label_file(path)]
    if not pairs:
        raise InputError(
            f"{truth}: the folder has no label files; name them NAME_label with any suffix, such as NAME_label.tiff."
        )
    return pairs


def _is_label_file(path: Path) -> bool:
    return path.is_file() and path.stem.endswith("_label")


def read_labels(path: Path) -> Labels:
    """Return the label image (Y, X) int64 of a file.

    Raises ImageError if the image has several channels, values that are not integers, or negative values.

    >>> import tifffile
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a_label.tif", np.eye(2, dtype=np.uint16))
    ...     read_labels(Path(folder, "a_label.tif"))
    array([[1, 0],
           [0, 1]])
    """
    image = open_single(path)
    channels, height, width = image.shape
    if channels != 1 or image.dtype.kind not in "ui":
        raise ImageError(f"{path}: this is not a label image; give an image with one channel of integers.")
    labels: Labels = image.read(0, 0, height, width)[0].astype(np.int64)
    if labels.min() < 0:
        raise ImageError(f"{path}: it has negative ids; save it with unsigned or wider integers.")
    return labels
