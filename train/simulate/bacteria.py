"""Rod-shaped and filamentous bacteria in phase contrast, bright field or fluorescence."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate import fields, optics, placement, shapes
from train.simulate.fields import Image, Labels, Shape
from train.simulate.fluorescence import Scene


def fluorescent(rng: Generator, labels: Labels, width: float) -> NDArray[np.uint8]:
    """Record bacteria `width` px wide that are dyed throughout, in the wall or both."""
    body = fields.dome(labels, rng.uniform(0, 1))
    wall = np.exp(-((fields.depth(labels) / np.float32(0.6 + 0.1 * width)) ** 2)) * (labels > 0)
    grain = fields.smooth_noise(rng, (labels.shape[0], labels.shape[1]), max(1.5, 0.6 * width))
    dye = rng.choice([0.1, 1]) * body + rng.uniform(0, 1) * wall
    dye = fields.per_cell(rng, labels, rng.uniform(0.1, 0.5)) * dye * np.maximum(1 + rng.uniform(0, 0.4) * grain, 0.1)
    psf = rng.uniform(0.5, 0.9) + 0.04 * width
    return optics.record_dark(rng, optics.widefield(rng, dye.astype(np.float32), psf, rng.uniform(0, 0.4), 2 * width))


def transmitted(rng: Generator, labels: Labels, width: float, around: Image | float = 0.0) -> NDArray[np.uint8]:
    """Record bacteria `width` px wide in phase contrast or bright field; `around`: optical path of what holds them."""
    shape = (labels.shape[0], labels.shape[1])
    grain = fields.smooth_noise(rng, shape, max(1.5, 0.7 * width))
    height = fields.dome(labels, rng.uniform(0, 0.5)) * fields.per_cell(rng, labels, 0.15) * (1 + 0.1 * grain)
    debris = rng.choice([0, 0.3]) * fields.spots(rng, labels == 0, 0.2 / width**2 / 10, 1.2)
    path = (height + debris + 0.02 * fields.fractal_noise(rng, shape, 20)).astype(np.float32)
    path += around
    if rng.random() < 0.7:
        halo = rng.uniform(0.6, 1.5) * width + 1.5
        image = optics.phase_contrast(rng.uniform(0.5, 1.6) * path, halo, rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.9))
    else:
        fresnel, sign = rng.uniform(1.5, 2.5) + 0.1 * width, int(rng.choice([-1, 1]))
        image = optics.bright_field(rng.uniform(0.5, 1.5) * path, 0.2 * path, fresnel, sign, 0.7)
    return optics.record_bright(rng, image)


def _bacteria(rng: Generator, shape: Shape, diameter: float, aspect: float, bend: float, links: float) -> Scene:
    """Chains of rods: `aspect` length over width, `bend` radians of turn, `links` mean number of cells added."""
    spread = rng.uniform(0.05, 0.25)

    def draw() -> list[shapes.Outline]:
        longer = max(aspect * rng.lognormal(0, spread), 1.4)
        size = diameter * (longer / aspect) ** 0.5
        return shapes.rod_chain(rng, size, longer, bend, 1 + int(rng.poisson(links)))

    bank = placement.stamp_bank(draw, shape, diameter)
    crowd = placement.draw_crowd(rng, shape, diameter, 0.7)
    labels = placement.place(rng, shape, bank, crowd, min(rng.uniform(0.01, 0.08), 0.2 / aspect))
    width = diameter / aspect**0.5
    see = transmitted if rng.random() < 0.65 else fluorescent
    return see(rng, labels, width), labels


def rods(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Dense straight or curved rods, many end to end in chains."""
    thinnest = max(2.0, min(6.0, (diameter / 4) ** 2))
    aspect = rng.uniform(2, max(thinnest, 2.1))
    return _bacteria(rng, shape, diameter, aspect, rng.choice([0.1, 0.4, 1.2]), rng.choice([0, 0.7, 2]))


def filaments(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Long curved filaments, at least 3.5 px wide."""
    longest = min(65.0, (diameter / 3.9) ** 2)
    aspect = longest ** rng.uniform(0.7, 1)
    return _bacteria(rng, shape, diameter, aspect, rng.choice([0.5, 1.5, 3]), 0)
