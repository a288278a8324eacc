"""Scores of predicted label files against true label files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ImageError, InputError
from ..images.readers import open_image
from .metrics import Labels, challenge_counts, f1_of_counts


@dataclass(frozen=True)
class Score:
    """The score of one pair of label images, by the rules of the NeurIPS 2022 challenge."""

    name: str
    """File name of the true label image."""
    f1: float
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
    ([Score(name='a_label.tif', f1=1.0, true=1, predicted=1)], [])
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
            counts = challenge_counts(true, predicted)
            scores.append(Score(name, f1_of_counts(*counts), counts[1], counts[2]))
        except (ImageError, InputError) as error:
            reasons.append(str(error))
    return scores, reasons


def _pairs(prediction: Path, truth: Path) -> list[tuple[str, Path | None, Path]]:
    """Return (name, predicted file, true file) for each true label image; the predicted file is None if missing."""
    for path in (prediction, truth):
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder; give two label files or two folders.")
    if truth.is_file():
        predicted = prediction if prediction.is_file() else None
        return [(truth.name, predicted, truth)]
    if prediction.is_file():
        raise InputError(f"{truth}: it is a folder but {prediction} is a file; give two files or two folders.")
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
    image = open_image(path)
    channels, height, width = image.shape
    if channels != 1 or image.dtype.kind not in "ui":
        raise ImageError(f"{path}: this is not a label image; give an image with one channel of integers.")
    labels: Labels = image.read(0, 0, height, width)[0].astype(np.int64)
    if labels.min() < 0:
        raise ImageError(f"{path}: it has negative ids; save it with unsigned or wider integers.")
    return labels
