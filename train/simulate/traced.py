"""Outlines traced from the masks of real cells: see `train.simulate.trace` for their sources and licences."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate.shapes import Outline, sized, turned

BANK = Path(__file__).with_name("outlines.npz")
SHARE = 0.35
"""Share of the cells with a traced outline, in the modalities that use traced outlines."""


@cache
def bank(group: str) -> tuple[NDArray[np.float32], ...]:
    """The outlines of a group ("nuclei", "spread" or "round") by source, each (N, K, 2) and of diameter 1.

    >>> {outlines.shape[2] for outlines in bank("nuclei")}  # x and y
    {2}
    """
    with np.load(BANK) as file:
        return tuple(file[name].astype(np.float32) for name in sorted(file.files) if name.split("/")[0] == group)


def outline(rng: Generator, group: str, diameter: float) -> Outline:
    """A real outline of a group, its sources equally likely: turned, at times mirrored and slightly stretched."""
    sources = bank(group)
    source = sources[rng.integers(len(sources))]
    stretch = math.exp(rng.normal(0, 0.08))
    mirror = rng.choice([-1, 1])
    shape = turned(source[rng.integers(len(source))], rng.uniform(0, 2 * math.pi))
    return sized(shape * np.array([mirror * stretch, 1 / stretch]), diameter)
