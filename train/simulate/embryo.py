"""Nuclei of embryos, organoids and spheroids: they overlap and blur, as they lie at many depths."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from train.simulate import fields, fluorescence, layers, optics, placement, shapes, traced
from train.simulate.fields import Image, Labels, Mask, Shape
from train.simulate.fluorescence import Scene


def _layer(rng: Generator, tissue: Mask, diameter: float, coverage: float) -> Labels:
    """Nuclei of one depth, those in the tissue only."""
    aspect, spread = rng.uniform(1.1, 1.9), rng.uniform(0.08, 0.25)

    def draw() -> list[shapes.Outline]:
        size = diameter * rng.lognormal(0, spread)
        if rng.random() < traced.SHARE:
            return [traced.outline(rng, "nuclei", size)]
        return [shapes.ellipse(rng, size, rng.uniform(1, aspect), 0.03)]

    shape = (tissue.shape[0], tissue.shape[1])
    bank = placement.stamp_bank(draw, shape, diameter)
    labels = placement.place(rng, shape, bank, placement.Crowd(coverage, 0.4), rng.uniform(0.02, 0.15))
    return placement.drop_touching(labels, np.asarray(~tissue, np.int32))


def _tissue(rng: Generator, shape: Shape, diameter: float) -> Mask:
    """All of the plane, or one to three round masses."""
    if rng.random() < 0.4:
        return np.ones(shape, bool)
    tissue = np.zeros(shape, np.uint8)
    for _ in range(rng.integers(1, 4)):
        size = max(rng.uniform(0.4, 0.9) * min(shape), 3 * diameter)
        centre = rng.uniform((0.2 * shape[1], 0.2 * shape[0]), (0.8 * shape[1], 0.8 * shape[0])).astype(np.float32)
        shapes.fill(tissue, shapes.ellipse(rng, size, rng.uniform(1, 1.6), 0.08) + centre, 1)
    return np.asarray(tissue > 0)


def embryo_nuclei(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Two labelled layers of nuclei, one of them a little out of focus, over far ones that are haze and not labelled.

    Light of the layers adds up, so that overlapping nuclei are brighter where they cross.
    """
    tissue = _tissue(rng, shape, diameter)
    near = _layer(rng, tissue, diameter, rng.uniform(0.15, 0.5))
    behind = _layer(rng, tissue, diameter, rng.uniform(0.05, 0.3))
    far = _layer(rng, tissue, 1.1 * diameter, rng.uniform(0.1, 0.5))
    soft = rng.uniform(0.02, 0.06) * diameter
    dye: Image = fields.blur(fluorescence.nuclear_dye(rng, near, diameter), soft)
    dye += rng.uniform(0.4, 0.9) * fields.blur(fluorescence.nuclear_dye(rng, behind, diameter), 1.8 * soft)
    reach = rng.uniform(0.2, 0.5) * diameter
    dye += rng.uniform(0, 0.5) * fields.blur(fluorescence.nuclear_dye(rng, far, diameter), reach)
    dye += rng.uniform(0, 0.15) * fields.blur(tissue.astype(np.float32), 0.5 * diameter)
    image = optics.widefield(rng, dye, rng.uniform(0.5, 1.2), rng.uniform(0.1, 0.5), math.sqrt(diameter) * 3)
    return optics.record_dark(rng, image), layers.in_front(near, layers.seen(near, behind, 0.5))
