"""Shapes of cells with branched processes: ramified, star-shaped, neuron-like, bipolar, amoeboid and spread sheets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate import shapes
from train.simulate.placement import Stamp
from train.simulate.shapes import Outline

_STEPS = 24
_THINNEST = 0.7
"""Least half width of a process in px; painted, this is about 2 px wide."""
_ORIGIN = np.zeros(2)


@dataclass
class Plan:
    """The parts of one cell, whose union it is, about the origin: solid outlines, and lines with their half widths."""

    solids: list[Outline] = field(default_factory=list)
    lines: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=list)

    def outlines(self, scale: float) -> list[Outline]:
        """Every part, `scale` times as large, no line thinner than about 2 px."""
        ribbons = [shapes.ribbon(line * scale, np.maximum(half * scale, _THINNEST)) for line, half in self.lines]
        return [outline * np.float32(scale) for outline in self.solids] + ribbons


@dataclass(frozen=True)
class Process:
    """How a process looks, lengths in diameters of the soma: `width` and `flare` at its root, `bend` in radians."""

    length: float
    width: float
    flare: float
    bend: float
    order: int


def _grow(rng: Generator, plan: Plan, start: NDArray[np.float64], heading: float, form: Process) -> None:
    """Add a winding, tapering process and, for `order` generations, its branches to `plan`."""
    along = np.linspace(0, 1, _STEPS)
    wander = np.convolve(rng.normal(0, form.bend, _STEPS + 6), np.full(7, 1 / 7), "valid")
    turn = heading + np.cumsum(wander) / math.sqrt(_STEPS) * 1.6
    steps = np.stack([np.cos(turn), np.sin(turn)], 1) * (form.length / _STEPS)
    line = start + np.cumsum(steps, 0)
    beads = 1 + 0.2 * np.convolve(rng.normal(0, 1, _STEPS + 2), np.full(3, 1 / 3), "valid")
    half = form.width / 2 * (1 - rng.uniform(0.5, 0.9) * along) * beads
    half += form.flare / 2 * np.exp(-along * form.length / max(0.8 * form.flare, 1e-3))
    plan.lines.append((line, half))
    if form.order == 0:
        return
    for place in rng.uniform(0.25, 0.9, rng.integers(0, 4)):
        at = int(place * _STEPS)
        side = rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
        length = form.length * rng.uniform(0.25, 0.6)
        branch = Process(length, 1.6 * half[at], 0.5 * half[at], 0.6 * form.bend, form.order - 1)
        _grow(rng, plan, line[at], turn[at] + side, branch)


def _around(rng: Generator, count: int) -> NDArray[np.float64]:
    """`count` headings in radians, unevenly spaced about the circle."""
    even = np.arange(count) * 2 * math.pi / max(count, 1)
    spaced: NDArray[np.float64] = even + rng.normal(0, 1 / max(count, 1), count) + rng.uniform(0, 2 * math.pi)
    return spaced


def _ramified(rng: Generator) -> Plan:
    """Resting microglia: a small soma and long, thin, winding processes that branch twice."""
    plan = Plan([shapes.ellipse(rng, 1, rng.uniform(1, 1.7), 0.06)])
    reach, width = rng.uniform(1.2, 3), rng.uniform(0.1, 0.2)
    for heading in _around(rng, int(rng.integers(3, 9))):
        form = Process(reach * rng.lognormal(0, 0.3), width, rng.uniform(0.1, 0.3), rng.uniform(0.5, 1.1), 2)
        _grow(rng, plan, _ORIGIN + 0.3 * _ray(heading), heading, form)
    return plan


def _starred(rng: Generator) -> Plan:
    """Astrocyte: processes as wide as a third of the soma where they leave it, rather straight."""
    plan = Plan([shapes.ellipse(rng, 0.9, rng.uniform(1, 1.5), 0.05)])
    reach, width = rng.uniform(0.8, 2), rng.uniform(0.16, 0.3)
    for heading in _around(rng, int(rng.integers(4, 9))):
        form = Process(reach * rng.lognormal(0, 0.25), width, rng.uniform(0.2, 0.5), 0.45, int(rng.integers(1, 3)))
        _grow(rng, plan, _ORIGIN + 0.2 * _ray(heading), heading, form)
    return plan


def _neuronal(rng: Generator) -> Plan:
    """Neuron: a round or pointed soma, one process much longer than the other one to four."""
    plan = Plan([shapes.ellipse(rng, 1, rng.uniform(1, 1.7), 0.05)])
    width = rng.uniform(0.14, 0.28)
    for number, heading in enumerate(_around(rng, int(rng.integers(2, 6)))):
        length = rng.uniform(2, 5) if number == 0 else rng.uniform(0.7, 2)
        flare = rng.uniform(0.2, 0.8)
        form = Process(length, width * rng.uniform(0.7, 1.2), flare, rng.uniform(0.2, 0.6), int(rng.integers(0, 3)))
        _grow(rng, plan, _ORIGIN + 0.25 * _ray(heading), heading, form)
    return plan


def _bipolar(rng: Generator) -> Plan:
    """Fibroblast-like cell: pulled out to both ends, at times to a third side."""
    plan = Plan([shapes.spindle(rng, 1, rng.uniform(1.5, 3))] if rng.random() < 0.4 else [])
    plan.solids.append(shapes.ellipse(rng, 0.9, rng.uniform(1, 1.5), 0.06))
    first = rng.uniform(0, 2 * math.pi)
    headings = (first, first + math.pi + rng.normal(0, 0.3), first + rng.uniform(1, 2))
    for heading in headings[: rng.integers(2, 4)]:
        width, flare = rng.uniform(0.2, 0.4), rng.uniform(0.4, 0.9)
        form = Process(rng.uniform(0.8, 2.5), width, flare, 0.3, int(rng.integers(0, 2)))
        _grow(rng, plan, _ORIGIN + 0.1 * _ray(heading), heading, form)
    return plan


def _amoeboid(rng: Generator) -> Plan:
    """Active microglia or a cell that detaches: round, with a rough rim and up to three stubs."""
    body = shapes.ellipse(rng, 1, rng.uniform(1, 1.5), rng.uniform(0.02, 0.1))
    plan = Plan([_ragged(rng, body, rng.uniform(0, 0.04))])
    for heading in _around(rng, int(rng.integers(0, 4))):
        form = Process(rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.3), rng.uniform(0.2, 0.5), 0.4, 0)
        _grow(rng, plan, _ORIGIN + 0.3 * _ray(heading), heading, form)
    return plan


def _lamellar(rng: Generator) -> Plan:
    """Spread smooth muscle cell or fibroblast: a wide thin sheet with hollow sides, ruffles, spikes and tails."""
    sheet = shapes.ellipse(rng, rng.uniform(0.6, 0.95), rng.uniform(1, 1.9), 0.09)
    corners = shapes.with_processes(rng, 1, int(rng.integers(3, 8)), rng.uniform(0, 0.5))
    plan = Plan([_ragged(rng, sheet, rng.uniform(0, 0.08)), _ragged(rng, corners, rng.uniform(0, 0.05))])
    rim = plan.solids[int(rng.integers(2))].astype(np.float64)
    for root in rim[rng.integers(0, len(rim), rng.choice([0, 6, 20]))]:
        heading = math.atan2(root[1], root[0]) + rng.normal(0, 0.4)
        form = Process(rng.uniform(0.08, 0.3), rng.uniform(0.02, 0.06), rng.uniform(0.03, 0.1), 0.5, 0)
        _grow(rng, plan, 0.95 * root, heading, form)
    for heading in _around(rng, int(rng.choice([0, 0, 1, 2]))):
        form = Process(rng.uniform(0.8, 1.6), rng.uniform(0.08, 0.2), rng.uniform(0.2, 0.5), 0.3, 1)
        _grow(rng, plan, _ORIGIN + 0.3 * _ray(heading), heading, form)
    return plan


def _ragged(rng: Generator, outline: Outline, height: float) -> Outline:
    """Ruffle a part of the rim: waves of up to `height` times the radius, 12 to 30 about the circle."""
    angle = np.arctan2(outline[:, 1], outline[:, 0])
    order = np.arange(12, 30, 3)
    waves = np.cos(angle[:, None] * order + rng.uniform(0, 2 * math.pi, len(order))) @ rng.normal(0, 1, len(order))
    part = np.clip(np.cos(angle - rng.uniform(0, 2 * math.pi)) + rng.uniform(0, 1), 0, 1)
    return np.asarray(outline * (1 + height * part * np.clip(waves, -1.5, 2))[:, None], np.float32)


def _ray(angle: float) -> NDArray[np.float64]:
    return np.array([math.cos(angle), math.sin(angle)])


_STYLES: tuple[Callable[[Generator], Plan], ...] = (_ramified, _starred, _neuronal, _bipolar, _amoeboid, _lamellar)
STYLES = len(_STYLES)
"""Number of shapes, ordered from branched to round to spread; the last two are amoeboid and lamellar."""


def cell(rng: Generator, style: int, diameter: float) -> Stamp:
    """One cell of shape `style` (0 to STYLES - 1) with about the area of a disc of `diameter` px."""
    plan = _STYLES[style](rng)
    wanted, scale = math.pi / 4 * diameter**2, diameter
    for _ in range(5):
        scale *= math.sqrt(wanted / max(int(painted(plan.outlines(scale)).sum()), 1))
    mask = painted(plan.outlines(scale))
    return Stamp(mask.astype(np.int32), np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 3), np.float32))


def painted(outlines: list[Outline]) -> NDArray[np.uint8]:
    """Union of outlines as uint8 (h, w) with a margin of 2 px."""
    everything = np.concatenate(outlines)
    low = np.floor(everything.min(0)).astype(int) - 2
    width, height = np.ceil(everything.max(0)).astype(int) - low + 3
    canvas = np.zeros((height, width), np.uint8)
    for outline in outlines:
        shapes.fill(canvas, outline - low.astype(np.float32), 1)
    return canvas
