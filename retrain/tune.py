"""Fine-tune a network of any family on a few images: all weights learn, and a part of the old ones is kept.

The weighted mean of the weights before and after the training keeps what the network knew about other images. Method:
Wortsman et al. 2022, arXiv:2109.01903. The statistics of the batch-norms stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from flowmask.errors import SettingsError
from retrain.progress import bar
from train.config import Recipe
from train.data.batches import batch_maker, in_advance
from train.data.prepared import SIMULATED, Prepared
from train.families import FamilyNetwork, find_architecture, find_family, loss_of
from train.optimise import make_optimiser, take_step
from train.recipes.small import RECIPE, STAINS

STEPS = 200
NEW_SHARE = 0.5
"""Part of the crops that comes from the user's images; the others are simulated."""
OLD_SHARE = 0.25
"""Part of the weights before the training in the weights that are returned."""
STAGE = replace(
    RECIPE.stages[-1],
    name="tune",
    steps=STEPS,
    rate=1e-3,
    warm_up=0.05,
    cool_down=0.6,
    shares={},
    seed=5,
    # The user's images are all of one kind, so they are changed less than the images of many laboratories.
    augmentation=replace(
        STAINS,
        scale=(0.5, 2.0),
        shuffle=0.3,
        invert=0.1,
        misfit=0.05,
        specks=0.05,
        jpeg=0.1,
        dim=0.1,
        holes=0.1,
        mix=0.2,
        empty=0.05,
    ),
)
"""The values of the training. Its start, split, average and number format are not used."""


def tune(
    network: FamilyNetwork, images: Sequence[Prepared], recipe: Recipe, steps: int = STEPS, device: str = "cpu"
) -> None:
    """Train the network in place and leave it in evaluation mode on the CPU.

    images: those of the user, and simulated ones. recipe: of the network; its stages are not used. On the CPU the
    weights are reproducible with the same number of threads on the same kind of processor. Raises SettingsError if the
    loss becomes infinite.
    """
    stage = replace(STAGE, steps=steps, simulated_share=simulated_share(images, STAGE.source_limit))
    family, prefix = find_family(recipe.family), find_architecture(recipe.family, recipe.architecture).encoder
    loss = loss_of(recipe.family, recipe.architecture)
    before = deepcopy(network.state_dict())
    with_fixed_norms(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser, schedule = make_optimiser(network, prefix, stage)
    batches = in_advance(batch_maker(images, stage, recipe.mean_diameter, family.target(recipe)), 0, steps)
    for crops, target in bar(batches, "training", "step", steps):
        outputs = family.forward(network, crops.to(device, memory_format=torch.channels_last), target.to(device))
        cost = loss(outputs, target.to(device))
        if not cost.isfinite():
            raise SettingsError("the training diverged: its loss is not finite; check that no image is damaged.")
        take_step(network, cost, stage.clip, optimiser, schedule)
    network.eval().cpu()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(before[name], OLD_SHARE)


def with_fixed_norms(network: FamilyNetwork) -> FamilyNetwork:
    """Put the network into training mode, but its batch-norms into evaluation mode, so that their statistics stay.

    >>> network = with_fixed_norms(find_architecture("semantic", "unet").build(3, (8, 16)))
    >>> network.training, {layer.training for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)}
    (True, {False})
    """
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    return network


def simulated_share(images: Sequence[Prepared], source_limit: int) -> float:
    """Return the factor on the weights of simulated images with which `NEW_SHARE` of the crops are not simulated.

    >>> blank = np.zeros((1, 1, 1), np.float16)
    >>> images = [Prepared(name, blank, np.zeros((1, 1), np.int32), blank, 0.0) for name in ("a", *4 * ["simulated b"])]
    >>> simulated_share(images, 80)  # weights are square roots of numbers: 1 for a, and 2 for b, which becomes 1
    0.5
    """
    counts: dict[str, int] = {}
    for image in images:
        counts[image.source] = counts.get(image.source, 0) + 1
    weights = {source: float(np.sqrt(min(count, source_limit))) for source, count in counts.items()}
    simulated = sum(weight for source, weight in weights.items() if source.startswith(SIMULATED))
    new = sum(weights.values()) - simulated
    return new / simulated * (1 - NEW_SHARE) / NEW_SHARE if simulated else 1.0
