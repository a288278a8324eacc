"""The record of the watershed family. Options of its recipes: ``squared`` and ``beta``, see `inner_distance`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowmask.network.contract import Head
from train.config import Recipe
from train.data.augment import Array
from train.data.batches import TargetMaker
from train.families.base import Architecture, TrainingFamily, no_field
from train.families.flow.light import load_imagenet
from train.families.semantic.family import finish
from train.families.watershed.loss import watershed_loss
from train.families.watershed.network import LocatedNetwork, PanopticNetwork
from train.families.watershed.targets import inner_distance, pixelwise

HEADS = (Head("inner_distance", 1), Head("pixelwise", 3))
"""Inner distance; probabilities of interior, border and background."""


def make_target(recipe: Recipe) -> TargetMaker:
    """Return the function that makes the target (4, S, S) of a crop: inner distance and classes."""
    squared, beta = bool(recipe.options.get("squared", 0)), float(recipe.options.get("beta", 1))

    def target(labels: npt.NDArray[np.int32], field: Array, matrix: Array) -> Array:
        return np.concatenate([inner_distance(labels, beta, squared)[None], pixelwise(labels)])

    return target


FAMILY = TrainingFamily(
    name="watershed",
    heads=HEADS,
    architectures={
        "light": Architecture(build=PanopticNetwork, encoder="encoder.", pretrain=load_imagenet),
        "light-coordinates": Architecture(build=LocatedNetwork, encoder="encoder.", pretrain=load_imagenet),
    },
    field=no_field,
    target=make_target,
    loss=watershed_loss,
    finish=finish,
)
