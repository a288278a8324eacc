"""The record of the semantic family. Its recipes have one option, ``border``, the width of borders in px.

The architecture ``unet`` has one foreground logit: see `foreground_target`. ``unet-border`` has the classes interior,
border and background: see `border_target`.
"""

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
from train.families.semantic.loss import border_loss, foreground_loss
from train.families.semantic.network import BorderUNet, UNet
from train.families.semantic.targets import border_target, foreground_target


def make_target(recipe: Recipe) -> TargetMaker:
    """Return the function that makes the target of a crop: (1, S, S), or (3, S, S) with a border class.

    Raises SettingsError if a border class would have no pixels.

    >>> from train.recipes.nuclei_semantic import RECIPE
    >>> make_target(RECIPE)(np.array([[0, 1, 1, 1, 1]], np.int32), None, None).shape[1:]
    (1, 5)
    """
    border, has_class = int(recipe.options.get("border", 0)), recipe.architecture == BorderUNet.architecture
    if has_class and border < 1:
        raise SettingsError(f'{recipe.name}: architecture {recipe.architecture} needs the option "border", 1 or more.')
    make = border_target if has_class else foreground_target

    def target(labels: npt.NDArray[np.int32], image: Prepared, matrix: Array) -> Array:
        return make(labels, border)

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
    architectures={
        "unet": Architecture(build=UNet, encoder="encoder."),
        "unet-border": Architecture(
            build=BorderUNet, encoder="encoder.", heads=(Head("pixelwise", 3),), loss=border_loss
        ),
    },
    field=no_field,
    target=make_target,
    loss=foreground_loss,
    finish=finish,
)
