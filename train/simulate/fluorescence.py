"""Fluorescence scenes: nuclei, whole cells with a nuclear channel, and tissue with stained membranes."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate import fields, floating_cells, optics, placement, populations, shapes, traced
from train.simulate.fields import Image, Labels, Shape

Scene = tuple[NDArray[np.uint8], Labels]

_COLOURS = {
    "green cytoplasm, blue nucleus": ((0, 1, 0), (0, 0, 1)),
    "red cytoplasm, blue nucleus": ((1, 0, 0), (0, 0, 1)),
    "red cytoplasm, green nucleus": ((1, 0, 0), (0, 1, 0)),
    "green cytoplasm, red nucleus": ((0, 1, 0), (1, 0, 0)),
    "yellow cytoplasm, blue nucleus": ((1, 0.8, 0), (0, 0.1, 1)),
    "magenta cytoplasm, green nucleus": ((1, 0, 1), (0, 1, 0)),
    "cyan cytoplasm, red nucleus": ((0, 0.9, 1), (1, 0, 0)),
    "white cytoplasm, blue nucleus": ((0.7, 0.7, 0.7), (0, 0.1, 1)),
    "grey cytoplasm": ((1, 1, 1), (0, 0, 0)),
}
_COLOUR_ODDS = (0.35, 0.1, 0.1, 0.1, 0.08, 0.06, 0.06, 0.05, 0.1)


def nuclear_dye(rng: Generator, labels: Labels, diameter: float) -> Image:
    """DNA stain: cells of unequal brightness, chromatin texture, dark nucleoli, a few condensed bright ones."""
    shape = (labels.shape[0], labels.shape[1])
    dye = fields.per_cell(rng, labels, rng.uniform(0.1, 0.6))
    dye *= (1 - rng.uniform(0, 0.8)) + rng.uniform(0.2, 0.8) * fields.dome(labels, rng.uniform(0, 1))
    texture = rng.uniform(0, 0.35) * fields.fractal_noise(rng, shape, max(2.0, rng.uniform(0.1, 0.3) * diameter))
    nucleoli = fields.spots(rng, labels > 0, 4 / diameter**2, 0.06 * diameter)
    return np.asarray(dye * np.clip(1 + texture - rng.uniform(-0.6, 0.6) * np.minimum(nucleoli, 1), 0.1, 3), np.float32)


def _some_dim(rng: Generator, labels: Labels) -> Image:
    """(Y, X) factors: 1 or, in a quarter of the images, 0.1 to 0.35 in 20 to 80 % of the cells."""
    factors = np.ones(int(labels.max(initial=0)) + 1, np.float32)
    if rng.random() < 0.25:
        factors[rng.random(len(factors)) < rng.uniform(0.2, 0.8)] = rng.uniform(0.1, 0.35)
    everywhere: Image = factors[labels]
    return everywhere


def _place_nuclei(rng: Generator, shape: Shape, diameter: float, crowd: placement.Crowd) -> Labels:
    spread, roughness = rng.uniform(0.1, 0.35), rng.choice([0.02, 0.04, 0.1])

    def draw() -> list[shapes.Outline]:
        size = diameter * rng.lognormal(0, spread)
        if rng.random() < traced.SHARE:
            return [traced.outline(rng, "nuclei", size)]
        return [shapes.ellipse(rng, size, rng.uniform(1, 1.7), roughness)]

    bank = placement.stamp_bank(populations.two_sizes(rng, draw), shape, diameter)
    return placement.place(rng, shape, bank, crowd, rng.uniform(0.02, 0.2))


def nuclei(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Grey nuclei with haze, blurred unlabelled nuclei out of the focal plane, and small bright debris."""
    crowd = placement.draw_crowd(rng, shape, diameter, 0.75)
    labels = _place_nuclei(rng, shape, diameter, crowd)
    dye = nuclear_dye(rng, labels, diameter) * _some_dim(rng, labels)
    if rng.random() < 0.3:
        far = _place_nuclei(rng, shape, 1.2 * diameter, placement.Crowd(rng.uniform(0.02, 0.15), 0))
        dye += rng.uniform(0.05, 0.25) * fields.blur(nuclear_dye(rng, far, diameter), 0.25 * diameter)
    if rng.random() < 0.4:
        dye += fields.spots(rng, labels == 0, rng.uniform(0, 0.2) / diameter**2, 0.04 * diameter)
    psf = rng.uniform(0.5, 1.0) + rng.choice([0, 0.03]) * diameter
    image = optics.widefield(rng, dye, psf, rng.uniform(0, 0.5), rng.uniform(0.5, 2) * diameter)
    return optics.record_dark(rng, image), labels


def in_colour(rng: Generator, cytoplasm: Image, nucleus: Image) -> NDArray[np.uint8]:
    """Camera image of both dyes in two colours, RGB, or of the cytoplasm alone in grey."""
    body, core = list(_COLOURS.values())[int(rng.choice(len(_COLOUR_ODDS), p=_COLOUR_ODDS))]
    image = cytoplasm[..., None] * np.array(body, np.float32) + nucleus[..., None] * np.array(core, np.float32)
    if not any(core) and rng.random() < 0.5:
        return optics.record_dark(rng, cytoplasm)
    return optics.record_dark(rng, image)


def cytoplasm_dye(rng: Generator, labels: Labels, nuclei: Labels, diameter: float) -> Image:
    """Cytoplasmic dye: dome, filaments and granules, brighter about the nucleus, dim or empty inside it."""
    shape = (labels.shape[0], labels.shape[1])
    body = 0.25 + 0.75 * fields.dome(labels, rng.uniform(0, 1))
    fibres = fields.fibre_noise(rng, shape, 0.5 * diameter, max(1.5, 0.03 * diameter))
    grain = fields.fractal_noise(rng, shape, max(2.0, 0.15 * diameter))
    granules = fields.spots(rng, labels > 0, rng.uniform(5, 60) / diameter**2, max(0.7, 0.02 * diameter))
    texture = 1 + rng.uniform(0, 0.2) * fibres + rng.uniform(0, 0.3) * grain + rng.uniform(0, 0.7) * granules
    near = fields.blur((nuclei > 0).astype(np.float32), 0.15 * diameter)
    texture += rng.uniform(0, 1) * near
    hollow = 1 - rng.uniform(0, 0.9) * fields.blur((nuclei > 0).astype(np.float32), 0.8)
    dye = fields.per_cell(rng, labels, rng.uniform(0.1, 0.5)) * body * np.maximum(texture, 0.1) * hollow
    return np.asarray(dye, np.float32)


def _membrane_dye(rng: Generator, labels: Labels, diameter: float) -> Image:
    """Membrane stain: a bright line on every cell border, of uneven strength, over a faint interior."""
    thickness = rng.uniform(0.6, 1.0) + 0.015 * diameter
    line = np.exp(-((fields.depth(labels) / np.float32(thickness)) ** 2)) * (labels > 0)
    shape = (labels.shape[0], labels.shape[1])
    uneven = np.clip(1 + 0.4 * fields.smooth_noise(rng, shape, diameter), 0.15, 2)
    interior = rng.uniform(0.02, 0.4) * fields.per_cell(rng, labels, 0.3)
    return np.asarray(line * uneven + interior, np.float32)


def _place_whole(rng: Generator, shape: Shape, diameter: float) -> Labels:
    if rng.random() < 0.25:
        tiles = placement.tessellate(rng, shape, diameter, rng.uniform(0.4, 1))
        return placement.separate(placement.drop_cells(rng, tiles, rng.uniform(0, 0.5)), rng.uniform(0, 3))
    kind, spread = rng.choice(["round", "spread", "spindle"], p=[0.4, 0.4, 0.2]), rng.uniform(0.1, 0.35)
    group = "round" if kind == "round" else "spread"

    def draw() -> list[shapes.Outline]:
        size = diameter * rng.lognormal(0, spread)
        if rng.random() < traced.SHARE:
            return [traced.outline(rng, group, size)]
        if kind == "round":
            return [shapes.ellipse(rng, size, rng.uniform(1, 1.8), 0.06)]
        if kind == "spread":
            return [shapes.spread(rng, size, 4)]
        return [shapes.spindle(rng, size, rng.uniform(2, 4))]

    crowd = placement.draw_crowd(rng, shape, diameter, 0.85)
    bank = placement.stamp_bank(populations.two_sizes(rng, draw), shape, diameter)
    return placement.place(rng, shape, bank, crowd, rng.uniform(0.05, 0.3))


def whole_cells(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Cytoplasm in one colour and nuclei in another, or grey cytoplasm alone; whole cells are labelled."""
    labels = _place_whole(rng, shape, diameter)
    nuclei = placement.nuclei_within(rng, labels, 0.3, 0.65)
    body = cytoplasm_dye(rng, labels, nuclei, diameter)
    if rng.random() < 0.25:
        body = 0.4 * body + _membrane_dye(rng, labels, diameter)
    body += rng.uniform(0.2, 0.7) * floating_cells.floating(rng, shape, diameter)
    core = rng.uniform(0.4, 1.2) * nuclear_dye(rng, nuclei, 0.5 * diameter)
    psf, haze = rng.uniform(0.5, 1.4), rng.uniform(0, 0.35)
    body = optics.widefield(rng, body, psf, haze, 0.7 * diameter)
    core = optics.widefield(rng, core, psf, haze, 0.7 * diameter)
    return in_colour(rng, body, core), labels


def dense_tissue(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Tiled cells with membrane stain, with or without nuclei, in all or part of the field; lone nuclei beside it.

    Whole cells are labelled; a nucleus without a membrane is labelled by itself.
    """
    labels = placement.tessellate(rng, shape, diameter, rng.uniform(0.5, 1))
    labels = placement.drop_cells(rng, labels, rng.choice([0, 0.05, 0.2]))
    if rng.random() < 0.4:
        region = fields.fractal_noise(rng, shape, 5 * diameter) > rng.uniform(-0.8, 0.5)
        labels = placement.mostly_within(labels, region)
    nuclei = placement.nuclei_within(rng, labels, 0.4, 0.75)
    membranes = _membrane_dye(rng, labels, diameter)
    if rng.random() < 0.5:
        lone = _place_nuclei(rng, shape, 0.6 * diameter, placement.Crowd(rng.uniform(0.01, 0.1), 0.3))
        lone = placement.drop_touching(lone, labels)
        shifted = np.where(lone > 0, lone + int(labels.max(initial=0)), 0).astype(np.int32)
        labels, nuclei = labels + shifted, nuclei + shifted
    core = rng.uniform(0.3, 1.1) * nuclear_dye(rng, nuclei, 0.6 * diameter)
    psf, haze = rng.uniform(0.5, 0.8) + 0.01 * diameter, rng.uniform(0, 0.35)
    membranes = optics.widefield(rng, membranes, psf, haze, math.sqrt(diameter) * 3)
    core = optics.widefield(rng, core, psf, haze, math.sqrt(diameter) * 3)
    return in_colour(rng, membranes, core), labels
