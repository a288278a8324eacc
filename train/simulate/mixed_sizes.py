"""Two populations of clearly different size in one picture, all of them labelled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate import fields, fluorescence, layers, optics, placement, shapes, transmitted
from train.simulate.fields import Image, Labels, Shape
from train.simulate.fluorescence import Scene
from train.simulate.shapes import Outline

RATIOS = (2.0, 4.0)
"""Least and greatest ratio of the two median diameters."""
_FEWER = 0.5
"""The rarer population has at most this share of the number of the other, so that the median size is the other's."""


@dataclass(frozen=True)
class Pair:
    """Labels (Y, X) of large and small cells, which share no pixel, and their median diameters in px."""

    large: Labels
    small: Labels
    diameters: tuple[float, float]

    def each(self, make: Callable[[Labels, float], Image]) -> Image:
        """Return (Y, X): what `make` gives for the large cells, and for the small ones where these lie."""
        large, small = (
            make(labels, size) for labels, size in zip((self.large, self.small), self.diameters, strict=True)
        )
        return np.where(self.small > 0, small, large)


def _round(rng: Generator, size: float) -> list[Outline]:
    return [shapes.ellipse(rng, size, rng.uniform(1, 1.35), 0.03)]


def _uneven(rng: Generator, size: float) -> list[Outline]:
    return [shapes.ellipse(rng, size, rng.uniform(1, 1.6), 0.1)]


def _spread(rng: Generator, size: float) -> list[Outline]:
    return [shapes.spread(rng, size, 3)]


def _branched(rng: Generator, size: float) -> list[Outline]:
    return [shapes.with_processes(rng, size, int(rng.integers(2, 5)), rng.uniform(0, 0.5))]


def _rods(rng: Generator, size: float) -> list[Outline]:
    return shapes.rod_chain(rng, size, rng.uniform(2, 4), 0.1, int(rng.integers(1, 3)))


_Draw = Callable[[Generator, float], list[Outline]]

_KINDS: tuple[tuple[_Draw, _Draw], ...] = (
    (_round, _round),
    (_uneven, _round),
    (_spread, _round),
    (_branched, _round),
    (shapes.budding, _rods),
)
"""Outlines of large and small cells: nuclei or blood cells, macrophages and lymphocytes, neurons and glia, yeast and
bacteria."""


def _population(rng: Generator, shape: Shape, size: float, outline: _Draw, fullest: float) -> Labels:
    spread = rng.uniform(0.05, 0.2)
    bank = placement.stamp_bank(lambda: outline(rng, size * rng.lognormal(0, spread)), shape, size)
    crowd = placement.Crowd(rng.uniform(0.1, fullest), rng.uniform(0, 0.9))
    return placement.place(rng, shape, bank, crowd, rng.uniform(0.02, 0.1))


def _pair(rng: Generator, shape: Shape, diameter: float) -> Pair:
    """Place both populations; `diameter` is the median of the more numerous one, be it the large or the small."""
    ratio = math.exp(rng.uniform(*np.log(RATIOS)))
    large_rare = rng.random() < 0.5 or diameter / ratio < 5
    sizes = (diameter * ratio, diameter) if large_rare else (diameter, diameter / ratio)
    kinds = _KINDS[rng.integers(len(_KINDS))]
    large = _population(rng, shape, sizes[0], kinds[0], 0.5)
    small = _population(rng, shape, sizes[1], kinds[1], 0.7)
    if large_rare:
        large = layers.at_most(rng, large, max(1, int(_FEWER * small.max(initial=0) / 2)))
    small = layers.seen(large, small, 0.75)
    small = placement.tidy(np.where(large > 0, 0, small).astype(np.int32))
    if not large_rare:
        small = layers.at_most(rng, small, int(_FEWER * large.max(initial=0)))
    return Pair(large, small, sizes)


def _unequal(rng: Generator, pair: Pair) -> Image:
    """(Y, X) factors of brightness: in half of the images one population, either of them, is dim."""
    dim = rng.uniform(0.25, 0.6) if rng.random() < 0.5 else 1.0
    large, small = (dim, 1.0) if rng.random() < 0.5 else (1.0, dim)
    return np.asarray(large * (pair.large > 0) + small * (pair.small > 0), np.float32)


def _fluorescence(rng: Generator, pair: Pair) -> NDArray[np.uint8]:
    """Grey dye of nuclei or whole cells, or whole cells with nuclei of another colour."""
    both = pair.each(lambda labels, size: fluorescence.nuclear_dye(rng, labels, size)) * _unequal(rng, pair)
    psf, haze, reach = rng.uniform(0.5, 1.2), rng.uniform(0, 0.35), 0.7 * pair.diameters[0]
    lit = optics.widefield(rng, both, psf, haze, reach)
    if rng.random() < 0.6:
        return optics.record_dark(rng, lit)
    large, small = (placement.nuclei_within(rng, labels, 0.35, 0.7) for labels in (pair.large, pair.small))
    nuclei = Pair(large, small, pair.diameters)
    core = nuclei.each(lambda labels, size: fluorescence.nuclear_dye(rng, labels, 0.5 * size))
    hollow = lit * (1 - rng.uniform(0, 0.7) * fields.blur((core > 0).astype(np.float32), 0.8))
    glow = optics.widefield(rng, core, psf, haze, reach)
    return optics.record_dark(rng, np.stack(list(rng.permutation([hollow, glow, 0 * lit])), -1))


def _path(rng: Generator, pair: Pair) -> Image:
    """Optical path of both populations, about 1 at the top of a cell, with what each cell holds."""
    large, small = pair.diameters
    flats = {large: (rng.uniform(0.4, 0.9), math.sqrt(large / small)), small: (rng.uniform(0, 0.9), 1.0)}

    def height(labels: Labels, size: float) -> Image:
        flat, thick = flats[size]
        shaped = thick * fields.dome(labels, flat) * fields.per_cell(rng, labels, 0.2)
        return np.asarray(shaped * transmitted.organelles(rng, labels, size), np.float32)

    both = pair.each(height) * (0.4 + 0.6 * _unequal(rng, pair))
    return both + transmitted.debris(rng, pair.large + pair.small, small)


def mixed_sizes(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Large and small cells in fluorescence, phase contrast or bright field; `diameter` is of the more numerous."""
    pair = _pair(rng, shape, diameter)
    labels = layers.in_front(pair.small, pair.large)
    if rng.random() < 0.5:
        return _fluorescence(rng, pair), labels
    path = fields.blur(_path(rng, pair), rng.uniform(0.4, 0.8))
    if rng.random() < 0.5:
        halo = rng.uniform(1.5, 4) + rng.uniform(0.05, 0.15) * pair.diameters[1]
        image = optics.phase_contrast(rng.uniform(0.6, 2) * path, halo, rng.uniform(0.35, 0.7), rng.uniform(0.3, 0.8))
    else:
        path = np.asarray(rng.uniform(0.8, 2.5) * path, np.float32)
        fresnel = rng.uniform(1.8, 3) + 0.03 * pair.diameters[1]
        absorption = np.float32(rng.uniform(0, 0.1)) * path
        image = optics.bright_field(path, absorption, fresnel, int(rng.choice([-1, 1])), rng.uniform(0.5, 1.2))
    return optics.record_bright(rng, image), labels
