"""Blood and bone marrow smears at high magnification: white cells of all kinds, and red cells, all labelled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from train.simulate import fields, layers, placement, shapes, stained
from train.simulate.fields import Image, Labels, Shape
from train.simulate.fluorescence import Scene
from train.simulate.shapes import Outline

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Kind:
    """A kind of white cell: the shape of its nucleus, the colour of its cytoplasm and the weight of its granules.

    size: its diameter over that of a typical white cell. cytoplasm, granule: optical density (RGB).
    """

    nucleus: str
    size: float
    cytoplasm: Colour
    grains: float
    granule: Colour


_KINDS = (
    Kind("lobes", 1.05, (0.18, 0.32, 0.14), 0.35, (0.30, 0.50, 0.20)),
    Kind("large", 0.80, (0.55, 0.38, 0.12), 0.0, (0.50, 0.70, 0.20)),
    Kind("kidney", 1.25, (0.50, 0.45, 0.20), 0.1, (0.50, 0.60, 0.20)),
    Kind("two", 1.05, (0.12, 0.35, 0.28), 1.2, (0.10, 0.65, 0.60)),
    Kind("blast", 1.20, (0.75, 0.55, 0.15), 0.1, (0.60, 0.90, 0.30)),
    Kind("side", 1.10, (0.85, 0.60, 0.18), 0.0, (0.50, 0.70, 0.20)),
    Kind("band", 1.10, (0.25, 0.35, 0.15), 0.5, (0.40, 0.60, 0.20)),
    Kind("lobes", 1.00, (0.30, 0.40, 0.15), 1.6, (0.90, 1.10, 0.40)),
)
"""Neutrophil, lymphocyte, monocyte, eosinophil, blast, plasma cell, band or myelocyte, basophil."""
_BLOOD = (0.45, 0.25, 0.1, 0.06, 0.04, 0.02, 0.05, 0.03)
_MARROW = (0.2, 0.12, 0.08, 0.06, 0.22, 0.08, 0.22, 0.02)
_LEUKAEMIA = (0.05, 0.15, 0.05, 0, 0.7, 0, 0.05, 0)


def _arc(rng: Generator, turn: float, count: int) -> Outline:
    """`count` points (count, 2) on an arc of `turn` radians about the middle of a cell of diameter 1."""
    angles = rng.uniform(0, 2 * math.pi) + np.linspace(0, turn, count) + rng.normal(0, 0.08, count)
    return (rng.uniform(0.19, 0.25) * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32)


def _lobes(rng: Generator, count: int) -> list[Outline]:
    """Lobes on an arc and the thin strand of chromatin that joins them."""
    middles = _arc(rng, rng.uniform(1.25, 1.6) * (count - 1), count)
    size = 0.52 / math.sqrt(count)
    lobes = [shapes.ellipse(rng, size * rng.uniform(0.85, 1.15), rng.uniform(1, 1.4), 0.06) + m for m in middles]
    return [*lobes, shapes.thicken(middles.astype(np.float64), 0.06)]


def _nucleus(rng: Generator, kind: str) -> list[Outline]:
    """Outlines that together make the nucleus of a cell of diameter 1 about the origin."""
    if kind == "lobes":
        return _lobes(rng, int(rng.integers(2, 6)))
    if kind == "two":
        return _lobes(rng, 2)
    if kind in ("kidney", "band"):
        thick = rng.uniform(0.36, 0.5) if kind == "kidney" else rng.uniform(0.22, 0.34)
        return [shapes.thicken(_arc(rng, rng.uniform(1.6, 3.4), 9).astype(np.float64), thick)]
    size, aside = {"large": (0.84, 0.05), "blast": (0.8, 0.06), "side": (0.52, 0.2)}[kind]
    angle = rng.uniform(0, 2 * math.pi)
    middle = np.array([math.cos(angle), math.sin(angle)], np.float32) * np.float32(aside)
    return [shapes.ellipse(rng, size * rng.uniform(0.9, 1.06), rng.uniform(1, 1.2), 0.04) + middle]


def _nuclei(rng: Generator, labels: Labels, kinds: list[Kind]) -> Labels:
    """Nuclei of the cells (Y, X), with the cells' numbers; `kinds[n - 1]` is the kind of cell n.

    A cell cut by the border of the picture gets the nucleus of a cell as large as what is left of it.
    """
    nuclei = np.zeros_like(labels)
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        own = labels[box] == index
        size = 2 * math.sqrt(np.count_nonzero(own) / math.pi)
        middle = np.argwhere(own).mean(0)[::-1].astype(np.float32)
        canvas = np.zeros(own.shape, np.uint8)
        for outline in _nucleus(rng, kinds[index - 1].nucleus):
            shapes.fill(canvas, outline * np.float32(size) + middle, 1)
        nuclei[box][(canvas > 0) & own] = index
    return nuclei


def _white(rng: Generator, shape: Shape, size: float, coverage: float, odds: tuple[float, ...]) -> Labels:
    """White cells (Y, X) of the sizes of their kinds, which are drawn with `odds`."""
    spread, roughness = rng.uniform(0.04, 0.12), rng.choice([0.015, 0.04])

    def draw() -> list[Outline]:
        wide = size * _KINDS[rng.choice(len(_KINDS), p=odds)].size * rng.lognormal(0, spread)
        return [shapes.ellipse(rng, wide, rng.uniform(1, 1.25), roughness)]

    crowd = placement.Crowd(coverage, rng.uniform(0, 0.9))
    return placement.place(rng, shape, placement.stamp_bank(draw, shape, size), crowd, 0.06)


def _kinds(rng: Generator, white: Labels, odds: tuple[float, ...]) -> NDArray[np.int64]:
    """Return an index into _KINDS by the number of a cell, 0 for the background; large kinds go to large cells."""
    areas = np.bincount(white.ravel())[1:]
    drawn = rng.choice(len(_KINDS), len(areas), p=odds)
    sizes = np.array([_KINDS[kind].size for kind in drawn])
    found = np.zeros(len(areas) + 1, np.int64)
    found[1 + np.argsort(areas, kind="stable")] = drawn[np.argsort(sizes, kind="stable")]
    return found


def _red(rng: Generator, white: Labels, size: float, coverage: float) -> Labels:
    """Red cells (Y, X) beside the white ones; the larger part of each is visible."""
    aspect, roughness = rng.uniform(1.05, 1.5), rng.choice([0.01, 0.04])

    def draw() -> list[Outline]:
        return [shapes.ellipse(rng, size * rng.lognormal(0, 0.08), rng.uniform(1, aspect), roughness)]

    shape = (white.shape[0], white.shape[1])
    bank = placement.stamp_bank(draw, shape, size)
    cells = placement.place(rng, shape, bank, placement.Crowd(coverage, rng.uniform(0, 0.8)), rng.uniform(0.02, 0.1))
    return placement.tidy(np.where(white > 0, 0, layers.seen(white, cells, 0.75)).astype(np.int32))


def _haemoglobin(rng: Generator, red: Labels, size: float) -> Image:
    """Density (Y, X) of red cells, with a pale middle in most images."""
    relative = fields.depth(red) / np.float32(0.5 * size)
    pale = rng.choice([0, rng.uniform(0.2, 0.9)], p=[0.3, 0.7])
    start = rng.uniform(0.25, 0.5)
    profile = np.minimum(relative * 6, 1) * (1 - pale * np.clip((relative - start) * 2.5, 0, 1))
    return fields.blur(np.asarray(fields.per_cell(rng, red, 0.1) * profile, np.float32), 0.015 * size + 0.5)


Stains = list[tuple[Image, Colour]]


def _bodies(rng: Generator, labels: Labels, which: NDArray[np.int64], nuclei: Labels, size: float) -> Stains:
    """Stains of the cytoplasm and granules of each kind of white cell; `which` (Y, X) is the kind."""
    shape = (labels.shape[0], labels.shape[1])
    solid = fields.blur((labels > 0).astype(np.float32), 0.6)
    cloud = np.clip(1 + rng.uniform(0.05, 0.2) * fields.fractal_noise(rng, shape, 0.15 * size + 2), 0.3, 2)
    near = fields.blur((nuclei > 0).astype(np.float32), 0.05 * size + 0.5)
    bubbles = fields.spots(rng, labels > 0, rng.choice([0, 12]) / size**2, 0.025 * size + 0.4)
    edge = rng.uniform(0, 0.5) * np.exp(-((fields.depth(labels) / np.float32(1 + 0.03 * size)) ** 2))
    body = solid * (cloud + edge) * (1 - rng.uniform(0, 0.4) * near) * (1 - 0.5 * np.minimum(bubbles, 1))
    body *= np.float32(rng.uniform(0.5, 1.2)) * np.maximum(fields.per_cell(rng, labels, 0.2), labels == 0)
    grains = fields.spots(rng, labels > 0, rng.uniform(150, 400) / size**2, 0.45 + 0.012 * size) * solid
    stains: Stains = []
    for index in np.unique(which[labels > 0]):
        kind, own = _KINDS[int(index)], fields.blur((which == index).astype(np.float32), 0.5)
        stains.append(((body * own).astype(np.float32), stained.jittered(rng, kind.cytoplasm, 0.15)))
        if kind.grains:
            stains.append(((np.float32(kind.grains) * grains * own).astype(np.float32), kind.granule))
    return stains


def _chromatin(rng: Generator, nuclei: Labels, which: NDArray[np.int64], size: float) -> Image:
    """Density (Y, X) of nuclei: clumps, and pale nucleoli in blasts."""
    shape = (nuclei.shape[0], nuclei.shape[1])
    clumps = 1 + rng.uniform(0.1, 0.3) * fields.fractal_noise(rng, shape, max(1.5, 0.12 * size))
    blast = np.array([kind.nucleus == "blast" for kind in _KINDS])[which]
    pale = fields.spots(rng, (nuclei > 0) & blast, 6 / size**2, 0.05 * size)
    density = clumps * (1 - 0.25 * blast) - 0.35 * np.minimum(pale, 1)
    density *= np.maximum(fields.per_cell(rng, nuclei, 0.12), nuclei == 0)
    return np.asarray(fields.blur((nuclei > 0).astype(np.float32), 0.6) * np.clip(density, 0.3, 2), np.float32)


def _ground(rng: Generator, shape: Shape, free: Image, size: float) -> Stains:
    """Tint of the whole picture, clouds of stained plasma, and platelets, which are not labelled."""
    plasma = np.clip(1 + 0.4 * fields.smooth_noise(rng, shape, 3 * size), 0, 3)
    tint: Colour = ((0.02, 0.08, 0.35), (0.10, 0.14, 0.02), (0.05, 0.15, 0.08), (0.12, 0.06, 0.04))[rng.integers(4)]
    platelets = fields.spots(rng, free > 0, rng.choice([0, 0.15]) / size**2, 0.05 * size) * free
    return [
        (np.full(shape, rng.choice([0, rng.uniform(0.3, 1.5)]), np.float32), tint),
        ((rng.choice([0, rng.uniform(0.05, 0.3)]) * plasma).astype(np.float32), stained.jittered(rng, tint, 0.3)),
        (np.minimum(platelets, 1.2).astype(np.float32), (0.40, 0.60, 0.20)),
    ]


def white_cells(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Giemsa or Wright smear at high magnification; white cells, each with all its lobes, and red cells are labelled.

    In blood most cells are red and `diameter` is theirs; in marrow and leukaemia it is that of the white cells.
    """
    blood = rng.random() < 0.55
    odds = _BLOOD if blood else (_MARROW, _LEUKAEMIA)[rng.integers(2)]
    ratio = rng.uniform(1.3, 2.1)
    size, red_size = (ratio * diameter, diameter) if blood else (diameter, diameter / ratio)
    few = min(rng.integers(1, 7) * size**2 / (shape[0] * shape[1]), 0.4)
    white = _white(rng, shape, size, few if blood else rng.uniform(0.1, 0.6), odds)
    red = _red(rng, white, red_size, rng.uniform(0.1, 0.65))
    if blood:
        white = layers.at_most(rng, white, max(1, int(red.max(initial=0)) // 3))
    else:
        red = layers.at_most(rng, red, int(white.max(initial=0) * rng.choice([0, 0.5])))
    kinds = _kinds(rng, white, odds)
    which = kinds[white]
    nuclei = _nuclei(rng, white, [_KINDS[kind] for kind in kinds[1:]])
    shared = np.exp(rng.normal(0, 0.15, 3))
    stains = _bodies(rng, white, which, nuclei, size)
    core = _chromatin(rng, nuclei, which, size) * np.float32(rng.uniform(0.8, 1.5))
    stains.append((core, stained.jittered(rng, (0.75, 1.05, 0.32), 0.12)))
    haemoglobin = _haemoglobin(rng, red, red_size) * np.float32(rng.uniform(0.25, 0.8))
    hue: Colour = ((0.12, 0.55, 0.45), (0.25, 0.45, 0.25), (0.35, 0.40, 0.30))[rng.choice(3, p=[0.6, 0.25, 0.15])]
    stains.append((haemoglobin, stained.jittered(rng, hue, 0.2)))
    everything = layers.in_front(white, red)
    stains += _ground(rng, shape, fields.blur((everything == 0).astype(np.float32), 0.6), size)
    cast = [
        (amount, (float(r * shared[0]), float(g * shared[1]), float(b * shared[2]))) for amount, (r, g, b) in stains
    ]
    return stained.photograph(rng, cast), everything
