"""The families of networks that can be trained. To add one, write its folder and one line in `FAMILIES`."""

from __future__ import annotations

from importlib import import_module

from flowmask.errors import SettingsError
from flowmask.network.contract import Head
from train.families.base import Architecture, FamilyNetwork, Loss, TrainingFamily

FAMILIES = {
    "boxes": "train.families.boxes.family",
    "flow": "train.families.flow.family",
    "semantic": "train.families.semantic.family",
    "watershed": "train.families.watershed.family",
}
"""For each family the module that defines its ``FAMILY``."""


def find_family(name: str) -> TrainingFamily:
    """Return the family of this name. Raises SettingsError if there is none.

    >>> sorted(find_family("semantic").architectures)
    ['unet', 'unet-border']
    """
    if name not in FAMILIES:
        raise SettingsError(f"there is no family {name!r}; the families are {', '.join(FAMILIES)}.")
    family: TrainingFamily = import_module(FAMILIES[name]).FAMILY
    return family


def find_architecture(family: str, name: str) -> Architecture:
    """Return an architecture of a family. Raises SettingsError if there is none of this name.

    >>> find_architecture("semantic", "unet").build(3, (8, 16)).widths
    (8, 16)
    """
    table = find_family(family).architectures
    if name not in table:
        raise SettingsError(f"the family {family!r} has no architecture {name!r}; it has {', '.join(table)}.")
    return table[name]


def heads_of(family: str, architecture: str) -> tuple[Head, ...]:
    """Return the heads of the contract of networks of an architecture.

    >>> [head.name for head in heads_of("semantic", "unet")]
    ['foreground']
    """
    return find_architecture(family, architecture).heads or find_family(family).heads


def loss_of(family: str, architecture: str) -> Loss:
    """Return the loss with which networks of an architecture are trained.

    >>> loss_of("semantic", "unet") is not None
    True
    """
    return find_architecture(family, architecture).loss or find_family(family).loss


__all__ = [
    "FAMILIES",
    "Architecture",
    "FamilyNetwork",
    "TrainingFamily",
    "find_architecture",
    "find_family",
    "heads_of",
    "loss_of",
]
