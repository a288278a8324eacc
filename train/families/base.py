"""What the training must know about a family of networks: one frozen record for each family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from flowmask.network.contract import Head
from train.config import Recipe
from train.data.batches import TargetMaker
from train.data.prepared import FieldMaker, Prepared

Loss = Callable[[Any, Tensor], Tensor]
"""(maps (B, K, Y, X) in training mode, or what `TrainingFamily.forward` returns; target (B, K, Y, X)) -> the number to
minimise."""


class FamilyNetwork(nn.Module):
    """A network: (B, C, Y, X) float32 -> a tuple whose first entry is the maps (B, K, Y, X).

    A checkpoint stores the first four attributes, from which `train.checkpoint.load` builds the network again.
    """

    family: str
    architecture: str
    channels: int
    widths: tuple[int, ...]
    multiple: int
    """The sides Y and X are multiples of this."""


@dataclass(frozen=True)
class Architecture:
    """One kind of network within a family."""

    build: Callable[[int, tuple[int, ...]], FamilyNetwork]
    """Makes a network with random weights from the number of input channels and the widths."""
    encoder: str
    """The names of the encoder's parameters start with this; ``encoder_rate`` of a stage applies to them."""
    pretrain: Callable[[FamilyNetwork], None] | None = None
    """Loads published weights into the encoder, in place."""
    widen: Callable[[FamilyNetwork], FamilyNetwork] | None = None
    """Returns a network of twice the width with the same output."""
    heads: tuple[Head, ...] | None = None
    """The heads of the contract where they differ from those of the family."""
    loss: Loss | None = None
    """The loss where it differs from that of the family."""
    nuclei: bool = False
    """Whether the target needs the labels of the nuclei too: `train.data.prepared.Prepared.nuclei`."""


@dataclass(frozen=True)
class Finished:
    """What a family determines after the last stage, for the contract of the exported file."""

    mean_diameter: float
    """Cell diameter in px to which the network's input is rescaled."""
    train_diameter: float
    """Cell diameter in px that is assumed if none is given and there is no size regression."""
    size: object | None
    """The size regression, if the family has one: tensors that `train.checkpoint.save` can write."""


def maps_of(network: FamilyNetwork, crops: Tensor, target: Tensor) -> Tensor:
    """Return the maps (B, K, Y, X) float32 of crops (B, C, Y, X): the forward pass of networks that need no target."""
    maps: Tensor = network(crops)[0]
    return maps.float()


def mean_of_maps(maps: Sequence[Tensor]) -> Tensor:
    """Return the mean of the maps (B, K, Y, X) of several networks.

    >>> import torch
    >>> mean_of_maps([torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2)])
    tensor([[[[0.5000, 0.5000]]]])
    """
    return reduce(add, maps) * (1 / len(maps))


@dataclass(frozen=True)
class TrainingFamily:
    """How networks of one family are trained."""

    name: str
    """The name of the same family in `flowmask.families.FAMILIES`."""
    heads: tuple[Head, ...]
    """The heads of the contract; in evaluation mode the network's maps are their channels in this order."""
    architectures: Mapping[str, Architecture]
    field: FieldMaker
    """labels (Y, X) -> field (Y, X, K) that the target needs; computed once for each image, before cropping."""
    target: Callable[[Recipe], TargetMaker]
    """Returns the function that makes the target (K, S, S) of a crop."""
    loss: Loss
    finish: Callable[[FamilyNetwork, Sequence[Prepared], Recipe], Finished]
    """Fits what the exported file needs besides the network, such as a size regression."""
    forward: Callable[[FamilyNetwork, Tensor, Tensor], Any] = maps_of
    """(network, crops (B, C, Y, X), target) -> what the loss needs, float32."""
    average: Callable[[Sequence[Tensor]], Tensor] = mean_of_maps
    """The maps (B, K, Y, X) of one head from several networks -> their average, as in `flowmask.families.Family`."""


def no_field(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Return a field without channels (Y, X, 0), for families whose target follows from the labels of the crop.

    >>> no_field(np.zeros((4, 5), np.int32)).shape
    (4, 5, 0)
    """
    return np.zeros((*labels.shape, 0), np.float32)
