"""Accuracy on images changed the way other cameras, file formats and fields of view differ.

    python -m bench.quality.robustness --data ../shared/data [--model FILE.onnx] [--each 6]

F1 at IoU 0.5 by the challenge's rules on some held-out images of each source and one simulated image of each modality,
with all options at their defaults. "One cell on a wide ground" keeps one cell of a fluorescence image, on noise of four
times the area: the percentiles see hardly anything but background.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator, default_rng
from skimage.segmentation import expand_labels

from bench.images import SIMULATED, Labelled, held_out, simulated
from bench.record import Record, named, table, write_record
from flowmask.api import load_network
from flowmask.images.image import Image, as_image
from flowmask.labels.labels import Labels
from flowmask.labels.metrics import f1_challenge
from flowmask.network.registry import default_network
from flowmask.network.session import Network
from flowmask.pipeline import segment_image

Pixels = npt.NDArray[np.uint8]
Changed = tuple[Pixels, Labels]
"""Pixels (Y, X, C) and labels (Y, X)."""
Change = Callable[[Pixels, Labels, Generator], Changed]
FLUORESCENT = "fluo"
"""In the names of the sources of fluorescence images."""
UNCHANGED = "as they are"


def _bytes(values: npt.NDArray[np.floating]) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Compress as JPEG of quality 30."""
    code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    decoded: Any = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)
    return decoded.reshape(pixels.shape).astype(np.uint8), labels


def sharpened(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Add 1.5 times the difference from a Gaussian blur of 1.5 px."""
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.5).reshape(pixels.shape)
    return _bytes(pixels + 1.5 * (pixels - soft.astype(np.float64))), labels


def powered(exponent: float, pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Raise the values, 0 to 1, to the power ``exponent``."""
    return _bytes(255 * (pixels / 255) ** exponent), labels


def noisy(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Add Gaussian noise of a tenth of the range between the 1st and 99th percentile."""
    low, high = np.percentile(pixels, (1, 99))
    return _bytes(pixels + rng.normal(0, 0.1 * (high - low), pixels.shape)), labels


def hot_pixels(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Set 0.5 % of the pixels to 255."""
    return np.where(rng.random(labels.shape)[..., None] < 0.005, np.uint8(255), pixels), labels


def debris(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Draw two bright discs behind the cells."""
    covered = np.zeros(labels.shape, np.uint8)
    for _ in range(2):
        centre = tuple(int(rng.integers(length)) for length in labels.shape[::-1])
        cv2.circle(covered, centre, int(rng.integers(min(labels.shape) // 16, min(labels.shape) // 8)), 1, -1)
    behind = (covered > 0) & (labels == 0)
    return np.where(behind[..., None], np.uint8(255), pixels), labels


def resized(factor: float, how: int, pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Resize by ``factor``; ``how``: interpolation of OpenCV."""
    image = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=how)
    truth = cv2.resize(labels.astype(np.uint16), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    return image.reshape(*truth.shape, -1).astype(np.uint8), truth.astype(np.int32)


def lonely(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Keep the cell of median area with 6 px around it; all other pixels are drawn from the darker background."""
    areas = np.bincount(labels.ravel())[1:]
    cell = 1 + int(np.argsort(areas)[len(areas) // 2])
    ground = pixels[labels == 0]
    ground = ground[ground.mean(axis=1) <= np.median(ground.mean(axis=1))]
    height, width = labels.shape
    wide = ground[rng.integers(len(ground), size=(2 * height, 2 * width))]
    truth = np.zeros(wide.shape[:2], np.int32)
    here = np.s_[height // 2 : height // 2 + height, width // 2 : width // 2 + width]
    truth[here] = labels == cell
    near = expand_labels(labels, 6) == cell
    wide[here][near] = pixels[near]
    return wide, truth


CHANGES: dict[str, Change] = {
    UNCHANGED: lambda pixels, labels, rng: (pixels, labels),
    "JPEG of quality 30": jpeg,
    "sharpened (1.5 of radius 1.5 px)": sharpened,
    "gamma 0.5": partial(powered, 0.5),
    "gamma 2": partial(powered, 2),
    "noise of 10 %": noisy,
    "0.5 % hot pixels": hot_pixels,
    "two discs of bright debris behind the cells": debris,
    "enlarged twice": partial(resized, 2, cv2.INTER_CUBIC),
    "reduced by half": partial(resized, 0.5, cv2.INTER_AREA),
    "reduced to a third": partial(resized, 1 / 3, cv2.INTER_AREA),
    "one cell on a wide ground": lonely,
}


def changed(image: Image, labels: Labels, change: str, seed: int) -> tuple[Image, Labels]:
    """Return an 8-bit image and its labels after a change, whose random numbers the seed decides."""
    pixels: Any = np.ascontiguousarray(image.read(0, 0, *image.shape[1:]).transpose(1, 2, 0))
    pixels, labels = CHANGES[change](pixels, labels, default_rng(seed))
    return as_image(pixels), labels


def at_most(images: Iterable[Labelled], each: int) -> list[Labelled]:
    """Return the images with cells, at most ``each`` of a source; 0: all."""
    sources: dict[str, list[Labelled]] = defaultdict(list)
    for image in images:
        if image[3].any() and (not each or len(sources[image[0]]) < each):
            sources[image[0]].append(image)
    return [image for own in sources.values() for image in own]


def mean_f1(images: Iterable[Labelled], network: Network, change: str) -> dict[str, float]:
    """Return the mean F1 of each source after a change; the simulated modalities count as one source."""
    scores: dict[str, list[float]] = defaultdict(list)
    for seed, (source, _, image, labels) in enumerate(images):
        if CHANGES[change] is lonely and FLUORESCENT not in source:
            continue
        pixels, truth = changed(image, labels, change, seed)
        scores[source].append(f1_challenge(truth, segment_image(pixels, network).labels))
    return {source: float(np.mean(own)) for source, own in scores.items()}


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    scores = record["scores"]
    sources = list(scores[UNCHANGED])
    rows = [[change, *(own.get(source) for source in sources)] for change, own in scores.items()]
    return f"{record['model']}, {record['images']} images\n\n{table(['change', *sources], rows)}"


def main() -> None:
    """Score the images after each change, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--model", type=Path, default=default_network())
    parser.add_argument("--each", type=int, default=6, help="held-out images of each source (default 6)")
    args = parser.parse_args()
    network = load_network(args.model)
    images = at_most(held_out(args.data), args.each)
    images += [(SIMULATED.strip(), *image[1:]) for image in simulated(1) if image[3].any()]
    scores = {change: mean_f1(images, network, change) for change in CHANGES}
    figures = {"model": named(args.model), "images": len(images), "scores": scores}
    print(text(figures))
    print(write_record("robustness", figures))


if __name__ == "__main__":
    main()
