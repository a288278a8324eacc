"""The record of the boxes family. Its recipes have no options."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowmask.families.boxes.constants import CHANNELS, SQUARE
from flowmask.network.contract import Head
from train.config import Recipe
from train.data.augment import Array
from train.data.batches import TargetMaker
from train.data.prepared import Prepared
from train.families.base import Architecture, TrainingFamily, no_field
from train.families.boxes.loss import boxes_loss, guided_forward
from train.families.boxes.network import CenterMask, MediumCenterMask, SlimCenterMask
from train.families.semantic.family import finish

HEADS = (Head("detections", CHANNELS, record=SQUARE),)
"""One record for each detected cell, see `flowmask.families.boxes.constants`."""


def make_target(recipe: Recipe) -> TargetMaker:
    """Return the function that makes the target of a crop: its labels (1, S, S).

    >>> from train.recipes.nuclei_boxes import RECIPE
    >>> labels = np.array([[0, 7]], np.int32)
    >>> make_target(RECIPE)(labels, None, None)
    array([[[0., 7.]]], dtype=float32)
    """

    def target(labels: npt.NDArray[np.int32], image: Prepared, matrix: Array) -> Array:
        return labels[None].astype(np.float32)

    return target


FAMILY = TrainingFamily(
    name="boxes",
    heads=HEADS,
    architectures={
        "vovnet19-slim-dw": Architecture(build=SlimCenterMask, encoder="encoder."),
        "vovnet39": Architecture(build=MediumCenterMask, encoder="encoder."),
        "vovnet99": Architecture(build=CenterMask, encoder="encoder."),
    },
    field=no_field,
    target=make_target,
    loss=boxes_loss,
    finish=finish,
    forward=guided_forward,
)
