"""The plan of a simulated slide: everything from which its windows are rendered, much smaller than the pixels.

The positions of the nuclei are a periodic random set, thinned by a density map. Tissue, density, stain and light are
fields of a low resolution, one value every `STEP` px. The textures repeat, the two of the ground with periods whose
least common multiple is 13,312 px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage, spatial

from train.simulate import fields, placement, shapes
from train.simulate.fields import Image, Shape

DIAMETER = 20.0
"""Median diameter of the nuclei, in px, as that of a disc of equal area."""
GLASS = 0.35
"""Share of the slide without tissue."""
STEP = 32
"""Distance in px between the values of a low-resolution field."""
PERIOD = 1024
"""Period in px of positions, fibres and noise."""
CLOUD_PERIOD = 832
SPACING = 0.85 * DIAMETER
"""Smallest distance in px between the centres of two nuclei."""
SPARSEST = 0.15
"""Share of the positions that are used where the tissue has the fewest nuclei; it is 1 where it has the most."""
REGION = 3000.0
"""Size in px of regions of tissue and glass on large slides; on small ones it is a third of the longer side."""
STAMPS = 128


@dataclass(frozen=True)
class Nucleus:
    """A nucleus to be printed: `depth` float32 (h, w) px to its edge, 0 outside; `blue` float32 (h, w) density."""

    depth: Image
    blue: Image


@dataclass(frozen=True)
class Plan:
    """A slide of `shape` (Y, X) px; the low fields are float32 (ceil(Y / STEP) + 2, ceil(X / STEP) + 2)."""

    shape: Shape
    tissue: Image
    """Low field, 0..1: tissue where it exceeds about 0.5."""
    density: Image
    """Low field, 0..1: share of the places that hold a nucleus, inside tissue."""
    blue: Image
    """Low field: factor of the haematoxylin."""
    pink: Image
    """Low field: factor of the eosin."""
    light: Image
    """Low field: factor of the illumination."""
    rows: NDArray[np.int32]
    """(N,) rows of the nuclei's centres in px, ascending."""
    columns: NDArray[np.int32]
    kinds: NDArray[np.int32]
    """(N,) indices into `nuclei`."""
    strengths: NDArray[np.float32]
    """(N,) factors of the nuclei's haematoxylin."""
    nuclei: list[Nucleus]
    fibres: Image
    """(PERIOD, PERIOD) noise of unit deviation that wraps around, as are the next two."""
    cloud: Image
    """(CLOUD_PERIOD, CLOUD_PERIOD)."""
    noise: NDArray[np.float32]
    """(PERIOD, PERIOD, 3)."""


def plan_slide(shape: Shape, seed: int) -> Plan:
    """Draw the plan of a slide of `shape` (Y, X) px; equal arguments give equal plans."""
    rng = np.random.default_rng(seed)
    low = (math.ceil(shape[0] / STEP) + 2, math.ceil(shape[1] / STEP) + 2)
    region = min(REGION, max(shape) / 3)

    def mottle(scale: float, octaves: int) -> Image:
        return fields.fractal_noise(rng, low, max(scale / STEP, 2), octaves)

    ground = mottle(region, 4)
    inside = ground > np.quantile(ground, GLASS)
    edge = ground[inside].min()
    tissue = np.clip((ground - edge) / np.float32(0.3) + np.float32(0.5), 0, 1).astype(np.float32)
    lean = mottle(region / 2, 3)
    sorted_lean = np.sort(lean[inside])
    rank = np.searchsorted(sorted_lean, lean) / sorted_lean.size
    density = (SPARSEST + (1 - SPARSEST) * rank**0.45).astype(np.float32)
    blue = np.exp(0.2 * mottle(1.5 * region, 2) + 0.1 * mottle(0.15 * region, 2)).astype(np.float32)
    pink = np.exp(0.25 * mottle(region, 2) + 0.12 * mottle(0.1 * region, 2)).astype(np.float32)
    light = (1 + 0.02 * mottle(2 * region, 3)).astype(np.float32)
    rows, columns = _places(rng, shape, np.where(inside, density, 0).astype(np.float32))
    return Plan(
        shape=shape,
        tissue=tissue,
        density=density,
        blue=blue,
        pink=pink,
        light=light,
        rows=rows,
        columns=columns,
        kinds=rng.integers(0, STAMPS, len(rows), np.int32),
        strengths=rng.lognormal(0, 0.25, len(rows)).astype(np.float32),
        nuclei=[_nucleus(rng) for _ in range(STAMPS)],
        fibres=_fibres(rng),
        cloud=_periodic(rng, CLOUD_PERIOD, (24, 24)) + np.float32(0.5) * _periodic(rng, CLOUD_PERIOD, (8, 8)),
        noise=np.stack([_periodic(rng, PERIOD, (0.6, 0.6)) for _ in range(3)], -1),
    )


def _places(rng: Generator, shape: Shape, density: Image) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows and columns of the nuclei, by row; `density` 0..1 on the low grid is the share of the places that is used.

    No two lie closer than `SPACING`.
    """
    points = _spaced(rng)
    found = []
    for top in range(0, shape[0], PERIOD):
        for left in range(0, shape[1], PERIOD):
            shifted = points + (top, left)
            shifted = shifted[(shifted[:, 0] < shape[0]) & (shifted[:, 1] < shape[1])]
            share = density[shifted[:, 0] // STEP, shifted[:, 1] // STEP]
            found.append(shifted[rng.random(len(shifted)) < share])
    places = np.concatenate(found).astype(np.int32)
    places = places[np.lexsort((places[:, 1], places[:, 0]))]
    return places[:, 0], places[:, 1]


def _spaced(rng: Generator) -> NDArray[np.int64]:
    """(N, 2) places in a square of side PERIOD, at least SPACING apart also across its edges, nearly as many as fit."""
    points = rng.integers(0, PERIOD, (40_000, 2))
    near = spatial.cKDTree(points, boxsize=PERIOD).query_ball_point(points, SPACING)
    free = np.ones(len(points), bool)
    for index, others in enumerate(near):
        if free[index]:
            free[others] = False
            free[index] = True
    return points[free]


def _nucleus(rng: Generator) -> Nucleus:
    size = DIAMETER * rng.lognormal(0, 0.15)
    aspect = rng.uniform(1.8, 3) if rng.random() < 0.15 else rng.uniform(1, 1.6)
    item = placement.stamp([shapes.ellipse(rng, size, aspect, 0.04)])
    whole = (item.member > 0).astype(np.float32)
    shape = (whole.shape[0], whole.shape[1])
    chromatin = 0.9 + 0.22 * fields.fractal_noise(rng, shape, 0.22 * DIAMETER)
    rim = 0.45 * np.exp(-((item.depth / 1.3) ** 2))
    return Nucleus(item.depth, (fields.blur(whole, 0.8) * np.maximum(chromatin + rim, 0.25)).astype(np.float32))


def _periodic(rng: Generator, period: int, sigma: tuple[float, float]) -> Image:
    """(period, period) noise of unit deviation that wraps around, smooth over `sigma` px."""
    spectrum = np.fft.fft2(rng.standard_normal((period, period)))
    noise = np.fft.ifft2(ndimage.fourier_gaussian(spectrum, sigma)).real
    return np.asarray(noise / noise.std(), np.float32)


def _fibres(rng: Generator) -> Image:
    """(PERIOD, PERIOD) wavy streaks of unit deviation that wrap around."""
    streaks = _periodic(rng, PERIOD, (1.5, 18))
    y, x = np.mgrid[:PERIOD, :PERIOD].astype(np.float32)
    sway = [y + 50 * _periodic(rng, PERIOD, (90, 90)), x + 50 * _periodic(rng, PERIOD, (90, 90))]
    return np.asarray(ndimage.map_coordinates(streaks, sway, order=1, mode="grid-wrap"), np.float32)
