"""Simulated stained slides of any size, made and written a band of rows at a time.

Pixels are a pure function of a small plan and of the requested window, so the size of the bands changes nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from train.simulate import optics
from train.simulate.fields import Image, Labels, Shape
from train.simulate.slide_plan import CLOUD_PERIOD, DIAMETER, PERIOD, STEP, Plan, plan_slide

TILE = 512
"""Side in px of the tiles of the file."""
QUALITY = 90
CLASSIC_BYTES = 2**32 - 2**25
LIGHT = (0.94, 0.93, 0.94)


def slide_rows(shape: Shape, seed: int = 0, band: int = TILE) -> Iterator[tuple[NDArray[np.uint8], Labels]]:
    """Yield a slide of `shape` (Y, X) px from the top as pairs of image rows and label rows.

    The image rows are uint8 (n, X, 3) RGB, the label rows int32 (n, X), 0 for background, with ids from 1 to
    `count_cells` over the whole slide; n is `band`, less at the end. Equal shapes and seeds give equal pixels,
    whatever the band.
    """
    plan = plan_slide(shape, seed)
    height, width = shape
    for top in range(0, height, band):
        rows = np.arange(top, min(top + band, height))
        image, labels = np.empty((len(rows), width, 3), np.uint8), np.empty((len(rows), width), np.int32)
        for left in range(0, width, TILE):
            right = min(left + TILE, width)
            image[:, left:right], labels[:, left:right] = _window(plan, rows, np.arange(left, right))
        yield image, labels


class SlideWindows:
    """A slide of `shape` (Y, X) px whose windows are rendered when they are read; equal to that of `slide_rows`."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        self._plan = plan_slide(shape, seed)

    def read(self, top: int, left: int, bottom: int, right: int) -> tuple[NDArray[np.uint8], Labels]:
        """Return the pixels uint8 (bottom - top, right - left, 3) and labels int32 of a window inside the slide."""
        return _window(self._plan, np.arange(top, bottom), np.arange(left, right))


def count_cells(shape: Shape, seed: int = 0) -> int:
    """Return the number of nuclei of a slide, without rendering it.

    >>> count_cells((300, 300), seed=1) == max(labels.max() for _, labels in slide_rows((300, 300), seed=1))
    np.True_
    """
    return len(plan_slide(shape, seed).rows)


def write_slide(path: Path, shape: Shape, seed: int = 0) -> int:
    """Write a slide as RGB TIFF of 512 x 512 JPEG tiles, BigTIFF where it could pass 4 GB; return its cells.

    An interrupted write leaves no file.
    """
    plan = plan_slide(shape, seed)
    cells = len(plan.rows)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with tifffile.TiffWriter(partial, bigtiff=3 * shape[0] * shape[1] > CLASSIC_BYTES) as file:
            file.write(
                _tiles(plan),
                shape=(*shape, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": QUALITY},
                description=json.dumps({"seed": seed, "cells": cells, "diameter": DIAMETER}),
                metadata=None,
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return cells


def _tiles(plan: Plan) -> Iterator[NDArray[np.uint8]]:
    height, width = plan.shape
    for top in range(0, height, TILE):
        rows = np.arange(top, min(top + TILE, height))
        for left in range(0, width, TILE):
            image, _ = _window(plan, rows, np.arange(left, min(left + TILE, width)))
            yield np.pad(image, ((0, TILE - image.shape[0]), (0, TILE - image.shape[1]), (0, 0)), mode="edge")


def _window(plan: Plan, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Labels]:
    """Pixels uint8 (n, m, 3) and labels int32 (n, m) of the window of consecutive `rows` and `columns`."""
    labels, nuclear = _print_nuclei(plan, rows, columns)
    tissue, density, blue, pink, light = (
        _enlarged(low, rows, columns) for low in (plan.tissue, plan.density, plan.blue, plan.pink, plan.light)
    )
    fibres = plan.fibres[np.ix_(rows % PERIOD, columns % PERIOD)]
    cloud = plan.cloud[np.ix_(rows % CLOUD_PERIOD, columns % CLOUD_PERIOD)]
    present = np.clip((tissue - 0.5 + 0.12 * cloud) * 8 + 0.5, 0, 1)
    bare = np.clip((cloud - 1.6) * 3, 0, 0.85) * np.clip(1 - nuclear, 0, 1)
    ground = present * (1 - bare) * np.maximum(0.75 + 0.22 * fibres + 0.1 * cloud, 0.1)
    eosin = (0.5 - 0.15 * density) * pink * ground
    haematoxylin = blue * (0.95 * nuclear + (0.02 + 0.12 * density) * ground)
    bright = np.asarray(LIGHT, np.float32) * light[..., None]
    image = bright * optics.absorb([(haematoxylin, optics.HAEMATOXYLIN), (eosin, optics.EOSIN)], (1, 1, 1))
    image += 0.008 * plan.noise[np.ix_(rows % PERIOD, columns % PERIOD)]
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8), labels


def _print_nuclei(plan: Plan, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[Labels, Image]:
    """Labels and haematoxylin of the nuclei in a window; where two overlap, a pixel goes to the one deeper there."""
    labels = np.zeros((len(rows), len(columns)), np.int32)
    deepest, blue = np.zeros(labels.shape, np.float32), np.zeros(labels.shape, np.float32)
    top, left = int(rows[0]), int(columns[0])
    reach = max(max(item.depth.shape) for item in plan.nuclei)
    first, last = np.searchsorted(plan.rows, (top - reach, top + len(rows) + reach))
    near = plan.columns[first:last]
    for index in first + np.flatnonzero((near > left - reach) & (near < left + len(columns) + reach)):
        item = plan.nuclei[plan.kinds[index]]
        y, own_y = _overlap(int(plan.rows[index]) - top, item.depth.shape[0], len(rows))
        x, own_x = _overlap(int(plan.columns[index]) - left, item.depth.shape[1], len(columns))
        depth, held = item.depth[own_y, own_x], deepest[y, x]
        wins = depth > held
        labels[y, x][wins] = index + 1
        np.maximum(held, depth, out=held)
        np.maximum(blue[y, x], item.blue[own_y, own_x] * plan.strengths[index], out=blue[y, x])
    return labels, blue


def _enlarged(low: Image, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Image:
    """Bilinear values (rows, columns) of a low field."""
    row, down = rows // STEP, (rows % STEP / STEP).astype(np.float32)[:, None]
    column, right = columns // STEP, (columns % STEP / STEP).astype(np.float32)
    lines = low[row] * (1 - down) + low[row + 1] * down
    return np.asarray(lines[:, column] * (1 - right) + lines[:, column + 1] * right, np.float32)


def _overlap(centre: int, extent: int, limit: int) -> tuple[slice, slice]:
    """Slices of window and stamp along one axis for a stamp about `centre`; both empty where it lies outside."""
    start = centre - extent // 2
    low, high = min(max(start, 0), limit), max(min(start + extent, limit), 0)
    return slice(low, high), slice(low - start, high - start)
