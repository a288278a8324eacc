"""Absorbing stains in bright field: blood smears and haematoxylin-eosin tissue, both RGB."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels, find_boundaries

from train.simulate import fields, optics, placement, shapes, traced
from train.simulate.fields import Image, Labels, Mask, Shape
from train.simulate.fluorescence import Scene

_CYTOPLASMS = ((0.45, 0.5, 0.2), (0.45, 0.5, 0.2), (0.2, 0.45, 0.2), (0.2, 0.6, 0.4))
"""Optical density (RGB) of white cells' cytoplasm: blue-grey, lilac, and the pink-orange of eosinophils."""


def jittered(rng: Generator, colour: tuple[float, float, float], spread: float) -> tuple[float, float, float]:
    red, green, blue = np.asarray(colour) * rng.lognormal(0, spread, 3)
    return float(red), float(green), float(blue)


def _red_cells(rng: Generator, white: Labels, diameter: float) -> Image:
    """Density map of red cells: discs with a pale centre, crowded, some overlapping, none under a white cell."""
    shape = (white.shape[0], white.shape[1])

    def draw() -> list[shapes.Outline]:
        return [shapes.ellipse(rng, diameter * rng.lognormal(0, 0.1), rng.uniform(1, 1.25), 0.02)]

    bank = placement.stamp_bank(draw, shape, diameter)
    pale = rng.uniform(0, 0.7)
    total = np.zeros(shape, np.float32)
    for coverage in (rng.uniform(0.05, 0.6), rng.choice([0, 0.08])):
        cells = placement.place(rng, shape, bank, placement.Crowd(coverage, 0.5), 0.05)
        cells[white > 0] = 0
        relative = fields.depth(cells) / np.float32(0.5 * diameter)
        profile = np.minimum(relative * 8, 1) * (1 - pale * np.clip((relative - 0.3) * 2.5, 0, 1))
        total += fields.per_cell(rng, cells, 0.1) * profile
    return fields.blur(total, 0.02 * diameter + 0.5)


def _lobed_nuclei(rng: Generator, labels: Labels) -> Labels:
    """Nuclei of white cells: one large round one, two overlapping lobes, or three small lobes as in granulocytes."""
    large = placement.nuclei_within(rng, labels, 0.5, 0.85) > 0
    second = placement.nuclei_within(rng, labels, 0.35, 0.6) > 0
    kind = rng.integers(0, 4, int(labels.max(initial=0)) + 1)[labels]
    apart = _small_lobes(rng, labels)
    return np.where(np.where(kind == 3, apart, large | ((kind == 2) & second)), labels, 0).astype(np.int32)


def _small_lobes(rng: Generator, labels: Labels) -> Mask:
    """Three lobes in each cell, well inside it, at random angles about its middle; true (Y, X) within."""
    lobes = np.zeros(labels.shape, np.uint8)
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        size = 2 * np.sqrt(np.count_nonzero(labels[box] == index) / np.pi)
        middle = np.array([(side.start + side.stop) / 2 for side in reversed(box)])
        for angle in rng.uniform(0, 2 * np.pi) + np.arange(3) * rng.uniform(1.4, 2.2):
            centre = middle + 0.26 * size * np.array([np.cos(angle), np.sin(angle)])
            lobe = shapes.ellipse(rng, size * rng.uniform(0.28, 0.42), rng.uniform(1, 1.5), 0.05)
            shapes.fill(lobes, lobe + centre.astype(np.float32), 1)
    return np.asarray((lobes > 0) & (labels > 0))


def blood_smear(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Giemsa-like smear: labelled white cells (dark nucleus, pale cytoplasm) among unlabelled red cells, platelets."""
    spread = rng.uniform(0.05, 0.25)

    def draw() -> list[shapes.Outline]:
        return [shapes.ellipse(rng, diameter * rng.lognormal(0, spread), rng.uniform(1, 1.3), 0.03)]

    coverage = (rng.integers(0, 6) * diameter**2 / (shape[0] * shape[1])) if rng.random() < 0.6 else rng.uniform(0, 0.5)
    crowd = placement.Crowd(min(coverage, 0.5), rng.uniform(0, 1))
    labels = placement.place(rng, shape, placement.stamp_bank(draw, shape, diameter), crowd, 0.08)
    nuclei = _lobed_nuclei(rng, labels)
    chromatin = 1 + 0.2 * fields.fractal_noise(rng, shape, max(2.0, 0.12 * diameter))
    core = fields.blur((nuclei > 0).astype(np.float32), 0.6) * chromatin * rng.uniform(0.9, 1.8)
    granules = fields.spots(rng, labels > 0, rng.choice([0, 100]) / diameter**2, 0.6 + 0.01 * diameter)
    body = fields.blur((labels > 0).astype(np.float32), 0.8) * (0.6 + 0.15 * fields.smooth_noise(rng, shape, 4))
    body += 0.4 * granules * (labels > 0)
    red = _red_cells(rng, labels, rng.uniform(0.5, 0.85) * diameter)
    platelets = fields.spots(rng, labels == 0, 0.3 / diameter**2, 0.06 * diameter)
    stains = [
        (core, jittered(rng, (0.75, 1.1, 0.35), 0.15)),
        (body * rng.uniform(0.35, 0.8), jittered(rng, _CYTOPLASMS[rng.integers(len(_CYTOPLASMS))], 0.25)),
        (red * rng.uniform(0.3, 0.8), jittered(rng, (0.15, 0.6, 0.45), 0.25)),
        (np.minimum(platelets, 1), (0.4, 0.6, 0.2)),
    ]
    return photograph(rng, stains), labels


def photograph(rng: Generator, stains: list[tuple[Image, tuple[float, float, float]]]) -> NDArray[np.uint8]:
    """Camera image of stain maps under slightly coloured light, a little out of focus."""
    light = (rng.uniform(0.8, 0.98), rng.uniform(0.75, 0.95), rng.uniform(0.7, 0.95))
    image = optics.absorb(stains, light)
    shape = (image.shape[0], image.shape[1])
    image *= optics.illumination(rng, shape, rng.choice([0.05, 0.3]))[..., None]
    sigma = rng.uniform(0.3, 1.0)
    soft = np.stack([fields.blur(np.ascontiguousarray(image[..., channel]), sigma) for channel in range(3)], -1)
    return optics.digitise(rng, optics.shot(rng, soft, rng.choice([500, 5000]), 0.004))


def tissue_nuclei(rng: Generator, shape: Shape, diameter: float) -> tuple[Labels, Image]:
    """Nuclei of a section and their haematoxylin density."""
    spread, aspect, roughness = rng.uniform(0.15, 0.35), rng.uniform(1.2, 2.2), rng.choice([0.03, 0.08])

    def draw() -> list[shapes.Outline]:
        size = diameter * rng.lognormal(0, spread)
        if rng.random() < traced.SHARE:
            return [traced.outline(rng, "nuclei", size)]
        if rng.random() < 0.15:
            return [shapes.spindle(rng, 0.8 * size, rng.uniform(2, 4))]
        return [shapes.ellipse(rng, size, rng.uniform(1, aspect), roughness)]

    crowd = placement.draw_crowd(rng, shape, diameter, 0.6)
    bank = placement.stamp_bank(draw, shape, diameter)
    labels = placement.place(rng, shape, bank, crowd, rng.uniform(0.02, 0.2))
    solid = fields.blur((labels > 0).astype(np.float32), rng.uniform(0.5, 0.9))
    chromatin = 1 + rng.uniform(0.05, 0.35) * fields.fractal_noise(rng, shape, max(2.0, 0.2 * diameter))
    rim = rng.uniform(0, 0.6) * np.exp(-((fields.depth(labels) / (0.5 + 0.04 * diameter)) ** 2)) * (labels > 0)
    strength = fields.blur(fields.per_cell(rng, labels, rng.uniform(0.1, 0.35)), 0.7)
    blue = rng.uniform(0.5, 1.3) * strength * np.maximum(chromatin + rim - rng.uniform(0, 0.3), 0.2) * solid
    return labels, blue.astype(np.float32)


def stained_tissue(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Haematoxylin-eosin section: labelled purple nuclei on fibrous pink ground with pale gaps."""
    labels, blue = tissue_nuclei(rng, shape, diameter)
    fibres = fields.fibre_noise(rng, shape, 2.5 * diameter, max(2.0, 0.2 * diameter))
    cloud = fields.fractal_noise(rng, shape, 4 * diameter)
    ground = np.clip(rng.uniform(0.2, 1) + rng.uniform(0, 0.25) * fibres + rng.uniform(0, 0.3) * cloud, 0, None)
    gaps = fields.fractal_noise(rng, shape, 3 * diameter) > rng.uniform(0.8, 2.5)
    ground *= 1 - 0.9 * fields.blur((gaps & (labels == 0)).astype(np.float32), 1.5)
    pink = ground * rng.uniform(0.15, 0.7)
    stains = [
        (blue, jittered(rng, optics.HAEMATOXYLIN, 0.15)),
        (pink.astype(np.float32), jittered(rng, optics.EOSIN, 0.2)),
        ((ground * rng.choice([0, 0.05, 0.25])).astype(np.float32), optics.HAEMATOXYLIN),
    ]
    return photograph(rng, stains), labels


def immunohistochemistry(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Section with a brown antibody stain (DAB) in bodies and membranes of some cells; blue nuclei labelled."""
    labels, blue = tissue_nuclei(rng, shape, diameter)
    territory = expand_labels(labels, 1.2 * diameter)
    border = find_boundaries(territory, mode="inner")
    wall = fields.blur(border.astype(np.float32), 0.5 + 0.04 * diameter)
    positive = fields.blur((fields.smooth_noise(rng, shape, 5 * diameter) > rng.uniform(-1, 1)).astype(np.float32), 1.0)
    texture = 1 + rng.uniform(0, 0.4) * fields.fibre_noise(rng, shape, diameter, max(2.0, 0.15 * diameter))
    body = rng.uniform(0.1, 1.2) * np.clip(texture, 0, None) * (1 - rng.uniform(0.3, 0.9) * (labels > 0))
    brown = positive * (body + rng.uniform(0, 1.5) * wall)
    haze = rng.uniform(0, 0.15) * np.clip(1 + 0.5 * fields.fractal_noise(rng, shape, 2 * diameter), 0, None)
    stains = [
        (blue * np.float32(rng.uniform(0.4, 1)), jittered(rng, optics.HAEMATOXYLIN_BLUE, 0.15)),
        (fields.blur(brown.astype(np.float32), 0.7), jittered(rng, optics.DAB, 0.15)),
        (haze.astype(np.float32), optics.HAEMATOXYLIN_BLUE),
    ]
    return photograph(rng, stains), labels
