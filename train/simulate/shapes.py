"""Cell outlines from parametric families. An outline is float32 (K, 2), x and y in px about the origin."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Outline = NDArray[np.float32]

_ANGLES = np.linspace(0, 2 * math.pi, 96, endpoint=False)


def sized(points: NDArray[np.float64], diameter: float) -> Outline:
    """Scale a closed polygon so that its area equals that of a disc of `diameter` px.

    >>> square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    >>> round(float(sized(square, 10)[1, 0]) ** 2, 2)  # the area of a disc of 10 px: 25 pi
    78.54
    """
    x, y = points[:, 0], points[:, 1]
    area = 0.5 * abs(float(x[1:] @ y[:-1] - y[1:] @ x[:-1] + x[0] * y[-1] - y[0] * x[-1]))
    scale = math.sqrt(math.pi / 4 * diameter**2 / max(area, 1e-6))
    return (points * scale).astype(np.float32)


def turned(outline: Outline, angle: float) -> Outline:
    """Rotate by `angle` radians about the origin.

    >>> turned(np.array([[1, 0]], np.float32), math.pi / 2).round(3).tolist()
    [[0.0, 1.0]]
    """
    c, s = math.cos(angle), math.sin(angle)
    return outline @ np.array([[c, s], [-s, c]], np.float32)


def fill(canvas: NDArray[Any], outline: Outline, value: float) -> None:
    """Paint an outline into (Y, X), in place; corners lie on a grid of 1/16 px.

    >>> canvas = np.zeros((4, 4), np.uint8)
    >>> fill(canvas, np.array([[1, 1], [2, 1], [2, 2], [1, 2]], np.float32), 9)
    >>> canvas[1:3, 1:3].tolist()
    [[9, 9], [9, 9]]
    """
    cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], value, shift=4)


def _wobble(rng: Generator, roughness: float, harmonics: int) -> NDArray[np.float64]:
    order = np.arange(2, 2 + harmonics)
    height = rng.normal(0, 1.4 * roughness, harmonics) / (order - 1)
    start = rng.uniform(0, 2 * math.pi, harmonics)
    waves: NDArray[np.float64] = 1 + np.cos(_ANGLES[:, None] * order + start) @ height
    return np.maximum(waves, 0.3)


def ellipse(rng: Generator, diameter: float, aspect: float, roughness: float) -> Outline:
    """Ellipse of axis ratio `aspect` whose radius is perturbed by low-order Fourier terms of height `roughness`."""
    radius = _wobble(rng, roughness, 6)
    points = np.stack([radius * np.cos(_ANGLES) * aspect, radius * np.sin(_ANGLES)], 1)
    return turned(sized(points, diameter), rng.uniform(0, math.pi))


def spread(rng: Generator, diameter: float, lobes: int) -> Outline:
    """Star-convex spread cell: an irregular body with up to `lobes` blunt protrusions (lamellipodia)."""
    radius = _wobble(rng, 0.1, 8)
    for _ in range(rng.integers(0, lobes + 1)):
        offset = np.angle(np.exp(1j * (_ANGLES - rng.uniform(0, 2 * math.pi))))
        radius += rng.uniform(0.2, 0.9) * np.exp(-((offset / rng.uniform(0.15, 0.45)) ** 2))
    points = np.stack([radius * np.cos(_ANGLES) * rng.uniform(1, 1.9), radius * np.sin(_ANGLES)], 1)
    return turned(sized(points, diameter), rng.uniform(0, 2 * math.pi))


def spindle(rng: Generator, diameter: float, aspect: float) -> Outline:
    """Elongated cell with tapering ends, bent along its length, sometimes with side processes."""
    taper = rng.uniform(0.5, 2.2)
    width = np.sin(_ANGLES) * np.abs(np.sin(_ANGLES)) ** taper * _wobble(rng, 0.12, 5)
    x = np.cos(_ANGLES) * aspect
    y = width + rng.normal(0, 0.25) * x**2 / aspect + rng.normal(0, 0.15) * x**3 / aspect**2
    for _ in range(rng.poisson(0.5)):
        side = np.angle(np.exp(1j * (_ANGLES - rng.uniform(0, 2 * math.pi))))
        y += np.sign(np.sin(_ANGLES)) * rng.uniform(0.3, 1.5) * np.exp(-((side / rng.uniform(0.08, 0.2)) ** 2))
    return turned(sized(np.stack([x, y], 1), diameter), rng.uniform(0, 2 * math.pi))


def _centre_line(rng: Generator, length: float, bend: float) -> NDArray[np.float64]:
    """(M, 2) points of a curve of `length` px, about the origin; `bend` is its total turn in radians (deviation)."""
    steps = max(8, int(length / 2))
    along = np.linspace(-1, 1, steps)
    turn = rng.normal(0, bend / 2) * along + rng.normal(0, bend / 3) * along**2 + rng.normal(0, bend / 6) * along**3
    path = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1), axis=0) * (length / steps)
    centred: NDArray[np.float64] = path - path.mean(0)
    return centred


def thicken(line: NDArray[np.float64], width: float, pointed: float = 0) -> Outline:
    """Outline of a centre line (M, 2) drawn with `width` px and round caps; `pointed` in 0..1 thins the ends."""
    return ribbon(line, width / 2 * (1 - pointed * np.linspace(-1, 1, len(line)) ** 2))


def ribbon(line: NDArray[np.float64], half_width: NDArray[np.float64]) -> Outline:
    """Outline of a centre line (M, 2) of `half_width` (M,) px to either side, with round caps."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    half = half_width[:, None]
    cap = np.linspace(math.pi / 2, -math.pi / 2, 9)[1:-1, None]
    head = line[-1] + half[-1] * (np.cos(cap) * tangent[-1] + np.sin(cap) * normal[-1])
    tail = line[0] - half[0] * (np.cos(cap) * tangent[0] + np.sin(cap) * normal[0])
    return np.concatenate([line + half * normal, head, (line - half * normal)[::-1], tail]).astype(np.float32)


def rod_width(diameter: float, aspect: float) -> float:
    """Width of a rod with round ends, `aspect` times as long, that has the area of a disc of `diameter` px.

    >>> round(rod_width(10, 1.0), 1)  # a rod as long as wide is a disc
    10.0
    """
    return diameter * math.sqrt(math.pi / 4 / (aspect - 0.215))


def rod_chain(rng: Generator, diameter: float, aspect: float, bend: float, cells: int) -> list[Outline]:
    """`cells` rods end to end along one curve, as after division without separation.

    Each rod has the area of a disc of `diameter` px and `aspect` times its width as length; a random tilt of each
    cell about its centre breaks the chain slightly.
    """
    width = rod_width(diameter, aspect)
    lengths = width * (aspect - 1) * rng.uniform(0.75, 1.25, cells)
    pitch = lengths + width * 0.95
    line = _centre_line(rng, float(pitch.sum()), bend * cells**0.5)
    place = np.linspace(0, float(pitch.sum()), len(line))
    ends = np.concatenate([[0], np.cumsum(pitch)])
    pointed = rng.uniform(0, 0.15)
    turn = turned(np.eye(2, dtype=np.float32), rng.uniform(0, 2 * math.pi))
    chain = []
    for begin, end, length in zip(ends[:-1], ends[1:], lengths, strict=True):
        middle = (begin + end) / 2
        at = np.linspace(middle - length / 2, middle + length / 2, max(6, int(length / 3)))
        part = np.stack([np.interp(at, place, line[:, axis]) for axis in (0, 1)], 1)
        centre = part.mean(0)
        tilt = turned((part - centre).astype(np.float32), rng.normal(0, 0.06)) + centre
        chain.append(thicken(tilt.astype(np.float64), width, pointed) @ turn)
    return chain


def budding(rng: Generator, diameter: float) -> list[Outline]:
    """A yeast mother, alone or with a smaller bud that touches it."""
    mother = ellipse(rng, diameter, rng.uniform(1, 1.3), 0.015)
    if rng.random() < 0.6:
        return [mother]
    size = diameter * rng.uniform(0.4, 0.8)
    angle = rng.uniform(0, 2 * math.pi)
    reach = float(np.max(mother @ np.array([math.cos(angle), math.sin(angle)], np.float32))) + 0.45 * size
    bud = ellipse(rng, size, rng.uniform(1, 1.3), 0.015)
    return [mother, bud + np.array([math.cos(angle), math.sin(angle)], np.float32) * np.float32(reach)]


def with_processes(rng: Generator, diameter: float, tips: int, slender: float) -> Outline:
    """Adherent cell pulled out into `tips` tapering processes between hollow sides, as of glia or fibroblasts.

    `slender` in 0..1 makes the body small and the processes long. The sides are rational Bézier curves. The ends are
    about 0.03 to 0.12 of `diameter` wide.
    """
    angles = np.arange(tips) * 2 * math.pi / tips + rng.normal(0, 0.9 / tips, tips)
    reach = rng.lognormal(0, 0.25 + 0.2 * slender, tips)
    fullest = 0.8 if tips == 2 else 0.5
    body = fullest * (1 - 0.6 * slender) * rng.uniform(0.6, 1.2, tips)
    hollow = rng.uniform(1, 2.5)
    blunt = 0.5 * rng.uniform(0.03, 0.12, tips)
    step = np.linspace(0, 1, 14)[:, None]
    sides = []
    for tip in range(tips):
        following = (tip + 1) % tips
        gap = (angles[following] - angles[tip]) % (2 * math.pi) or 2 * math.pi
        middle = angles[tip] + gap / 2
        start = reach[tip] * _ray(angles[tip]) + blunt[tip] * _ray(angles[tip] + math.pi / 2)
        end = reach[following] * _ray(angles[following]) - blunt[following] * _ray(angles[following] + math.pi / 2)
        waist = body[tip] * _ray(middle)
        pull = 2 * hollow * step * (1 - step)
        weight = (1 - step) ** 2 + pull + step**2
        sides.append(((1 - step) ** 2 * start + pull * waist + step**2 * end) / weight)
    points = np.concatenate(sides)
    points[:, 1] += rng.normal(0, 0.2) * points[:, 0] ** 2
    return turned(sized(points, diameter), rng.uniform(0, 2 * math.pi))


def _ray(angle: float) -> NDArray[np.float64]:
    return np.array([math.cos(angle), math.sin(angle)])
