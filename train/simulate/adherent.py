"""Adherent cells that crawl or spread: slender with thin processes, flat, or confluent; in transmitted light."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from skimage.segmentation import expand_labels

from train.simulate import fields, floating_cells, optics, placement, populations, shapes, traced, transmitted
from train.simulate.fields import Image, Labels, Mask, Shape
from train.simulate.fluorescence import Scene


def _crawling(rng: Generator, shape: Shape, diameter: float, crowd: placement.Crowd, rounded: float) -> Labels:
    """Cells with processes, large flat ones, and a share `rounded` of small round ones about to divide."""
    slender, spread, flat = rng.uniform(0, 1), rng.uniform(0.15, 0.4), rng.uniform(0, 0.5)

    def draw() -> list[shapes.Outline]:
        size = diameter * rng.lognormal(0, spread)
        kind = rng.random()
        if kind < rounded:
            return [shapes.ellipse(rng, 0.6 * size, rng.uniform(1, 1.15), 0.01)]
        if kind < rounded + 0.25:
            return [traced.outline(rng, "spread", size)]
        if rng.random() < flat:
            return [shapes.ellipse(rng, 1.2 * size, rng.uniform(1, 2.2), 0.06)]
        return [shapes.with_processes(rng, size, int(rng.choice([2, 3, 4, 5], p=[0.4, 0.35, 0.15, 0.1])), slender)]

    bank = placement.stamp_bank(populations.two_sizes(rng, draw), shape, diameter)
    return placement.place(rng, shape, bank, crowd, rng.uniform(0.05, 0.25))


def _roundness(labels: Labels) -> Image:
    """(Y, X) map of depth over radius of the disc of equal area: 1 for round cells, small for slender and cut ones."""
    areas = np.bincount(labels.ravel())
    areas[0] = 1
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        areas[edge] = labels.size
    radius = np.sqrt(areas / math.pi).astype(np.float32)[labels]
    return np.asarray(fields.peak(labels, fields.depth(labels)) / np.maximum(radius, 1), np.float32)


def _inside(rng: Generator, labels: Labels, nuclei: Labels, diameter: float) -> Image:
    """Optical path of what a thin cell holds: nucleoli, dark granules about the nucleus, vacuoles, fibres."""
    shape = (labels.shape[0], labels.shape[1])
    core = nuclei > 0
    near: Mask = fields.blur(core.astype(np.float32), 0.12 * diameter) > rng.uniform(0.02, 0.15)
    nucleoli = fields.spots(rng, core, 25 / diameter**2, 0.5 + 0.02 * diameter)
    granules = fields.spots(rng, near & (labels > 0), rng.uniform(10, 120) / diameter**2, 0.6 + 0.008 * diameter)
    vacuoles = fields.spots(rng, labels > 0, rng.uniform(0, 8) / diameter**2, 0.6 + 0.02 * diameter)
    fibres = fields.fibre_noise(rng, shape, 0.4 * diameter, max(1.5, 0.03 * diameter)) * (labels > 0)
    rim = np.exp(-((fields.depth(nuclei) / 1.2) ** 2)) * core
    path = rng.uniform(0.2, 1) * nucleoli + rng.uniform(0, 0.6) * granules - rng.uniform(0, 0.5) * vacuoles
    path += rng.choice([0, 0, 0, 0.03]) * fibres + rng.uniform(0, 0.3) * rim - rng.uniform(0, 0.3) * core
    return np.asarray(path * min(1.0, diameter / 35), np.float32)


def optical_path(rng: Generator, labels: Labels, diameter: float, bulge: float) -> Image:
    """Optical path, about 1 where thick: a thin sheet, up to `bulge` more at the nucleus.

    Narrow cells are thicker than wide ones, as they hold as much, and round cells are the thickest.
    """
    nuclei = placement.nuclei_within(rng, labels, 0.25, 0.45)
    inside = fields.depth(labels)
    sheet = np.minimum(inside / np.float32(1 + rng.uniform(0.01, 0.08) * diameter), 1)
    hill = fields.blur((nuclei > 0).astype(np.float32), 0.1 * diameter) * fields.dome(labels, 0.3)
    edge = np.exp(-((inside / np.float32(0.8 + 0.03 * diameter)) ** 2)) * (labels > 0)
    height = rng.uniform(0.25, 0.6) * sheet + bulge * hill + rng.choice([0, 0.25]) * edge
    narrow = np.clip(np.float32(0.22 * diameter) / np.maximum(fields.peak(labels, inside), 1), 0.5, 2)
    height *= fields.per_cell(rng, labels, rng.uniform(0.1, 0.4)) * narrow ** rng.uniform(0, 1)
    height += rng.uniform(0.2, 0.7) * _inside(rng, labels, nuclei, diameter) * np.minimum(inside / 2, 1)
    ball = np.clip((_roundness(labels) - 0.85) * 8, 0, 1) * rng.uniform(0.5, 4)
    return np.asarray(height + ball * fields.dome(labels, 0), np.float32)


def litter(rng: Generator, labels: Labels, diameter: float) -> Image:
    """Optical path of ragged unlabelled fragments on the ground, in half of the images."""
    if rng.random() < 0.5:
        return np.zeros(labels.shape, np.float32)
    noise = fields.fractal_noise(rng, (labels.shape[0], labels.shape[1]), 2 + rng.uniform(0.05, 0.2) * diameter)
    ragged = (noise > rng.uniform(2.2, 3)) & (labels == 0)
    return rng.uniform(0.2, 0.8) * fields.blur(ragged.astype(np.float32), 0.6)


def seen_in_phase(rng: Generator, path: Image, diameter: float) -> NDArray[np.uint8]:
    """Phase contrast with bright rings about thick cells; now and then the path itself, as quantitative phase shows."""
    path = fields.blur(path, rng.uniform(0.4, 0.8))
    if rng.random() < 0.12:
        return optics.record_bright(rng, 1 + path)
    halo = rng.uniform(1.5, 3) + rng.uniform(0.03, 0.12) * diameter
    image = optics.phase_contrast(rng.uniform(0.6, 2.2) * path, halo, rng.uniform(0.28, 0.65), rng.uniform(0.3, 0.8))
    return optics.record_bright(rng, floating_cells.overlay(rng, image, diameter))


def seen_in_dic(rng: Generator, path: Image, diameter: float) -> NDArray[np.uint8]:
    """Differential interference contrast with a random direction of shear."""
    angle, bias = rng.uniform(0, 2 * math.pi), rng.uniform(0.8, 1.6)
    path = path * np.float32(rng.uniform(0.5, 2) * diameter / 10)
    image = optics.differential_interference(path, angle, rng.uniform(0.3, 1), bias, rng.uniform(0.7, 1.2))
    return optics.record_bright(rng, image)


def seen_in_bright_field(rng: Generator, path: Image, diameter: float) -> NDArray[np.uint8]:
    """Bright field somewhat above or below the focus."""
    path = np.float32(rng.uniform(0.5, 2.5)) * path
    fresnel = rng.uniform(1.8, 3) + 0.03 * diameter
    image = optics.bright_field(path, 0.03 * path, fresnel, int(rng.choice([-1, 1])), rng.uniform(0.6, 1.2))
    return optics.record_bright(rng, floating_cells.overlay(rng, image, diameter))


def slender_phase(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Sparse to crowded adherent cells with thin processes in phase contrast, round bright ones among them."""
    crowd = placement.draw_crowd(rng, shape, diameter, 0.6)
    labels = _crawling(rng, shape, diameter, crowd, rng.choice([0, 0.05, 0.15]))
    path = optical_path(rng, labels, diameter, rng.uniform(0.3, 1.2)) + transmitted.debris(rng, labels, diameter)
    path += litter(rng, labels, diameter)
    return seen_in_phase(rng, path, diameter), labels


def spread_dic(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Flat spread cells in DIC: faint edges; nucleus, nucleoli and granules show more than the outline does."""
    crowd = placement.draw_crowd(rng, shape, diameter, 0.7)
    labels = _crawling(rng, shape, diameter, crowd, rng.choice([0, 0.05]))
    path = optical_path(rng, labels, diameter, rng.uniform(0.2, 0.8)) + 0.5 * transmitted.debris(rng, labels, diameter)
    return seen_in_dic(rng, path, diameter), labels


def spread_brightfield(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Unstained flat and slender cells in bright field, somewhat out of focus on either side."""
    crowd = placement.draw_crowd(rng, shape, diameter, 0.7)
    labels = _crawling(rng, shape, diameter, crowd, rng.choice([0, 0.1]))
    path = optical_path(rng, labels, diameter, rng.uniform(0.3, 1.2)) + 0.5 * transmitted.debris(rng, labels, diameter)
    return seen_in_bright_field(rng, path, diameter), labels


def confluent(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Cells that cover all or nearly all of the ground, side by side, in phase contrast or DIC."""
    if rng.random() < 0.5:
        sparse = _crawling(rng, shape, 0.85 * diameter, placement.Crowd(rng.uniform(0.55, 0.75), 0.9), 0)
        labels = placement.tidy(expand_labels(sparse, rng.uniform(0.1, 0.35) * diameter))
    else:
        labels = placement.tessellate(rng, shape, diameter, rng.uniform(0.6, 1))
        labels = placement.drop_cells(rng, labels, rng.choice([0, 0.02, 0.15]))
    height = optical_path(rng, labels, diameter, rng.uniform(0.3, 0.9))
    height += rng.uniform(0.2, 0.8) * fields.dome(labels, rng.uniform(0.3, 1))
    see = seen_in_phase if rng.random() < 0.65 else seen_in_dic
    return see(rng, height, diameter), labels
