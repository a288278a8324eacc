"""The record of the watershed family. Options of its recipes: ``squared`` and ``beta``, see `inner_distance`.

The name of an architecture says backbone, pyramid and heads: see `train.families.watershed.network.Design`.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from flowmask.families.watershed.compartments import NUCLEAR_HEADS
from flowmask.network.contract import Head
from train.config import Recipe
from train.data.augment import Array, warp_labels
from train.data.batches import TargetMaker
from train.data.prepared import Prepared
from train.families.base import Architecture, Loss, TrainingFamily, no_field
from train.families.flow.light import load_imagenet
from train.families.semantic.family import finish
from train.families.watershed.backbones import load_published
from train.families.watershed.loss import auxiliary_loss, both_losses, watershed_loss
from train.families.watershed.network import LIGHT, Design, PanopticNetwork, designs
from train.families.watershed.targets import inner_distance, outer_distance, pixelwise

HEADS = (Head("inner_distance", 1), Head("pixelwise", 3))
"""Inner distance; probabilities of interior, border and background."""
BOTH_HEADS = (*HEADS, Head(NUCLEAR_HEADS[0], 1), Head(NUCLEAR_HEADS[1], 3))
"""The same for whole cells and for nuclei."""
DESIGNS = designs()


def make_target(recipe: Recipe) -> TargetMaker:
    """Return the function that makes the target (K, S, S) of a crop: inner distance, classes, further heads, nuclei."""
    squared, beta = bool(recipe.options.get("squared", 0)), float(recipe.options.get("beta", 1))
    design = DESIGNS[recipe.architecture]

    def decoded(labels: npt.NDArray[np.int32]) -> list[Array]:
        return [inner_distance(labels, beta, squared)[None], pixelwise(labels)]

    def target(labels: npt.NDArray[np.int32], image: Prepared, matrix: Array) -> Array:
        parts = decoded(labels)
        if design.outer_distance:
            parts.append(outer_distance(labels)[None])
        if design.foreground:
            parts.append(np.stack([labels > 0, labels == 0]).astype(np.float32))
        if design.nuclei:
            assert image.nuclei is not None  # `train.run.train_stage` refuses images without them
            parts += decoded(warp_labels(image.nuclei, matrix, len(labels)))
        return np.concatenate(parts)

    return target


def _architecture(design: Design) -> Architecture:
    pretrain = load_imagenet if design.backbone == LIGHT else partial(load_published, name=design.backbone)
    loss: Loss = watershed_loss
    if design.outer_distance or design.foreground:
        loss = partial(auxiliary_loss, outer_distance=design.outer_distance, foreground=design.foreground)
    return Architecture(
        build=partial(PanopticNetwork, design=design),
        encoder="encoder.",
        pretrain=pretrain,
        heads=BOTH_HEADS if design.nuclei else HEADS,
        loss=partial(both_losses, cells=loss) if design.nuclei else loss,
        nuclei=design.nuclei,
    )


FAMILY = TrainingFamily(
    name="watershed",
    heads=HEADS,
    architectures={name: _architecture(design) for name, design in DESIGNS.items()},
    field=no_field,
    target=make_target,
    loss=watershed_loss,
    finish=finish,
)
