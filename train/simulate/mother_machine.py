"""Rod-shaped bacteria in rows, in the narrow channels of a mother machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate import bacteria, fields, shapes
from train.simulate.fields import Image, Labels, Shape
from train.simulate.fluorescence import Scene


@dataclass(frozen=True)
class _Chip:
    """Channels along the first axis, lengths in px: closed at `top`, open to a trench at `bottom`."""

    top: float
    bottom: float
    centres: list[float]
    slope: float
    """How far the channels move along the second axis for each px of the first."""
    bore: float

    def axis(self, centre: float, y: NDArray[Any]) -> NDArray[Any]:
        """Return where along the second axis the channel's middle lies at the places y of the first."""
        return centre + self.slope * y


def _draw_chip(rng: Generator, shape: Shape, width: float) -> _Chip:
    pitch = width * math.exp(rng.uniform(math.log(1.8), math.log(8)))
    top, bottom = rng.uniform(-0.1, 0.25) * shape[0], rng.uniform(0.7, 1.1) * shape[0]
    centres = np.arange(rng.uniform(0, min(pitch, shape[1])), shape[1], pitch)
    return _Chip(top, bottom, centres.tolist(), rng.uniform(-0.06, 0.06), width * rng.uniform(1.05, 1.5))


def _rows_of_rods(rng: Generator, shape: Shape, chip: _Chip, width: float, aspect: float) -> Labels:
    """Rods end to end from the closed end on; some channels are full, some in part, some empty."""
    labels = np.zeros(shape, np.int32)
    spread, gap = rng.uniform(0.1, 0.35), rng.uniform(0, 2)
    cell = 0
    for centre in chip.centres:
        filled = rng.choice([1.05, rng.uniform(0.1, 1), 0], p=[0.65, 0.25, 0.1])
        wide = width * rng.lognormal(0, 0.05)
        y = chip.top + rng.uniform(0, width)
        while y < chip.top + filled * (chip.bottom - chip.top):
            length = max(aspect * rng.lognormal(0, spread), 1.2) * wide
            along = np.linspace(y + wide / 2, y + length - wide / 2, 8)
            across = chip.axis(centre, along) + rng.uniform(-0.4, 0.4) * (chip.bore - width)
            cell += 1
            shapes.fill(labels, shapes.thicken(np.stack([across, along], 1), wide), cell)
            y += length + gap * rng.uniform(0.5, 1.5)
    return labels


def _walls(rng: Generator, shape: Shape, chip: _Chip, width: float) -> Image:
    """Optical path (Y, X) of the chip's material, with another one for the trench; 0 in the channels."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    inside = np.zeros(shape, bool)
    for centre in chip.centres:
        inside |= np.abs(x - chip.axis(centre, y)) < chip.bore / 2
    inside &= y > chip.top
    path = np.where(inside, 0, rng.uniform(-0.5, 1.2))
    path = np.where(y > chip.bottom, rng.uniform(-1, 1), path).astype(np.float32)
    return fields.blur(path, rng.uniform(0.5, 0.5 + 0.2 * width))


def mother_machine(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Channels upright, upside down or lying, in phase contrast, bright field or fluorescence."""
    lying, upside_down = rng.random(2) < 0.5
    canvas = shape[::-1] if lying else shape
    aspect = rng.uniform(1.6, max(1.7, min(5.0, (diameter / 4) ** 2)))
    width = shapes.rod_width(diameter, aspect)
    chip = _draw_chip(rng, canvas, width)
    labels = _rows_of_rods(rng, canvas, chip, width, aspect)
    if rng.random() < 0.7:
        image = bacteria.transmitted(rng, labels, width, _walls(rng, canvas, chip, width))
    else:
        image = bacteria.fluorescent(rng, labels, width)
    if upside_down:
        image, labels = image[::-1], labels[::-1]
    if lying:
        image, labels = image.T, labels.T
    return np.ascontiguousarray(image), np.ascontiguousarray(labels)
