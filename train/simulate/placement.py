"""Placement of outlines on a plane and tessellation of the plane, both giving instance labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as connected

from train.simulate.fields import Labels, Mask, Shape, boundaries, depth, smooth_noise
from train.simulate.shapes import Outline, ellipse, fill

MIN_AREA = 12


@dataclass(frozen=True)
class Crowd:
    """How full the plane is: `coverage` is the area fraction of cells, `crowding` the share placed in contact."""

    coverage: float
    crowding: float


@dataclass(frozen=True)
class Stamp:
    """A rasterised group of outlines: `member` int32 (h, w), 1.. per outline; `depth` float32 (h, w) in px."""

    member: Labels
    depth: NDArray[np.float32]


def draw_crowd(rng: Generator, shape: Shape, diameter: float, fullest: float) -> Crowd:
    """Draw a density: at times one cell alone or 0 to 3, sometimes sparse, mostly a fifth to `fullest` of the plane."""
    kind = rng.random()
    if kind < 0.1:
        cells = float(rng.integers(0, 4)) if kind < 0.06 else 1.0
        return Crowd(cells * 0.6 * diameter**2 / (shape[0] * shape[1]), 0.5)
    if kind < 0.25:
        return Crowd(rng.uniform(0.02, 0.2), rng.uniform(0, 1))
    return Crowd(rng.uniform(0.2, fullest), rng.uniform(0.2, 1))


def stamp(group: list[Outline]) -> Stamp:
    """Rasterise a group; where outlines overlap, a pixel goes to the one in which it lies deeper."""
    everything = np.concatenate(group)
    low = np.floor(everything.min(0)).astype(int) - 2
    width, height = np.ceil(everything.max(0)).astype(int) - low + 3
    member = np.zeros((height, width), np.int32)
    deepest = np.zeros((height, width), np.float32)
    for index, outline in enumerate(group, 1):
        canvas = np.zeros((height, width), np.uint8)
        fill(canvas, outline - low, 1)
        distance = np.asarray(cv2.distanceTransform(canvas, cv2.DIST_L2, 3), np.float32)
        wins = distance > deepest
        member[wins] = index
        deepest[wins] = distance[wins]
    return Stamp(member, deepest)


def stamp_bank(draw: Callable[[], list[Outline]], shape: Shape, diameter: float) -> list[Stamp]:
    """Return about as many stamps as cells fit into the plane, but 24 to 96."""
    wanted = shape[0] * shape[1] / diameter**2
    return [stamp(draw()) for _ in range(int(min(96, max(24, wanted))))]


def _window(at: int, extent: int, limit: int) -> tuple[slice, slice]:
    """Slices of plane and stamp along one axis for a stamp centred on `at`."""
    start = at - extent // 2
    low, high = max(start, 0), min(start + extent, limit)
    return slice(low, high), slice(low - start, high - start)


class Plane:
    """Labels under construction, with the depth (px) of each pixel in the cell that holds it."""

    def __init__(self, shape: Shape) -> None:
        self.labels = np.zeros(shape, np.int32)
        self.deepest = np.zeros(shape, np.float32)
        self.count = 0

    def press(self, item: Stamp, row: int, column: int, overlap: float) -> int:
        """Paint a stamp unless more than the fraction `overlap` of it is taken; return the px painted."""
        rows, own_rows = _window(row, item.member.shape[0], self.labels.shape[0])
        columns, own_columns = _window(column, item.member.shape[1], self.labels.shape[1])
        member = item.member[own_rows, own_columns]
        inside = member > 0
        under = self.labels[rows, columns]
        area = int(np.count_nonzero(inside))
        if np.count_nonzero(under[inside]) > overlap * area:
            return 0
        depths, deepest = item.depth[own_rows, own_columns], self.deepest[rows, columns]
        wins = depths > deepest
        under[wins] = member[wins] + self.count
        deepest[wins] = depths[wins]
        self.count += int(item.member.max())
        return area


def place(rng: Generator, shape: Shape, bank: list[Stamp], crowd: Crowd, overlap: float = 0.1) -> Labels:
    """Place random stamps until `crowd.coverage` is reached or hardly any fits; int32 (Y, X) labels.

    Each round draws positions from the free plane, either anywhere or, in the share `crowd.crowding` of rounds, just
    far enough from placed cells to touch them. Overlaps are split where both cells are equally deep.
    """
    plane = Plane(shape)
    reach = float(np.median([item.depth.max() for item in bank])) * (1 - overlap)
    area = float(np.mean([np.count_nonzero(item.member) for item in bank]))
    missing = crowd.coverage * plane.labels.size
    idle = 0
    while missing > 0.5 * area and idle < 3:
        free = cv2.distanceTransform((plane.labels == 0).astype(np.uint8), cv2.DIST_L2, 5)
        touching = plane.count > 0 and rng.random() < crowd.crowding
        centres = np.flatnonzero((free >= reach) & (free < 1.5 * reach)) if touching else np.flatnonzero(free >= reach)
        wanted = missing / area * (1 if plane.count else max(0.02, 1 - crowd.crowding))
        tries = math.ceil(min(wanted, len(centres) / reach**2))
        before = missing
        for centre in rng.choice(centres, tries) if len(centres) else []:
            row, column = divmod(int(centre), shape[1])
            for choice in rng.integers(0, len(bank), 3):
                painted = plane.press(bank[choice], row, column, overlap)
                missing -= painted
                if painted:
                    break
        idle = idle + 1 if before - missing <= 0.04 * tries * area else 0
    return tidy(plane.labels)


def tessellate(rng: Generator, shape: Shape, diameter: float, jitter: float) -> Labels:
    """Tile the plane with cells of the area of a disc of `diameter` px; int32 (Y, X) labels.

    A Voronoi diagram of a hexagonal lattice whose points are moved by up to `jitter` (0..1) of its pitch, stretched
    and displaced smoothly, which makes the walls wavy.
    """
    stretch = math.exp(rng.uniform(-0.35, 0.35))
    height, width = math.ceil(shape[0] * stretch) + 2, math.ceil(shape[1] / stretch) + 2
    pitch_x = diameter * math.sqrt(math.pi / 4 * 2 / math.sqrt(3))
    pitch_y = pitch_x * math.sqrt(3) / 2
    row, column = np.mgrid[-1 : height / pitch_y + 1, -1 : width / pitch_x + 1]
    y = row * pitch_y + rng.uniform(-jitter, jitter, row.shape) * pitch_y * 0.75
    x = (column + 0.5 * (row % 2)) * pitch_x + rng.uniform(-jitter, jitter, row.shape) * pitch_x * 0.75
    points = np.ones((height, width), np.uint8)
    points[np.clip(y, 0, height - 1).astype(int), np.clip(x, 0, width - 1).astype(int)] = 0
    _, nearest = cv2.distanceTransformWithLabels(points, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    grid_y, grid_x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    sway = 0.08 * diameter
    grid_y = grid_y * np.float32(stretch) + np.float32(sway) * smooth_noise(rng, shape, 0.4 * diameter)
    grid_x = grid_x / np.float32(stretch) + np.float32(sway) * smooth_noise(rng, shape, 0.4 * diameter)
    rows = np.clip(np.rint(grid_y), 0, height - 1).astype(int)
    columns = np.clip(np.rint(grid_x), 0, width - 1).astype(int)
    return tidy(np.asarray(nearest, np.int32)[rows, columns])


def tidy(labels: Labels) -> Labels:
    """Keep the largest 4-connected piece of each label, drop pieces under 12 px, number from 1.

    >>> labels = np.zeros((4, 12), np.int32)
    >>> labels[:, :3], labels[0, 8:], labels[:, 4:7] = 5, 5, 9
    >>> tidy(labels)[0].tolist()  # the smaller piece of cell 5 is gone
    [1, 1, 1, 0, 2, 2, 2, 0, 0, 0, 0, 0]
    """
    pieces = np.asarray(connected(labels, background=0, connectivity=1), np.int64)
    sizes = np.bincount(pieces.ravel())
    owner = np.zeros(len(sizes), np.int64)
    owner[pieces.ravel()] = labels.ravel()
    order = np.lexsort((-sizes, owner))
    first = np.ones(len(order), bool)
    first[1:] = owner[order][1:] != owner[order][:-1]
    keep = np.zeros(len(sizes), bool)
    keep[order[first]] = True
    keep &= sizes >= MIN_AREA
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0).astype(np.int32)[pieces]


def drop_cells(rng: Generator, labels: Labels, share: float) -> Labels:
    """Remove a random `share` (0..1) of the cells."""
    keep = rng.random(int(labels.max(initial=0)) + 1) >= share
    return tidy(np.where(keep[labels], labels, 0).astype(np.int32))


def mostly_within(labels: Labels, region: Mask) -> Labels:
    """Keep the cells of which more than half lies in `region`.

    >>> labels = np.repeat([[1, 1, 1, 0, 2, 2, 2]], 4, axis=0).astype(np.int32)
    >>> mostly_within(labels, np.arange(7) < np.full((4, 1), 5))[0].tolist()
    [1, 1, 1, 0, 0, 0, 0]
    """
    counts = np.bincount(labels.ravel())
    inside = np.bincount(labels.ravel(), region.ravel()) > 0.5 * counts
    return tidy(np.where(inside[labels], labels, 0).astype(np.int32))


def drop_touching(labels: Labels, others: Labels) -> Labels:
    """Remove the cells of `labels` that share a pixel with a cell of `others`.

    >>> labels = np.repeat([[1, 1, 1, 0, 2, 2, 2]], 4, axis=0).astype(np.int32)
    >>> drop_touching(labels, np.eye(4, 7, dtype=np.int32))[0].tolist()
    [0, 0, 0, 0, 1, 1, 1]
    """
    keep = np.ones(int(labels.max(initial=0)) + 1, bool)
    keep[labels[others > 0]] = False
    return tidy(np.where(keep[labels], labels, 0).astype(np.int32))


def separate(labels: Labels, gap: float) -> Labels:
    """Open clefts of about `gap` px between touching cells.

    >>> labels = np.repeat(np.array([[1], [2]]), 10, axis=0).repeat(10, axis=1).astype(np.int32)
    >>> np.flatnonzero(separate(labels, 2)[:, 5] == 0).tolist()  # the cleft between the cells
    [9, 10]
    """
    if gap < 1:
        return labels
    return tidy(np.where(depth(labels) > gap / 2, labels, 0).astype(np.int32))


def nuclei_within(rng: Generator, labels: Labels, low: float, high: float) -> Labels:
    """Draw a nucleus into each cell, of `low` to `high` times its equivalent diameter; int32, ids of the cells."""
    nuclei = np.zeros_like(labels)
    inside = depth(labels)
    inside[boundaries(labels)] = 0
    outlines = [ellipse(rng, 1, rng.uniform(1, 1.5), 0.04) for _ in range(32)]
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        own = labels[box] == index
        depths = np.where(own, inside[box], 0)
        spots = np.flatnonzero(depths >= 0.8 * depths.max())
        row, column = divmod(int(rng.choice(spots)), own.shape[1])
        size = min(rng.uniform(low, high) * 2 * math.sqrt(np.count_nonzero(own) / math.pi), 2.6 * depths.max())
        outline = outlines[rng.integers(32)] * max(size, 2) + np.array([column, row], np.float32)
        canvas = np.zeros(own.shape, np.uint8)
        fill(canvas, outline, 1)
        nuclei[box][(canvas > 0) & (depths > 0)] = index
    return nuclei
