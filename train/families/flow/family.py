"""The record of the flow family, and its table of architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from flowmask.errors import SettingsError
from flowmask.network.contract import FLOW_HEADS
from train.config import Recipe
from train.data.prepared import Prepared
from train.families.base import Architecture, FamilyNetwork, Finished, TrainingFamily
from train.families.flow.average import average
from train.families.flow.light import LightNetwork, load_imagenet
from train.families.flow.loss import flow_loss
from train.families.flow.network import FlowNetwork
from train.families.flow.size import StyleEncoder, fit_size
from train.families.flow.targets import flow_field, flow_target
from train.families.flow.widen import doubled

ARCHITECTURES = {
    "cpnet": Architecture(build=FlowNetwork, encoder="down.", widen=doubled),
    "light": Architecture(build=LightNetwork, encoder="encoder.", pretrain=load_imagenet, widen=doubled),
}
"""The network of each architecture. It has a method ``encode`` that returns features and style."""


def finish(network: FamilyNetwork, images: Sequence[Prepared], recipe: Recipe) -> Finished:
    """Fit the size regression to the images and augmentation of the last stage; equalised images have none."""
    if recipe.mean_diameter is None:
        raise SettingsError(f"{recipe.name}: the flow family rescales images; give the recipe a `mean_diameter`.")
    if recipe.clahe:
        return Finished(recipe.mean_diameter, recipe.mean_diameter, None)
    device = next(network.parameters()).device
    size = fit_size(cast(StyleEncoder, network), images, recipe.stages[-1], recipe.mean_diameter, device)
    return Finished(recipe.mean_diameter, recipe.mean_diameter, size)


FAMILY = TrainingFamily(
    name="flow",
    heads=FLOW_HEADS,
    architectures=ARCHITECTURES,
    field=flow_field,
    target=lambda recipe: flow_target,
    loss=flow_loss,
    finish=finish,
    average=average,
)
