"""Fluorescence of organoids, cysts and epithelial sheets: membranes or cytoplasm, with or without nuclei."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate import fields, fluorescence, optics, placement, shapes
from train.simulate.fields import Image, Labels, Mask, Shape
from train.simulate.fluorescence import Scene

_PAIRS = (
    ((1, 0, 0), (0, 1, 0)),
    ((1, 0, 0), (0, 0, 1)),
    ((0, 1, 0), (0, 0, 1)),
    ((1, 0, 1), (0, 1, 0)),
    ((0, 1, 1), (1, 0, 0)),
    ((1, 0.8, 0), (0, 0.2, 1)),
    ((0.8, 0.8, 0.8), (0, 0.3, 1)),
)
_GREY = 0.25
"""Share of the images with membranes alone, in grey."""


def _bodies(rng: Generator, shape: Shape, diameter: float) -> Labels:
    """Whole organoids, (Y, X) by number, each of 4 to 12 cells' width where the image has room for it."""
    size = max(min(rng.uniform(4, 12) * diameter, 0.8 * min(shape)), 3 * diameter)

    def draw() -> list[shapes.Outline]:
        return [shapes.ellipse(rng, size * rng.lognormal(0, 0.2), rng.uniform(1, 1.6), rng.uniform(0.01, 0.1))]

    bank = placement.stamp_bank(draw, shape, size)
    bodies = placement.place(rng, shape, bank, placement.Crowd(rng.uniform(0.25, 0.7), rng.uniform(0, 1)), 0.05)
    if not bodies.any():
        canvas = np.zeros(shape, np.int32)
        shapes.fill(canvas, draw()[0] + np.array(shape[::-1], np.float32) / np.float32(2), 1)
        return canvas
    return bodies


def _walls(rng: Generator, bodies: Labels, diameter: float) -> Labels:
    """Cells (Y, X) standing on the surface of each body, in one or more rings about a lumen.

    Cells are `height` deep and so wide that they have the area of a disc of `diameter` px. Each is the part of the
    wall nearest to its point; the points stand in rows at the middle of each ring.
    """
    height = rng.uniform(0.8, 1.7) * diameter
    width = math.pi / 4 * diameter**2 / height
    rings = int(rng.choice([1, 2, 30], p=[0.6, 0.2, 0.2]))
    inside = fields.depth(bodies)
    points = np.ones(bodies.shape, np.uint8)
    for ring in range(rings):
        level = (inside > (ring + 0.5) * height).astype(np.uint8)
        if not level.any():
            break
        for contour in cv2.findContours(level, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]:
            line = np.asarray(contour, np.float64).reshape(-1, 2)
            steps = np.linalg.norm(np.diff(line, axis=0, append=line[:1]), axis=1)
            count = max(1, round(float(steps.sum()) / width))
            where = (np.arange(count) + rng.uniform(-0.25, 0.25, count)) / count * len(line)
            spots = line[where.astype(int) % len(line)] + rng.normal(0, 0.08 * diameter, (count, 2))
            spots = np.clip(np.rint(spots), 0, np.array([bodies.shape[1] - 1, bodies.shape[0] - 1]))
            points[spots[:, 1].astype(int), spots[:, 0].astype(int)] = 0
    if points.all():
        points.flat[inside.argmax()] = 0
    _, nearest = cv2.distanceTransformWithLabels(points, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    owner = np.asarray(nearest, np.int32) + bodies * (int(nearest.max()) + 1)
    rough = np.float32(0.08 * diameter) * fields.smooth_noise(rng, (bodies.shape[0], bodies.shape[1]), 0.5 * diameter)
    wall = (bodies > 0) & (inside + rough < rings * height)
    return placement.tidy(_wavy(rng, np.where(wall, owner, 0).astype(np.int32), diameter))


def _wavy(rng: Generator, labels: Labels, diameter: float) -> Labels:
    """Shift pixels by up to a few hundredths of `diameter` px, which makes straight borders wavy."""
    shape = (labels.shape[0], labels.shape[1])
    row, column = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    scale, height = max(2.0, rng.uniform(0.12, 0.4) * diameter), np.float32(rng.uniform(0.01, 0.05) * diameter)
    row += height * fields.smooth_noise(rng, shape, scale)
    column += height * fields.smooth_noise(rng, shape, scale)
    rows = np.clip(np.rint(row), 0, shape[0] - 1).astype(int)
    columns = np.clip(np.rint(column), 0, shape[1] - 1).astype(int)
    return np.asarray(labels[rows, columns], np.int32)


def _membranes(rng: Generator, labels: Labels, diameter: float) -> Image:
    """Membrane stain (Y, X): beaded lines of unequal strength, brighter on free sides, over a faint interior."""
    shape = (labels.shape[0], labels.shape[1])
    thickness = rng.uniform(0.7, 1.1) + rng.uniform(0.005, 0.03) * diameter
    line = np.exp(-((fields.depth(labels) / np.float32(thickness)) ** 2)) * (labels > 0)
    beads = np.clip(1 + rng.uniform(0, 0.5) * fields.fractal_noise(rng, shape, max(1.6, 0.06 * diameter)), 0.2, 3)
    uneven = np.clip(1 + rng.uniform(0.1, 0.5) * fields.smooth_noise(rng, shape, diameter), 0.15, 2)
    free = fields.blur((labels == 0).astype(np.float32), 0.04 * diameter + 0.7)
    apical = 1 + rng.choice([0, 1, 3]) * free
    vary = fields.blur(fields.per_cell(rng, labels, rng.uniform(0.05, 0.5)), 1)
    interior = rng.uniform(0.02, 0.3) * fields.per_cell(rng, labels, 0.3)
    specks = fields.spots(rng, labels > 0, rng.uniform(0, 30) / diameter**2, 0.6 + 0.01 * diameter)
    return np.asarray(line * beads * uneven * vary * apical + interior * (1 + specks), np.float32)


def _cytoplasm(rng: Generator, labels: Labels, nuclei: Labels, diameter: float) -> Image:
    """Cytoplasmic stain (Y, X): very unequal cells, dark clefts between them, empty or filled nuclei."""
    shape = (labels.shape[0], labels.shape[1])
    grain = 1 + rng.uniform(0.05, 0.3) * fields.fractal_noise(rng, shape, max(2.0, 0.15 * diameter))
    edge = np.minimum(fields.depth(labels) / np.float32(1 + rng.uniform(0.02, 0.08) * diameter), 1)
    cleft = 1 - rng.uniform(0.3, 0.8) * (1 - edge)
    hollow = 1 - rng.uniform(0.1, 0.8) * fields.blur((nuclei > 0).astype(np.float32), 0.8)
    return np.asarray(fields.per_cell(rng, labels, rng.uniform(0.25, 0.7)) * grain * cleft * hollow, np.float32)


def _lit(rng: Generator, dye: Image, tissue: Mask, diameter: float) -> Image:
    """Add planes above and below, which are blurred, and weaken what lies far from the surface of the tissue."""
    other = fields.blur(dye[::-1, ::-1].copy(), rng.uniform(0.15, 0.5) * diameter)
    solid = fields.blur(tissue.astype(np.float32), 0.3 * diameter)
    haze = rng.uniform(0, 0.6) * other * solid + rng.uniform(0, 0.4) * fields.blur(dye, 0.5 * diameter)
    deep = np.asarray(cv2.distanceTransform(tissue.astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    reach = np.float32(rng.uniform(2, 8) * diameter)
    lost = 0 if tissue.all() else np.minimum(deep / reach, 1) * rng.uniform(0, 0.7)
    psf = rng.uniform(0.5, 0.9) + rng.uniform(0, 0.02) * diameter
    return optics.widefield(rng, np.asarray((dye + haze) * (1 - lost), np.float32), psf, rng.uniform(0, 0.3), diameter)


def _compose(rng: Generator, body: Image, core: Image) -> NDArray[np.uint8]:
    """RGB record of two channels in two colours drawn at random."""
    pair = rng.permutation(np.array(_PAIRS[rng.integers(len(_PAIRS))], np.float32))
    return optics.record_dark(rng, body[..., None] * pair[0] + core[..., None] * pair[1])


def organoid(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Epithelial cells about lumens or in a sheet; whole cells are labelled, dead cells in lumens are not."""
    if rng.random() < 0.65:
        bodies = _bodies(rng, shape, diameter)
        labels = _walls(rng, bodies, diameter)
    else:
        bodies = np.ones(shape, np.int32)
        tiles = _wavy(rng, placement.tessellate(rng, shape, diameter, rng.uniform(0.5, 1)), diameter)
        labels = placement.drop_cells(rng, placement.tidy(tiles), rng.choice([0, 0.03, 0.1]))
    grey = rng.random() < _GREY
    nuclei = placement.nuclei_within(rng, labels, 0.4, 0.75)
    body = _membranes(rng, labels, diameter)
    if not grey and rng.random() < 0.4:
        body = rng.uniform(0, 0.6) * body + _cytoplasm(rng, labels, nuclei, diameter)
    dead = fields.spots(rng, (labels == 0) & (bodies > 0), rng.choice([0, 0.5]) / diameter**2, 0.15 * diameter)
    lit = _lit(rng, body + np.float32(0.3) * dead, bodies > 0, diameter)
    if grey:
        return optics.record_dark(rng, lit), labels
    core = rng.uniform(0.4, 1.2) * fluorescence.nuclear_dye(rng, nuclei, 0.6 * diameter) + 0.7 * dead
    return _compose(rng, lit, _lit(rng, core.astype(np.float32), bodies > 0, diameter)), labels
