"""Crop and paste: cells cut out by their masks from real images and placed on new backgrounds.

The data extension of the project's fourth seed, which placed 20, 100 or 1,000 cells on grey and blamed its loss on
pictures fuller than the cell type ever gets. So the background is that of an image of the same source, its own cells
erased, and cells cover as much of it as they do of an image of that source, however many were asked for.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from flowmask.families.flow.targets import label_boxes
from flowmask.images.image import ArrayImage
from flowmask.labels.labels import Labels
from flowmask.tiles.normalise import levels, normalise
from train.data import MIN_CELL, PERCENTILES, SIMULATED, Prepared, made_ready

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Window = tuple[slice, slice]
LEAST_BACKGROUND = 0.3
"""Share of a background that must be free of cells, so that there is something to fill the rest with."""
HALO = 0.2
"""Width, in diameters, of the surroundings of a cell: erased with it, pasted with it and faded out over it."""
LEAST_HALO = 2.0
"""The same in px, at least."""
SHIFTS = 8
"""Displacements of the background that its texture under the erased cells is taken from."""
KEPT = 0.6
"""Share of a pasted cell that must stay to be seen, in one piece, when others are pasted over it."""
TRIES = 4
"""Positions tried for each cell that is wanted."""


@dataclass(frozen=True)
class Real:
    """A real image with what pasting asks of it."""

    image: Prepared
    coverage: float
    """Fraction of the image that cells cover."""
    halo: float
    """Width in px of a cell's surroundings."""
    cells: npt.NDArray[np.int32]
    """(n,) ids of the cells that the border does not touch."""
    boxes: npt.NDArray[np.int32]
    """(n, 4) their boxes (top, left, bottom, right; ends excluded)."""


@dataclass(frozen=True)
class Cut:
    """A cell cut out with its surroundings."""

    pixels: Array
    """(Y, X, C), less the level of the background around it."""
    mask: Mask
    fade: Array
    """(Y, X) float32: 1 in the cell, down to 0 over its surroundings, 0 where another cell lies."""


@dataclass(frozen=True)
class Placed:
    """A cut and the part of it that lies on the picture."""

    cut: Cut
    own: Window
    there: Window


def by_source(images: Sequence[Prepared]) -> dict[str, list[Real]]:
    """Return the real images of each source; simulated ones are left out."""
    sources = defaultdict(list)
    for image in images:
        if not image.source.startswith(SIMULATED):
            sources[image.source].append(_real(image))
    return dict(sources)


def _real(image: Prepared) -> Real:
    height, width = image.labels.shape
    boxes = label_boxes(image.labels, int(image.labels.max(initial=0)))
    whole = np.flatnonzero((boxes[:, :2] > 0).all(1) & (boxes[:, 2] < height) & (boxes[:, 3] < width))
    coverage = np.count_nonzero(image.labels) / image.labels.size
    return Real(image, coverage, halo_width(image), (whole + 1).astype(np.int32), boxes[whole])


def halo_width(image: Prepared) -> float:
    """Return the width in px of the surroundings of a cell."""
    return max(LEAST_HALO, HALO * image.diameter)


def pasted(background: Prepared, same: Sequence[Real], span: float, cells: int, rng: np.random.Generator) -> Prepared:
    """Return a new image: a window of the background with cells of one image of ``same``, the images of its source.

    The window is at most ``span`` diameters of these cells wide and gets about so many ``cells``, or fewer, so that it
    is no fuller than the fullest of ``same``; 0: as full as any one of them. Each cell is turned by a multiple of 90
    degrees, mirrored or not, and shifted in level by what the backgrounds differ; nothing is interpolated. The result
    is normalised and its flows are computed as for any other image; while another thread validates that takes one of
    Numba's thread-safe layers, OpenMP or TBB. Where no image has a whole cell, or the background is hidden by its own
    cells, ``background`` comes back. All depends on the arguments and the state of ``rng`` alone.
    """
    donors = [real for real in same if len(real.cells)]
    if not donors:
        return background
    donor, like = donors[int(rng.integers(len(donors)))], same[int(rng.integers(len(same)))]
    window = _window(background.labels.shape, math.ceil(span * donor.image.diameter), rng)
    around = background.image[window].astype(np.float32)
    empty = without_cells(around, background.labels[window], halo_width(background), rng)
    if empty is None:
        return background
    coverage = like.coverage
    if cells:
        coverage = min(cells * _area(donor) / empty[..., 0].size, max(real.coverage for real in same))
    labels, placed = arrange(empty.shape[:2], donor, coverage, rng)
    picture = np.ascontiguousarray(compose(empty, labels, placed).transpose(2, 0, 1))
    plan = tuple((channel,) for channel in range(len(picture)))
    return made_ready(normalise(picture, levels(ArrayImage(picture), plan, PERCENTILES)), labels, background.source)


def _area(donor: Real) -> float:
    return np.pi / 4 * donor.image.diameter**2


def without_cells(image: Array, labels: Labels, halo: float, rng: np.random.Generator) -> Array | None:
    """Return the image (Y, X, C) with its cells and ``halo`` px around them filled in; None where little else is left.

    The fill is the mean of the background nearby and, for its texture, what the background elsewhere, at a few random
    displacements of the whole image, differs from its own mean.
    """
    reach = 2 * math.ceil(halo) + 1
    hidden = cv2.dilate((labels > 0).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    known = ~hidden
    if known.mean() < LEAST_BACKGROUND:
        return None
    mean = _mean_nearby(image, known, 4 * reach)
    filled = np.where(known[..., None], image, mean)
    texture = image - mean
    here = np.nonzero(hidden)
    for _ in range(SHIFTS):
        there = tuple((at + rng.integers(length)) % length for at, length in zip(here, labels.shape, strict=True))
        found = known[there]
        filled[here[0][found], here[1][found]] += texture[there[0][found], there[1][found]]
        here = (here[0][~found], here[1][~found])
    return filled


def _mean_nearby(image: Array, known: Mask, reach: int) -> Array:
    """Return the mean of the known pixels of (Y, X, C) about ``reach`` px around each, of all where there is none."""
    size = (2 * reach + 1, 2 * reach + 1)
    weight = known.astype(np.float32)[..., None]
    faint = np.float32(1e-3)
    total = faint * image[known].mean(axis=0) + cv2.blur(cv2.blur(image * weight, size), size).reshape(image.shape)
    mean: Array = total / (faint + cv2.blur(cv2.blur(weight, size), size).reshape(weight.shape))
    return mean


def cut_out(donor: Real, index: int) -> Cut:
    """Cut out a cell of the donor: the one of this place in its ``cells``."""
    image, number, box = donor.image, donor.cells[index], donor.boxes[index]
    margin = math.ceil(2 * donor.halo)
    top, left = np.maximum(box[:2] - margin, 0)
    region = np.s_[top : box[2] + margin, left : box[3] + margin]
    labels, pixels = image.labels[region], image.image[region].astype(np.float32)
    mask, outside = labels == number, labels == 0
    level = np.median(pixels[outside if outside.any() else ~mask], axis=0)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    fade = np.where(mask | outside, np.maximum(0, 1 - distance / np.float32(donor.halo)), 0)
    return Cut(pixels - level, mask, fade)


def turned(cut: Cut, rng: np.random.Generator) -> Cut:
    """Turn a cut by a random multiple of 90 degrees and mirror it or not."""
    turns, step = int(rng.integers(4)), int(rng.choice((1, -1)))
    return Cut(*(np.rot90(part, turns)[:, ::step] for part in (cut.pixels, cut.mask, cut.fade)))


def arrange(
    shape: tuple[int, int], donor: Real, coverage: float, rng: np.random.Generator
) -> tuple[Labels, list[Placed]]:
    """Place cells of the donor at random until they cover the fraction ``coverage``, or hardly any fits.

    Returns the labels (Y, X) int32 and the cells in the order of their ids. Later cells lie on top. A position is
    refused where less than `MIN_CELL` px of a cell would be seen, or where one below would not keep the share `KEPT` of
    its own in one piece; other pieces of it become background. So every label is 4-connected.
    """
    labels = np.zeros(shape, np.int32)
    placed: list[Placed] = []
    seen: list[int] = []
    wanted, area = coverage * labels.size, _area(donor)
    for _ in range(TRIES * math.ceil(wanted / area)):
        if np.count_nonzero(labels) > wanted - area / 2:
            break
        cut = turned(cut_out(donor, int(rng.integers(len(donor.cells)))), rng)
        one = _somewhere(cut, shape, rng)
        if _press(one, labels, placed, seen):
            placed.append(one)
    return labels, placed


def _somewhere(cut: Cut, shape: tuple[int, int], rng: np.random.Generator) -> Placed:
    """Return the cut with its middle anywhere in the picture."""
    own, there = [], []
    for size, length in zip(cut.mask.shape, shape, strict=True):
        start = int(rng.integers(length)) - size // 2
        first, last = max(start, 0), min(start + size, length)
        own.append(slice(first - start, last - start))
        there.append(slice(first, last))
    return Placed(cut, (own[0], own[1]), (there[0], there[1]))


def _press(one: Placed, labels: Labels, placed: Sequence[Placed], seen: list[int]) -> bool:
    """Paint a cell over the labels, in place, and note how many px of it are seen; False where it is refused."""
    mask = largest_piece(one.cut.mask[one.own])
    if np.count_nonzero(mask) < MIN_CELL:
        return False
    over = np.zeros(labels.shape, np.bool_)
    over[one.there] = mask
    left: dict[int, Mask] = {}
    for cell in np.unique(labels[over & (labels > 0)]).tolist():
        there = placed[cell - 1].there
        left[cell] = largest_piece((labels[there] == cell) & ~over[there])
        if np.count_nonzero(left[cell]) < max(MIN_CELL, KEPT * seen[cell - 1]):
            return False
    for cell, piece in left.items():
        region = labels[placed[cell - 1].there]
        region[(region == cell) & ~piece] = 0
    labels[over] = len(placed) + 1
    seen.append(int(np.count_nonzero(mask)))
    return True


def largest_piece(mask: Mask) -> Mask:
    """Return the largest 4-connected piece of a mask (Y, X)."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    piece: Mask = pieces == 1 + int(np.argmax(sizes)) if len(sizes) else mask
    return piece


def compose(empty: Array, labels: Labels, placed: Sequence[Placed]) -> Array:
    """Return the picture (Y, X, C): the background and, on every label, the pixels of its cell.

    The surroundings of a cell fade into the background around it; on a label no other cell is seen.
    """
    picture = empty.copy()
    for number, one in enumerate(placed, 1):
        here = labels[one.there]
        weight = np.where(here == number, 1, one.cut.fade[one.own] * (here == 0))[..., None]
        level = np.median(empty[one.there], axis=(0, 1))
        picture[one.there] += weight * (one.cut.pixels[one.own] + level - picture[one.there])
    return picture


def _window(shape: tuple[int, ...], side: int, rng: np.random.Generator) -> Window:
    spans = [min(side, length) for length in shape]
    starts = [int(rng.integers(length - span + 1)) for length, span in zip(shape, spans, strict=True)]
    return slice(starts[0], starts[0] + spans[0]), slice(starts[1], starts[1] + spans[1])
