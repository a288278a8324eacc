"""The record of the semantic family. Its recipes have one option, ``border``: see `foreground_target`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flowmask.errors import SettingsError
from flowmask.network.contract import Head
from train.config import Recipe
from train.data.augment import Array
from train.data.batches import TargetMaker
from train.data.prepared import Prepared
from train.families.base import Architecture, FamilyNetwork, Finished, TrainingFamily, no_field
from train.families.semantic.loss import foreground_loss
from train.families.semantic.network import UNet
from train.families.semantic.targets import foreground_target


def make_target(recipe: Recipe) -> TargetMaker:
    """Return the function that makes the target (1, S, S) of a crop."""
    border = int(recipe.options.get("border", 0))

    def target(labels: npt.NDArray[np.int32], field: Array, matrix: Array) -> Array:
        return foreground_target(labels, border)

    return target


def finish(network: FamilyNetwork, images: Sequence[Prepared], recipe: Recipe) -> Finished:
    """Return the diameters for the contract; there is nothing to fit.

    The engine's semantic family assumes the training diameter, so that images are not rescaled unless the user gives a
    diameter. For a recipe without ``mean_diameter`` both are the median over the images.
    """
    known = [image.diameter for image in images if image.diameter]
    if not known:
        raise SettingsError(f"{recipe.name}: none of its images has a cell; add labelled images.")
    diameter = recipe.mean_diameter or float(np.median(known))
    return Finished(mean_diameter=diameter, train_diameter=diameter, size=None)


FAMILY = TrainingFamily(
    name="semantic",
    heads=(Head("foreground", 1),),
    architectures={"unet": Architecture(build=UNet, encoder="encoder.")},
    field=no_field,
    target=make_target,
    loss=foreground_loss,
    finish=finish,
)
