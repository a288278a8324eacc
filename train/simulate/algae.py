"""Bodies with a colour of their own in bright field: algae, pollen, spheroids and organoids."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from train.simulate import fields, optics, populations, stained
from train.simulate.fields import Image, Labels, Shape
from train.simulate.fluorescence import Scene

_COLOURS = ((0.7, 0.25, 0.8), (0.4, 0.2, 0.9), (0.35, 0.55, 0.8), (0.7, 0.7, 0.7))
"""Optical density (RGB) of green, yellow-green, brown and grey bodies."""


def _bodies(rng: Generator, shape: Shape, diameter: float) -> Labels:
    spread, aspect, roughness = rng.uniform(0.05, 0.35), rng.uniform(1.05, 2.2), rng.choice([0.01, 0.03, 0.07])
    return populations.rounded(rng, shape, diameter, spread, aspect, roughness, (0.02, 0.1))


def _pigment(rng: Generator, labels: Labels, diameter: float) -> Image:
    """Density (Y, X): a body that is clear or dark in the middle, lumps, grains and empty bubbles."""
    shape = (labels.shape[0], labels.shape[1])
    lumps = fields.fractal_noise(rng, shape, max(2.0, rng.uniform(0.1, 0.35) * diameter))
    grains = fields.spots(rng, labels > 0, rng.uniform(0, 60) / diameter**2, 0.6 + 0.02 * diameter)
    bubbles = fields.spots(rng, labels > 0, rng.uniform(0, 6) / diameter**2, 0.05 * diameter)
    body = (1 - rng.uniform(0, 0.6)) + rng.uniform(-0.3, 1) * fields.dome(labels, rng.uniform(0, 0.6))
    texture = 1 + rng.uniform(0, 0.5) * lumps + rng.uniform(0, 0.6) * grains - rng.uniform(0, 0.7) * bubbles
    solid = fields.blur((labels > 0).astype(np.float32), 0.7) * fields.per_cell(rng, labels, rng.uniform(0.05, 0.4))
    return np.asarray(np.clip(body * texture, 0.05, None) * solid, np.float32)


def algae(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Green, brown or grey bodies with a dark or bright rim, in colour or grey; whole bodies are labelled."""
    labels = _bodies(rng, shape, diameter)
    pigment = rng.uniform(0.3, 1.5) * _pigment(rng, labels, diameter)
    path = np.float32(rng.uniform(0.3, 1.5)) * fields.dome(labels, rng.uniform(0, 0.7))
    specks = fields.spots(rng, labels == 0, rng.choice([0, 0.3]) / diameter**2, 0.6 + 0.02 * diameter)
    fresnel = rng.uniform(1.5, 2.5) + 0.03 * diameter
    refracted = optics.bright_field(path + 0.5 * specks, 0.1 * specks, fresnel, int(rng.choice([-1, 1])), 0.8)
    colour = _COLOURS[rng.integers(len(_COLOURS))]
    stains = [
        (pigment.astype(np.float32), stained.jittered(rng, colour, 0.2)),
        (-np.log(np.clip(refracted, 0.2, 3)), (1.0, 1.0, 1.0)),
    ]
    image = stained.photograph(rng, stains)
    return (image if rng.random() < 0.6 else np.rint(image.mean(-1)).astype(np.uint8)), labels
