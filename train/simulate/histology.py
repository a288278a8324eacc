"""Haematoxylin-eosin sections of whole organs: holes, fat, vessels and red cells beside the labelled nuclei."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from skimage.segmentation import expand_labels, find_boundaries

from train.simulate import fields, optics, placement, shapes, stained
from train.simulate.fields import Image, Labels, Mask, Shape
from train.simulate.fluorescence import Scene


def _round_holes(rng: Generator, shape: Shape, size: float, coverage: float) -> Labels:
    """Round empty places of `size` px, thin walls between those that touch."""

    def draw() -> list[shapes.Outline]:
        return [shapes.ellipse(rng, size * rng.lognormal(0, 0.25), rng.uniform(1, 1.4), 0.05)]

    bank = placement.stamp_bank(draw, shape, size)
    return placement.separate(placement.place(rng, shape, bank, placement.Crowd(coverage, 0.7), 0.15), 2)


def _holes(rng: Generator, shape: Shape, diameter: float) -> Mask:
    """Fat cells, vacuoles of the size of nuclei, vessels and cracks, each in some images."""
    holes = np.zeros(shape, bool)
    if rng.random() < 0.35:
        size = min(rng.uniform(2, 5) * diameter, 0.5 * min(shape))
        holes |= _round_holes(rng, shape, size, rng.uniform(0.05, 0.45)) > 0
    if rng.random() < 0.35:
        holes |= _round_holes(rng, shape, rng.uniform(0.5, 1.3) * diameter, rng.uniform(0.01, 0.12)) > 0
    if rng.random() < 0.4:
        holes |= fields.fractal_noise(rng, shape, rng.uniform(2, 6) * diameter) > rng.uniform(1, 2.2)
    if rng.random() < 0.25:
        holes |= fields.fibre_noise(rng, shape, 4 * diameter, max(2.0, 0.5 * diameter)) > rng.uniform(1.6, 2.5)
    return holes


def _red_cells(rng: Generator, holes: Mask, labels: Labels, diameter: float) -> Image:
    """Density (Y, X) of red cells, most of them in the holes: flat discs without a nucleus."""
    shape = (holes.shape[0], holes.shape[1])
    size = rng.uniform(0.6, 1.1) * diameter

    def draw() -> list[shapes.Outline]:
        return [shapes.ellipse(rng, size * rng.lognormal(0, 0.1), rng.uniform(1, 1.6), 0.03)]

    bank = placement.stamp_bank(draw, shape, size)
    cells = placement.place(rng, shape, bank, placement.Crowd(rng.uniform(0.05, 0.5), 0.7), 0.1)
    cloud = fields.smooth_noise(rng, shape, 5 * diameter) + 1.5 * fields.blur(holes.astype(np.float32), 0.3 * diameter)
    red = placement.mostly_within(placement.drop_touching(cells, labels), cloud > rng.uniform(0.8, 2))
    edge = np.minimum(fields.depth(red) / np.float32(1 + 0.05 * diameter), 1)
    return fields.blur(fields.per_cell(rng, red, 0.15) * edge, 0.6)


def _ground(rng: Generator, labels: Labels, holes: Mask, diameter: float) -> Image:
    """Density (Y, X) of eosin: fibres, clouds and the cytoplasm about nuclei with its borders; little in holes."""
    shape = (labels.shape[0], labels.shape[1])
    fibres = fields.fibre_noise(rng, shape, 2.5 * diameter, max(2.0, rng.uniform(0.1, 0.3) * diameter))
    cloud = fields.fractal_noise(rng, shape, 4 * diameter)
    grain = fields.fractal_noise(rng, shape, max(2.0, 0.2 * diameter))
    ground = rng.uniform(0.3, 1) + rng.choice([0.05, 0.15, 0.3]) * fibres + rng.uniform(0, 0.35) * cloud
    ground += rng.uniform(0, 0.12) * grain
    territory = expand_labels(labels, rng.uniform(0.3, 0.9) * diameter)
    border = fields.blur(find_boundaries(territory, mode="inner").astype(np.float32), 0.5 + 0.03 * diameter)
    bodies = fields.blur((territory > 0).astype(np.float32), 0.1 * diameter)
    ground += rng.uniform(-0.25, 0.35) * bodies + rng.uniform(-0.4, 0.4) * border
    empty = fields.blur(holes.astype(np.float32), rng.uniform(0.6, 1.5))
    rim = fields.blur(find_boundaries(holes).astype(np.float32), 0.5 + 0.03 * diameter)
    ground *= 1 - rng.uniform(0.3, 0.8) * fields.blur((labels > 0).astype(np.float32), 0.7)
    return np.asarray(np.clip(ground, 0.03, None) * (1 - rng.uniform(0.85, 1) * empty) + 0.5 * rim, np.float32)


def _nuclear_colour(rng: Generator) -> tuple[float, float, float]:
    """Optical density (RGB) of one unit of the nuclear stain, anywhere from blue to reddish purple."""
    ends = np.array([optics.HAEMATOXYLIN_BLUE, (0.45, 0.85, 0.35)])
    share = rng.random()
    red, green, blue = (1 - share) * ends[0] + share * ends[1]
    return stained.jittered(rng, (float(red), float(green), float(blue)), 0.12)


def tissue_section(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Section in stains of many laboratories: nuclei labelled; holes, fat, vessels and red cells are not."""
    holes = _holes(rng, shape, diameter)
    everywhere, blue = stained.tissue_nuclei(rng, shape, diameter)
    labels = placement.drop_touching(everywhere, np.asarray(holes, np.int32))
    blue = blue * fields.blur((labels > 0).astype(np.float32), 0.6)
    pale = fields.per_cell(rng, labels, rng.uniform(0, 0.5))
    blue *= np.minimum(np.where(labels > 0, pale, 1), 1.5)
    ground = _ground(rng, labels, holes, diameter)
    nuclear = _nuclear_colour(rng)
    stains = [
        (blue, nuclear),
        ((ground * rng.uniform(0.15, 0.8)).astype(np.float32), stained.jittered(rng, (0.12, 0.95, 0.25), 0.3)),
        ((ground * rng.choice([0, 0.1, 0.35])).astype(np.float32), nuclear),
    ]
    if rng.random() < 0.45:
        red = rng.uniform(0.4, 1.1) * _red_cells(rng, holes, labels, diameter)
        stains.append((red.astype(np.float32), stained.jittered(rng, (0.08, 0.9, 0.55), 0.25)))
    return stained.photograph(rng, stains), labels
