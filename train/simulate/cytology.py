"""Cytology smears in bright field: thin stained cells that lie over one another, with all their transparency."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from train.simulate import fields, layers, placement, shapes, stained
from train.simulate.fields import Image, Labels, Shape
from train.simulate.fluorescence import Scene

Colour = tuple[float, float, float]

_PAP: tuple[Colour, ...] = ((0.50, 0.22, 0.20), (0.12, 0.50, 0.28), (0.06, 0.34, 0.75))
"""Optical density (RGB) of blue-green, pink and orange cytoplasm in Papanicolaou's stain."""
_GIEMSA: tuple[Colour, ...] = ((0.45, 0.38, 0.12), (0.30, 0.42, 0.18), (0.55, 0.50, 0.20))
"""Optical density (RGB) of grey-blue, lilac and deep blue cytoplasm in Giemsa's stain."""
_GREY = 0.15
"""Share of the images in grey."""


def _polygon(rng: Generator, diameter: float) -> shapes.Outline:
    """Outline of a squamous cell: four to seven blunt corners, sides bowed in or out, a slightly ragged edge."""
    corners = int(rng.integers(4, 8))
    angles = (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) * 2 * math.pi / corners
    reach = rng.lognormal(0, 0.18, corners)
    tips = np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]
    step = np.linspace(0, 1, 14, endpoint=False)[:, None]
    sides = []
    for tip, following in zip(tips, np.roll(tips, -1, 0), strict=True):
        bow = rng.normal(0.1, 0.08) * 4 * step * (1 - step)
        sides.append((1 - step) * tip + step * following + bow * (tip + following) / 2)
    points = np.concatenate(sides)
    blunt = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    wrapped = np.concatenate([points[-2:], points, points[:2]])
    points = np.stack([np.convolve(wrapped[:, axis], blunt, "valid") for axis in (0, 1)], 1)
    points *= 1 + rng.normal(0, 0.008, (len(points), 1))
    stretch = np.array([rng.uniform(1, 1.5), 1])
    return shapes.turned(shapes.sized(points * stretch, diameter), rng.uniform(0, 2 * math.pi))


def _cells(rng: Generator, shape: Shape, diameter: float, squamous: float) -> list[Labels]:
    """One to three layers of cells, the nearest first; every cell is at least 60 % visible from the front.

    squamous: share of flat polygonal cells; the others are rounded.
    """
    spread = rng.uniform(0.1, 0.25)

    def draw() -> list[shapes.Outline]:
        size = diameter * rng.lognormal(0, spread)
        if rng.random() < squamous:
            return [_polygon(rng, size)]
        return [shapes.ellipse(rng, size, rng.uniform(1, 1.5), 0.05)]

    bank = placement.stamp_bank(draw, shape, diameter)
    full = rng.uniform(0.1, 0.5)
    crowding, overlap = rng.uniform(0.2, 1), rng.uniform(0.02, 0.1)
    found: list[Labels] = []
    nearer = np.zeros(shape, np.int32)
    behind = rng.choice([0, 0.15, 0.35], 2)
    for coverage in (full, *behind[behind > 0]):
        layer = placement.place(rng, shape, bank, placement.Crowd(coverage, crowding), overlap)
        layer = placement.tidy(layers.seen(nearer, layer, 0.6))
        found.append(layer)
        nearer = layers.in_front(nearer, layer)
    return found


def _cytoplasm(rng: Generator, labels: Labels, diameter: float, thick: float) -> Image:
    """Density (Y, X), about 1, of one layer: a thin sheet with folds, wrinkles, grain and a slightly dark edge.

    thick: from 0, flat, to 1, domed.
    """
    shape = (labels.shape[0], labels.shape[1])
    inside = fields.depth(labels)
    sheet = np.minimum(inside / np.float32(1 + 0.03 * diameter), 1)
    body = (1 - 0.5 * thick) + thick * fields.dome(labels, 0.3)
    grain = rng.uniform(0.03, 0.15) * fields.fractal_noise(rng, shape, max(2.0, 0.15 * diameter))
    cloud = rng.uniform(0.05, 0.25) * fields.smooth_noise(rng, shape, 0.6 * diameter)
    wrinkles = np.clip(fields.fibre_noise(rng, shape, 0.7 * diameter, max(1.5, 0.05 * diameter)) - 1.2, 0, 1)
    place = np.clip(fields.smooth_noise(rng, shape, 0.6 * diameter) - rng.uniform(0.2, 0.9), 0, 1)
    fold = np.exp(-((inside / np.float32(1 + rng.uniform(0.06, 0.16) * diameter)) ** 2)) * place
    edge = rng.uniform(0, 0.35) * np.exp(-((inside / np.float32(1 + 0.015 * diameter)) ** 2))
    density = sheet * np.clip(body + grain + cloud, 0.2, 3) + edge
    density += rng.uniform(0, 0.5) * wrinkles * place + (1 - thick) * rng.uniform(0.3, 2.5) * fold
    everywhere = density * fields.per_cell(rng, labels, rng.uniform(0.1, 0.4)) * (labels > 0)
    return fields.blur(np.asarray(everywhere, np.float32), 0.5)


def _chromatin(rng: Generator, nuclei: Labels, diameter: float) -> Image:
    """Density (Y, X) of nuclei `diameter` px wide: unequal, with clumps, often a darker rim."""
    shape = (nuclei.shape[0], nuclei.shape[1])
    clumps = 1 + rng.uniform(0.05, 0.25) * fields.fractal_noise(rng, shape, max(1.5, 0.25 * diameter))
    rim = rng.uniform(0, 0.4) * np.exp(-((fields.depth(nuclei) / np.float32(1 + 0.05 * diameter)) ** 2))
    density = fields.per_cell(rng, nuclei, rng.uniform(0.1, 0.3)) * np.clip(clumps + rim, 0.2, 3)
    return fields.blur(np.asarray(density * (nuclei > 0), np.float32), 0.6)


def _small_cells(rng: Generator, cells: Labels, diameter: float, share: float) -> Labels:
    """Leukocytes and bare nuclei beside the `cells`, up to `share` as many, of a fifth to a half of their diameter."""
    shape = (cells.shape[0], cells.shape[1])
    size = max(rng.uniform(0.2, 0.5) * diameter, 5.0)

    def draw() -> list[shapes.Outline]:
        return [shapes.ellipse(rng, size * rng.lognormal(0, 0.12), rng.uniform(1, 1.3), 0.03)]

    bank = placement.stamp_bank(draw, shape, size)
    small = placement.place(rng, shape, bank, placement.Crowd(rng.uniform(0.005, 0.05), rng.uniform(0, 0.6)), 0.05)
    return layers.at_most(rng, placement.drop_touching(small, cells), int(share * cells.max(initial=0)))


def _mucus(rng: Generator, shape: Shape, diameter: float) -> Image:
    """Density (Y, X) of what is not a cell: strands and veils of mucus, specks and bacteria."""
    strands = np.clip(fields.fibre_noise(rng, shape, 1.5 * diameter, max(2.0, 0.1 * diameter)) - 0.5, 0, 2)
    veil = np.clip(fields.fractal_noise(rng, shape, 2 * diameter) - rng.uniform(0, 1.5), 0, 2)
    everywhere = np.ones(shape, bool)
    specks = fields.spots(rng, everywhere, rng.choice([0, 3, 50]) / diameter**2, 0.6 + 0.006 * diameter)
    film = rng.choice([0, 0.05, 0.2]) * veil * (1 + strands)
    return np.asarray(film + rng.uniform(0.1, 0.5) * np.minimum(specks, 1.5), np.float32)


def cytology_smear(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Papanicolaou or Giemsa smear; whole cells, leukocytes and bare nuclei are labelled, mucus and debris are not.

    The stains of cells that lie over one another add up, and a pixel belongs to the cell in front.
    """
    pap = rng.random() < 0.65
    squamous = rng.choice([0.95, 0.5, 0.1], p=[0.6, 0.2, 0.2]) if pap else rng.choice([0, 0.3])
    low = rng.uniform(0.16, 0.26) if squamous > 0.9 else rng.uniform(0.3, 0.6)
    palette, odds = (_PAP if pap else _GIEMSA), rng.dirichlet([0.5, 0.5, 0.2])
    bodies = [np.zeros(shape, np.float32) for _ in palette]
    core, labels = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    for layer in _cells(rng, shape, diameter, squamous):
        density = _cytoplasm(rng, layer, diameter, 1 - squamous)
        hue = rng.choice(len(palette), int(layer.max(initial=0)) + 1, p=odds)[layer]
        for kind, body in enumerate(bodies):
            body += density * (hue == kind)
        core += _chromatin(rng, placement.nuclei_within(rng, layer, low, 1.35 * low), low * diameter)
        labels = layers.in_front(labels, layer)
    small = _small_cells(rng, labels, diameter, rng.choice([0, 0.15, 0.4]))
    core += _chromatin(rng, small, 0.2 * diameter) * rng.uniform(0.7, 1)
    stains = [(body, stained.jittered(rng, colour, 0.2)) for body, colour in zip(bodies, palette, strict=True)]
    strength = np.float32(rng.uniform(0.35, 1.1) if pap else rng.uniform(0.5, 1.2))
    stains = [(strength * body, colour) for body, colour in stains]
    nuclear = (0.85, 0.75, 0.40) if pap else (0.65, 1.0, 0.30)
    stains.append((core * np.float32(rng.uniform(0.7, 1.4)), stained.jittered(rng, nuclear, 0.2)))
    stains.append((_mucus(rng, shape, diameter), stained.jittered(rng, palette[0], 0.3)))
    image = stained.photograph(rng, stains)
    everything = layers.in_front(labels, small)
    return (np.rint(image.mean(-1)).astype(np.uint8) if rng.random() < _GREY else image), everything
