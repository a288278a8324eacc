"""The table of modalities and the entry point that simulates one labelled image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train.simulate import (
    adherent,
    algae,
    bacteria,
    branched,
    cytology,
    embryo,
    flat,
    fluorescence,
    histology,
    marks,
    mixed_sizes,
    mother_machine,
    organoid,
    stained,
    transmitted,
    white_cells,
)
from train.simulate.fields import Labels, Shape
from train.simulate.placement import tidy

_SCENES: dict[str, Callable[[Generator, Shape, float], fluorescence.Scene]] = {
    "fluorescence_nuclei": fluorescence.nuclei,
    "fluorescence_wholecell": fluorescence.whole_cells,
    "phase": transmitted.phase,
    "dic": transmitted.dic,
    "brightfield": transmitted.brightfield,
    "blood_smear": stained.blood_smear,
    "stained_tissue": stained.stained_tissue,
    "immunohistochemistry": stained.immunohistochemistry,
    "rods": bacteria.rods,
    "filaments": bacteria.filaments,
    "yeast": transmitted.yeast,
    "dense_tissue": fluorescence.dense_tissue,
    "mother_machine": mother_machine.mother_machine,
    "slender_phase": adherent.slender_phase,
    "spread_dic": adherent.spread_dic,
    "confluent": adherent.confluent,
    "tissue_section": histology.tissue_section,
    "embryo_nuclei": embryo.embryo_nuclei,
    "spread_brightfield": adherent.spread_brightfield,
    "algae": algae.algae,
    "flat": flat.flat,
    "branched_fluorescence": branched.branched_fluorescence,
    "branched_transmitted": branched.branched_transmitted,
    "branched_stained": branched.branched_stained,
    "one_cell": branched.one_cell,
    "cytology_smear": cytology.cytology_smear,
    "organoid": organoid.organoid,
    "mixed_sizes": mixed_sizes.mixed_sizes,
    "white_cells": white_cells.white_cells,
}

MODALITIES: tuple[str, ...] = tuple(_SCENES)
"""The index of a modality is part of the seed of its images, so new ones are added at the end."""

_DIAMETERS = (12.0, 90.0)
_DIAMETERS_OF_BRANCHED = (20.0, 90.0)
"""Processes under 2 px, as of smaller cells, are not seen."""
_SHARES_OF_SIDE = (0.2, 0.6)
"""Least and greatest diameter of "one_cell" over the shorter side of the image."""
_WIDEST_MARGIN = 40


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    image: uint8 (Y, X) grey or (Y, X, 3) RGB. labels: int32 (Y, X), 0 background, cells 1.. without gaps, each
    4-connected and of at least 12 px. modality: its name in MODALITIES.
    """

    image: NDArray[np.uint8]
    labels: Labels
    modality: str


def _diameters(modality: str, shape: Shape) -> tuple[float, float]:
    """Least and greatest diameter in px that is drawn where none is given."""
    if modality == "one_cell":
        return _SHARES_OF_SIDE[0] * min(shape), _SHARES_OF_SIDE[1] * min(shape)
    return _DIAMETERS_OF_BRANCHED if modality.startswith("branched") else _DIAMETERS


def simulate(modality: str, shape: Shape = (384, 384), seed: int = 0, diameter: float | None = None) -> Sample:
    """Simulate an image of `shape` (Y, X) px; equal arguments give bit-identical samples.

    Equal seeds give unrelated samples in two modalities. `diameter` is the median diameter, in px, of a disc of a
    cell's area; None draws it log-uniformly from 12 to 90, for branched cells from 20 to 90, and for "one_cell" from
    0.2 to 0.6 of the shorter side. The scene is made with a margin and cropped, so that cells are cut at the image
    border.

    >>> sample = simulate("yeast", (40, 50), seed=3, diameter=15)
    >>> sample.image.shape[:2], sample.labels.shape, sample.modality
    ((40, 50), (40, 50), 'yeast')
    >>> bool((sample.labels == simulate("yeast", (40, 50), seed=3, diameter=15).labels).all())
    True
    """
    if modality not in _SCENES:
        raise ValueError(f"unknown modality {modality!r}; choose from {', '.join(MODALITIES)}")
    index = MODALITIES.index(modality)
    rng = np.random.default_rng((seed, index))
    if diameter is None:
        diameter = math.exp(rng.uniform(*np.log(_diameters(modality, shape))))
    margin = min(math.ceil(diameter / 2), _WIDEST_MARGIN)
    image, labels = _SCENES[modality](rng, (shape[0] + 2 * margin, shape[1] + 2 * margin), diameter)
    crop = (slice(margin, margin + shape[0]), slice(margin, margin + shape[1]))
    marked = marks.burn_in(np.random.default_rng((seed, index, 1)), np.ascontiguousarray(image[crop]))
    return Sample(marked, tidy(labels[crop]), modality)
