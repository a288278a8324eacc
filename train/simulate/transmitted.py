"""Unstained cells in transmitted light: phase contrast, interference contrast, bright field and yeast."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from train.simulate import fields, floating_cells, optics, placement, populations, shapes, traced
from train.simulate.fields import Image, Labels, Shape
from train.simulate.fluorescence import Scene


def _adherent(rng: Generator, shape: Shape, diameter: float) -> Labels:
    """Spindly, spread and rounded cells in random proportion."""
    odds = rng.dirichlet([1.0, 1.0, 0.5])
    spread, aspect = rng.uniform(0.15, 0.4), rng.uniform(2, 4.5)

    def draw() -> list[shapes.Outline]:
        size = diameter * rng.lognormal(0, spread)
        if rng.random() < traced.SHARE:
            return [traced.outline(rng, "spread", size)]
        kind = rng.choice(3, p=odds)
        if kind == 0:
            return [shapes.spindle(rng, size, aspect * rng.uniform(0.7, 1.3))]
        if kind == 1:
            return [shapes.spread(rng, size, 5)]
        return [shapes.ellipse(rng, 0.85 * size, rng.uniform(1, 1.25), 0.03)]

    crowd = placement.draw_crowd(rng, shape, diameter, 0.85)
    bank = placement.stamp_bank(populations.two_sizes(rng, draw), shape, diameter)
    return placement.place(rng, shape, bank, crowd, rng.uniform(0.05, 0.3))


def organelles(rng: Generator, labels: Labels, diameter: float) -> Image:
    """Relative optical density inside cells: nucleus rim and nucleoli, granules, vacuoles, grain; mean about 1."""
    shape = (labels.shape[0], labels.shape[1])
    nuclei = placement.nuclei_within(rng, labels, 0.3, 0.55)
    within = (labels > 0) & (nuclei == 0)
    visible = min(1.0, diameter / 40)
    rim = np.exp(-((fields.depth(nuclei) / 1.2) ** 2)) * (nuclei > 0)
    granules = fields.spots(rng, within, rng.uniform(10, 150) / diameter**2, 0.6 + 0.01 * diameter)
    vacuoles = fields.spots(rng, labels > 0, rng.uniform(0, 15) / diameter**2, 0.03 * diameter)
    nucleoli = fields.spots(rng, nuclei > 0, 12 / diameter**2, 0.5 + 0.02 * diameter)
    grain = fields.fractal_noise(rng, shape, max(2.0, 0.12 * diameter))
    texture = rng.uniform(0, 0.25) * grain + rng.uniform(0, 0.5) * granules - rng.uniform(0, 0.4) * vacuoles
    texture += rng.uniform(0, 0.5) * nucleoli + rng.uniform(0, 0.25) * rim
    texture -= rng.uniform(-0.1, 0.25) * (nuclei > 0)
    return np.asarray(1 + visible * texture, np.float32)


def debris(rng: Generator, labels: Labels, diameter: float) -> Image:
    """Sparse unlabelled specks and faint film on the background, in the unit of the cells' path."""
    shape = (labels.shape[0], labels.shape[1])
    size = 0.6 + rng.uniform(0, 0.04) * diameter
    specks = fields.spots(rng, labels == 0, rng.choice([0, 0.1, 0.4]) / diameter**2, size)
    film = rng.choice([0.01, 0.04]) * fields.fractal_noise(rng, shape, rng.uniform(5, 40))
    return np.asarray(0.5 * specks + film, np.float32)


def _thickness(rng: Generator, labels: Labels, diameter: float, flatness: float) -> Image:
    """Optical path of adherent cells, about 1 at the top: compact cells are thick, spread ones thin."""
    rise = fields.peak(labels, fields.depth(labels)) / np.float32(diameter / 2)
    swollen = rng.uniform(0, 0.7)
    profile = (1 - swollen) * fields.dome(labels, flatness) + swollen * fields.dome(labels, 0) ** 4
    height = profile * np.clip(rise, 0.3, 1.5) * fields.per_cell(rng, labels, 0.2)
    return np.asarray(height * organelles(rng, labels, diameter), np.float32)


def phase(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Adherent cells in positive phase contrast: grey bodies, bright halos, shade-off in large cells."""
    labels = _adherent(rng, shape, diameter)
    path = _thickness(rng, labels, diameter, rng.uniform(0.3, 1)) + debris(rng, labels, diameter)
    path = fields.blur(path, rng.uniform(0.4, 0.9))
    halo = rng.uniform(1.5, 4) + rng.uniform(0.03, 0.15) * diameter
    image = optics.phase_contrast(rng.uniform(0.3, 2) * path, halo, rng.uniform(0.35, 0.7), rng.uniform(0.3, 0.8))
    return optics.record_bright(rng, floating_cells.overlay(rng, image, diameter)), labels


def dic(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Interference contrast with a random shear direction: large flat cells of low contrast or small round ones."""
    if rng.random() < 0.5:
        labels = _adherent(rng, shape, diameter)
        height = _thickness(rng, labels, diameter, rng.uniform(0.5, 1))
    else:
        labels = _round_cells(rng, shape, diameter)
        height = _thickness(rng, labels, diameter, rng.uniform(0, 0.6))
    height += rng.uniform(1, 3) * floating_cells.floating(rng, shape, diameter)
    path = (height + 0.5 * debris(rng, labels, diameter)) * np.float32(rng.uniform(0.5, 2) * diameter / 10)
    angle, bias = rng.uniform(0, 2 * math.pi), rng.uniform(0.8, 1.6)
    image = optics.differential_interference(path, angle, rng.uniform(0.3, 1), bias, rng.uniform(0.7, 1.4))
    return optics.record_bright(rng, image), labels


def _round_cells(rng: Generator, shape: Shape, diameter: float) -> Labels:
    spread = rng.uniform(0.1, 0.3)

    def draw() -> list[shapes.Outline]:
        size = diameter * rng.lognormal(0, spread)
        if rng.random() < traced.SHARE:
            return [traced.outline(rng, "round", size)]
        return [shapes.ellipse(rng, size, rng.uniform(1, 1.4), 0.03)]

    crowd = placement.draw_crowd(rng, shape, diameter, 0.8)
    bank = placement.stamp_bank(populations.two_sizes(rng, draw), shape, diameter)
    return placement.place(rng, shape, bank, crowd, rng.uniform(0.02, 0.12))


def brightfield(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Unstained cells out of focus on either side: rings at the borders, low contrast inside."""
    labels = _round_cells(rng, shape, diameter) if rng.random() < 0.6 else _adherent(rng, shape, diameter)
    height = _thickness(rng, labels, diameter, rng.uniform(0, 0.8)) + 0.5 * debris(rng, labels, diameter)
    path = np.float32(rng.uniform(0.5, 2.5)) * height
    absorption = np.float32(rng.uniform(0, 0.08)) * height
    fresnel = rng.uniform(2, 3.5) + 0.03 * diameter
    image = optics.bright_field(path, absorption, fresnel, int(rng.choice([-1, 1])), rng.uniform(0.6, 1.3))
    return optics.record_bright(rng, floating_cells.overlay(rng, image, diameter)), labels


def yeast(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Dense colonies of budding yeast with bright rims, in phase contrast or defocused bright field."""
    spread = rng.uniform(0.1, 0.25)

    def draw() -> list[shapes.Outline]:
        size = diameter * rng.lognormal(0, spread)
        return [traced.outline(rng, "round", size)] if rng.random() < traced.SHARE else shapes.budding(rng, size)

    bank = placement.stamp_bank(draw, shape, diameter)
    crowd = placement.draw_crowd(rng, shape, diameter, 0.85)
    labels = placement.place(rng, shape, bank, crowd, rng.uniform(0.02, 0.08))
    height = fields.dome(labels, rng.uniform(0, 0.5)) * fields.per_cell(rng, labels, 0.1)
    vacuoles = placement.nuclei_within(rng, labels, 0.25, 0.55) > 0
    granules = fields.spots(rng, labels > 0, rng.uniform(5, 40) / diameter**2, 0.6 + 0.01 * diameter)
    height *= 1 - rng.uniform(0, 0.35) * fields.blur(vacuoles.astype(np.float32), 1) + rng.uniform(0, 0.3) * granules
    wall = np.exp(-((fields.depth(labels) / (0.8 + 0.02 * diameter)) ** 2)) * (labels > 0)
    path = (rng.uniform(1, 2.5) * height + rng.uniform(0, 0.6) * wall).astype(np.float32)
    if rng.random() < 0.4:
        halo = rng.uniform(2, 4) + 0.08 * diameter
        image = optics.phase_contrast(path, halo, rng.uniform(0.4, 0.7), 0.6)
    else:
        fresnel = rng.uniform(1.8, 3) + 0.04 * diameter
        image = optics.bright_field(path, 0 * path, fresnel, int(rng.choice([-1, 1])), rng.uniform(0.5, 1))
    return optics.record_bright(rng, floating_cells.overlay(rng, image, diameter)), labels
