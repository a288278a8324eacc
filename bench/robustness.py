"""F1 of images as they are and changed the way other cameras, files and fields of view differ.

    python -m bench.robustness --data ../shared/data [--model models/cyto-small.onnx] [--each 6]

So many held-out images of each source and one simulated image of each modality; everything at its default. "One cell
on a wide ground" keeps of a fluorescent field one cell, on noise of four times the area: percentiles see nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from flowmask.api import load_network
from flowmask.cli import MODEL
from flowmask.images.image import Image, as_image
from flowmask.labels.labels import Labels
from numpy.random import Generator, default_rng
from skimage.segmentation import expand_labels

from bench.ablation import Scores, Use, held_out_images, score
from bench.quality import simulated
from bench.record import named, print_table, write_record
from train.data.prepared import SIMULATED
from train.recipes.held_out import HELD_OUT

Pixels = npt.NDArray[np.uint8]
Changed = tuple[Pixels, Labels]
"""Pixels (Y, X, C) and labels (Y, X)."""
FLUORESCENT = "fluo"


def _bytes(values: npt.NDArray[np.floating]) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return cv2.imdecode(code, cv2.IMREAD_UNCHANGED).reshape(pixels.shape).astype(np.uint8), labels


def sharpened(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.5).reshape(pixels.shape)
    return _bytes(pixels + 1.5 * (pixels - soft.astype(np.float64))), labels


def powered(exponent: float, pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    return _bytes(255 * (pixels / 255) ** exponent), labels


def noisy(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    low, high = np.percentile(pixels, (1, 99))
    return _bytes(pixels + rng.normal(0, 0.1 * (high - low), pixels.shape)), labels


def hot_pixels(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    return np.where(rng.random(labels.shape)[..., None] < 0.005, np.uint8(255), pixels), labels


def debris(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    covered = np.zeros(labels.shape, np.uint8)
    for _ in range(2):
        centre = tuple(int(rng.integers(length)) for length in labels.shape[::-1])
        cv2.circle(covered, centre, int(rng.integers(min(labels.shape) // 16, min(labels.shape) // 8)), 1, -1)
    behind = (covered > 0) & (labels == 0)
    return np.where(behind[..., None], np.uint8(255), pixels), labels


def resized(factor: float, how: int, pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    image = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=how)
    truth = cv2.resize(labels.astype(np.uint16), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    return image.reshape(*truth.shape, -1).astype(np.uint8), truth.astype(np.int32)


def lonely(pixels: Pixels, labels: Labels, rng: Generator) -> Changed:
    """Keep the cell of median area and what lies within 6 px of it; the rest is drawn from the darker background."""
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


CHANGES: dict[str, Callable[[Pixels, Labels, Generator], Changed]] = {
    "as they are": lambda pixels, labels, rng: (pixels, labels),
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
    """Return an 8-bit image and its labels after a change that is drawn from the seed."""
    pixels = np.ascontiguousarray(image.read(0, 0, *image.shape[1:]).transpose(1, 2, 0))
    pixels, labels = CHANGES[change](pixels, labels, default_rng(seed))
    return as_image(pixels), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--each", type=int, default=6, help="held-out images of each source (default 6)")
    args = parser.parse_args()
    network = load_network(args.model)
    images = held_out_images(args.data, HELD_OUT, args.each)
    images += [(SIMULATED.strip(), image, labels) for _, _, image, labels in simulated(1) if labels.any()]
    means: dict[str, Scores] = {}
    for change in CHANGES:
        means[change] = score(
            [
                (source, *changed(image, labels, change, seed))
                for seed, (source, image, labels) in enumerate(images)
                if CHANGES[change] is not lonely or FLUORESCENT in source
            ],
            network,
            Use(),
        )
    sources = list(means["as they are"])
    print(f"{named(args.model)}, {len(images)} images\n")
    print_table(["changed", *sources], [[change, *(own.get(s, "") for s in sources)] for change, own in means.items()])
    print(write_record("robustness", {"model": named(args.model), "images": len(images), "scores": means}))


if __name__ == "__main__":
    main()
