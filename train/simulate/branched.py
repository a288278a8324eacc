"""Scenes of cells with branched processes or ragged sheets: fluorescence, transmitted light, stains, one cell alone."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate import adherent, branching, fields, fluorescence, optics, placement, stained, transmitted
from train.simulate.fields import Image, Labels, Shape
from train.simulate.fluorescence import Scene
from train.simulate.placement import Crowd

_BLACK = (0.9, 1.0, 1.1)
"""Optical density (RGB) of silver."""


def _bank(rng: Generator, shape: Shape, diameter: float) -> list[placement.Stamp]:
    """Cells of one or few shapes, as many as fit into the plane but 16 to 64."""
    odds, spread = rng.dirichlet(np.full(branching.STYLES, 0.35)), rng.uniform(0.1, 0.4)
    count = int(min(64, max(16, shape[0] * shape[1] / (2 * diameter**2))))
    styles = rng.choice(branching.STYLES, count, p=odds)
    return [branching.cell(rng, int(style), diameter * rng.lognormal(0, spread)) for style in styles]


def cells(rng: Generator, shape: Shape, diameter: float, fullest: float) -> Labels:
    """Sparse to moderately dense cells, some in contact; processes that cross are cut where they are not deepest."""
    crowd = placement.draw_crowd(rng, shape, diameter, fullest)
    return placement.place(rng, shape, _bank(rng, shape, diameter), crowd, rng.uniform(0.02, 0.15))


def _height(labels: Labels, power: float) -> Image:
    """Relative thickness (Y, X), 0..1: 1 in the middle of the soma, less in processes the larger `power` is."""
    inside = fields.depth(labels)
    relative = inside / np.maximum(fields.peak(labels, inside), 1)
    return np.asarray(relative**power, np.float32)


def _actin(rng: Generator, labels: Labels, diameter: float) -> Image:
    """Stress fibres of two directions, one in each cell, a bright rim and a thin sheet between."""
    shape = (labels.shape[0], labels.shape[1])
    width = max(1.3, rng.uniform(0.01, 0.03) * diameter)
    first, second = (fields.fibre_noise(rng, shape, rng.uniform(0.4, 1.2) * diameter, width) for _ in range(2))
    patches = np.clip(1 + 0.6 * fields.smooth_noise(rng, shape, 0.5 * diameter), 0, 2)
    fibres = np.where(labels % 2 == 1, first, second) * patches
    rim = np.exp(-((fields.depth(labels) / np.float32(0.8 + 0.015 * diameter)) ** 2)) * patches
    sheet = 0.45 + rng.uniform(0, 0.25) * fibres + rng.uniform(0.1, 0.5) * rim + 0.3 * _height(labels, 1)
    return np.asarray(np.clip(sheet, 0.2, None) * (labels > 0), np.float32)


def _filled(rng: Generator, labels: Labels, nuclei: Labels, diameter: float) -> Image:
    """A marker such as Iba1 or GFAP: soma bright, processes dimmer, with beads; the nucleus may be spared."""
    shape = (labels.shape[0], labels.shape[1])
    least = rng.uniform(0.2, 0.6)
    body = least + (1 - least) * _height(labels, rng.uniform(0.4, 1.5))
    grain = fields.fractal_noise(rng, shape, max(1.5, rng.uniform(0.05, 0.2) * diameter))
    fibres = fields.fibre_noise(rng, shape, 0.6 * diameter, max(1.5, 0.03 * diameter))
    texture = np.clip(1 + rng.uniform(0, 0.25) * grain + rng.choice([0, 0, 0.15]) * fibres, 0.4, 2)
    spared = 1 - rng.choice([0, 0.2, 0.5]) * fields.blur((nuclei > 0).astype(np.float32), 0.8)
    return np.asarray(body * texture * spared * (labels > 0), np.float32)


def dye(rng: Generator, labels: Labels, nuclei: Labels, diameter: float) -> Image:
    """Map (Y, X) of a dye that fills the cells, or of actin, with a strength of its own in every cell."""
    kind = rng.random()
    if kind < 0.25:
        return fluorescence.cytoplasm_dye(rng, labels, nuclei, diameter)
    body = _actin(rng, labels, diameter) if kind < 0.45 else _filled(rng, labels, nuclei, diameter)
    return body * fields.per_cell(rng, labels, rng.uniform(0.05, 0.35))


def _out_of_focus(rng: Generator, shape: Shape, diameter: float) -> Image:
    """Map (Y, X) of blurred, unlabelled cells and fibres above or below the focal plane, about 0..1."""
    crowd = Crowd(rng.uniform(0.03, 0.15), 0)
    far = placement.place(rng, shape, _bank(rng, shape, diameter), crowd, 0.3)
    return fields.blur((0.3 + 0.7 * _height(far, 1)) * (far > 0), 1.5 + rng.uniform(0.06, 0.2) * diameter)


def _seen_in_fluorescence(rng: Generator, labels: Labels, diameter: float) -> NDArray[np.uint8]:
    shape = (labels.shape[0], labels.shape[1])
    nuclei = placement.nuclei_within(rng, labels, 0.3, 0.6)
    body = dye(rng, labels, nuclei, diameter)
    body += rng.choice([0, 0.01, 0.04]) * (1 + fields.fractal_noise(rng, shape, rng.uniform(0.3, 2) * diameter))
    if rng.random() < 0.4:
        body += rng.uniform(0.05, 0.25) * _out_of_focus(rng, shape, diameter)
    if rng.random() < 0.4:
        body += fields.spots(rng, labels == 0, rng.uniform(0, 0.6) / diameter**2, 0.6 + 0.02 * diameter)
    psf, haze = rng.uniform(0.5, 1.1), rng.uniform(0, 0.3)
    body = optics.widefield(rng, body, psf, haze, rng.uniform(0.3, 1) * diameter)
    if rng.random() < 0.4:
        return optics.record_dark(rng, body)
    core = rng.uniform(0.4, 1.1) * fluorescence.nuclear_dye(rng, nuclei, 0.5 * diameter)
    return fluorescence.in_colour(rng, body, optics.widefield(rng, core, psf, haze, 0.5 * diameter))


def _seen_in_transmitted_light(rng: Generator, labels: Labels, diameter: float) -> NDArray[np.uint8]:
    """Phase contrast, DIC or bright field of a thin sheet with a thick middle, nucleus, granules and vacuoles."""
    path = adherent.optical_path(rng, labels, diameter, rng.uniform(0.3, 1.2))
    path *= rng.uniform(0.7, 1)
    middle = fields.blur(_height(labels, rng.uniform(0.7, 4)), 0.07 * diameter) * np.sqrt(_height(labels, 0.5))
    body = middle * transmitted.organelles(rng, labels, diameter)
    path += rng.uniform(0, 2) * body
    path += transmitted.debris(rng, labels, diameter) + adherent.litter(rng, labels, diameter)
    views = (adherent.seen_in_phase, adherent.seen_in_dic, adherent.seen_in_bright_field)
    return views[rng.choice(3, p=[0.55, 0.15, 0.3])](rng, path, diameter)


def _ground(rng: Generator, shape: Shape, diameter: float) -> Image:
    """Density (Y, X) of a section's ground: clouds and a weave of thin fibres out of focus."""
    cloud = np.clip(1 + 0.5 * fields.fractal_noise(rng, shape, rng.uniform(0.5, 3) * diameter), 0.1, None)
    weave = fields.fibre_noise(rng, shape, 1.5 * diameter, max(2.0, rng.uniform(0.06, 0.15) * diameter))
    threads = np.clip(weave - rng.uniform(0.5, 1.5), 0, 1.5)
    return np.asarray(cloud + rng.uniform(0, 1) * fields.blur(threads, 1 + 0.02 * diameter), np.float32)


def branched_fluorescence(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Microglia, astrocytes, neurons, fibroblasts and spread smooth muscle cells; soma and processes are labelled."""
    labels = cells(rng, shape, diameter, 0.5)
    return _seen_in_fluorescence(rng, labels, diameter), labels


def branched_transmitted(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """The same shapes as adherent cells in phase contrast, DIC or bright field; grey."""
    labels = cells(rng, shape, diameter, 0.5)
    return _seen_in_transmitted_light(rng, labels, diameter), labels


def branched_stained(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Brown (DAB) or black (silver) cells of a section, RGB; blue nuclei and fibres out of focus are not labelled."""
    labels = cells(rng, shape, diameter, 0.35)
    nuclei = placement.nuclei_within(rng, labels, 0.3, 0.6)
    body = fields.blur(_filled(rng, labels, nuclei, diameter), rng.uniform(0.4, 0.8))
    body *= rng.uniform(0.8, 2.2) * fields.blur(np.maximum(fields.per_cell(rng, labels, 0.2), 0.8), 0.5)
    silver = rng.random() < 0.3
    stain = stained.jittered(rng, _BLACK, 0.05) if silver else stained.jittered(rng, optics.DAB, 0.12)
    far = rng.choice([0, 0.1, 0.3]) * _out_of_focus(rng, shape, diameter)
    weave = rng.uniform(0.02, 0.12) * _ground(rng, shape, diameter)
    counter = np.zeros(shape, np.float32)
    if not silver and rng.random() < 0.7:
        _, counter = stained.tissue_nuclei(rng, shape, max(6.0, rng.uniform(0.3, 0.6) * diameter))
    tint = (0.1, 0.25, 0.6) if silver else optics.HAEMATOXYLIN_BLUE
    stains = [
        (body + np.asarray(far + 0.4 * weave, np.float32), stain),
        (np.float32(rng.uniform(0.2, 0.6)) * counter, stained.jittered(rng, optics.HAEMATOXYLIN_BLUE, 0.15)),
        (weave, stained.jittered(rng, tint, 0.2)),
    ]
    return stained.photograph(rng, stains), labels


def one_cell(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """One cell, sometimes two or three, on a wide empty ground, in fluorescence or transmitted light."""
    plane = placement.Plane(shape)
    for _ in range(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])):
        style = int(rng.choice(branching.STYLES, p=[0.12, 0.12, 0.22, 0.14, 0.15, 0.25]))
        item = branching.cell(rng, style, diameter * rng.lognormal(0, 0.12))
        for row, column in rng.uniform(0.25, 0.75, (8, 2)) * shape:
            if plane.press(item, int(row), int(column), 0.15):
                break
    labels = placement.tidy(plane.labels)
    see = _seen_in_fluorescence if rng.random() < 0.4 else _seen_in_transmitted_light
    return see(rng, labels, diameter), labels
