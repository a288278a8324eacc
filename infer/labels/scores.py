"""Scores of label files against true ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ImageError, InputError
from ..images.image import open_image
from .metrics import Labels, challenge_counts, f1_of_counts


@dataclass(frozen=True)
class Score:
    """The score of one pair of label images, by the rules of the NeurIPS 2022 challenge."""

    name: str
    f1: float
    true: int
    """True cells that count: those that do not touch the outer frame."""
    predicted: int


def score_pairs(prediction: Path, truth: Path) -> tuple[list[Score], list[str]]:
    """Return the score of each pair of label files of the same name, and one sentence for each file without a score.

    prediction, truth: two files, or two folders with files of the same names apart from the suffix. Raises InputError
    where there is nothing to compare.
    """
    scores, reasons = [], []
    for name, own, true in _pairs(prediction, truth):
        try:
            if own is None:
                raise InputError(f"{true}: {prediction} holds no file of this name; segment the image first.")
            labels, expected = read_labels(own), read_labels(true)
            if labels.shape != expected.shape:
                raise ImageError(f"{own}: its shape {labels.shape} is not that of {true}, {expected.shape}.")
            counts = challenge_counts(expected, labels)
            scores.append(Score(name, f1_of_counts(*counts), counts[1], counts[2]))
        except (ImageError, InputError) as error:
            reasons.append(str(error))
    return scores, reasons


def _pairs(prediction: Path, truth: Path) -> list[tuple[str, Path | None, Path]]:
    """Return name, predicted file and true file of each true label image."""
    for path in (prediction, truth):
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder; give label files or folders of them.")
    if truth.is_file():
        own = prediction if prediction.is_file() else None
        return [(truth.name, own, truth)]
    if prediction.is_file():
        raise InputError(f"{truth}: it is a folder and {prediction} is a file; give two files or two folders.")
    found = {path.stem: path for path in sorted(prediction.iterdir()) if path.is_file()}
    pairs = [(path.name, found.get(path.stem), path) for path in sorted(truth.iterdir()) if _is_label_file(path)]
    if not pairs:
        raise InputError(f"{truth}: it holds no label files; they are named NAME_label.tiff or NAME_label.png.")
    return pairs


def _is_label_file(path: Path) -> bool:
    return path.is_file() and path.stem.endswith("_label")


def read_labels(path: Path) -> Labels:
    """Read a label image (Y, X). Raises ImageError where it has several channels or values that are no ids."""
    image = open_image(path)
    channels, height, width = image.shape
    if channels != 1 or image.dtype.kind not in "ui":
        raise ImageError(f"{path}: it is no label image (one channel of whole numbers); give a label file.")
    labels: Labels = image.read(0, 0, height, width)[0].astype(np.int64)
    if labels.min() < 0:
        raise ImageError(f"{path}: it has ids below 0, and 0 is the background; save it as unsigned or wider integers.")
    return labels
