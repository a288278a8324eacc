"""The compartments of a network: heads for whole cells, and perhaps the same heads for nuclei."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...errors import NetworkError, SettingsError
from ...network.contract import Contract
from ...options import BOTH, NUCLEAR, WHOLE_CELL, Segmentation, named, watershed_thresholds
from ...tiles.plan import ImagePlan
from ..blocks import Maps

CHANNELS = 1, 3
"""Channels of the heads of one compartment: inner distance; interior, border and background."""
NUCLEAR_HEADS = ("nuclear_inner_distance", "nuclear_pixelwise")
"""The names of the heads for nuclei, which follow those for whole cells."""


def check(contract: Contract, options: Segmentation) -> None:
    """Raise NetworkError unless the heads are those of one or two compartments, SettingsError unless it has the chosen.

    >>> from ...network.contract import Head
    >>> heads = Head("inner_distance", 1), Head("pixelwise", 3)
    >>> contract = Contract("n", "rgb", 30.0, 30.0, False, "CC0-1.0", "none", family="watershed", heads=heads)
    >>> check(contract, Segmentation())
    >>> check(contract, Segmentation(compartment="nuclear"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    flowmask.errors.SettingsError: `compartment='nuclear'` needs a network with heads for whole cells and for nuclei...
    """
    channels = tuple(head.channels for head in contract.heads)
    names = tuple(head.name for head in contract.heads[len(CHANNELS) :])
    if channels not in (CHANNELS, 2 * CHANNELS) or names not in ((), NUCLEAR_HEADS):
        found = ", ".join(f"{head.name} ({head.channels})" for head in contract.heads)
        raise NetworkError(
            f"the network {contract.name!r} has the heads {found}; this version needs an inner distance (1 channel) "
            f"and classes (3 channels), for nuclei followed by {' and '.join(NUCLEAR_HEADS)}; export it again."
        )
    if options.compartment != WHOLE_CELL and not names:
        raise SettingsError(
            f"{named('compartment', options.compartment)} needs a network with heads for whole cells and for nuclei, "
            f"and {contract.name!r} has heads for only one of them; leave out the option."
        )


def label_sets(options: Segmentation) -> Mapping[str, Segmentation]:
    """Return the label images that the options ask for, as `flowmask.families.Family.label_sets`.

    >>> {suffix: each.compartment for suffix, each in label_sets(Segmentation(compartment="both")).items()}
    {'': 'whole-cell', '_nuclear': 'nuclear'}
    """
    if options.compartment != BOTH:
        return {"": options}
    return {"": replace(options, compartment=WHOLE_CELL), f"_{NUCLEAR}": replace(options, compartment=NUCLEAR)}


def chosen_maps(maps: Maps, compartment: str) -> Maps:
    """Return the four channels of a compartment of the maps (4 or 8, n, X), without a copy.

    >>> import numpy as np
    >>> chosen_maps(np.arange(8.0).reshape(8, 1, 1), "nuclear")[:, 0, 0]
    array([4., 5., 6., 7.])
    """
    first = sum(CHANNELS) * (compartment == NUCLEAR)
    return maps[first : first + sum(CHANNELS)]


def thresholds_of(plan: ImagePlan) -> tuple[float, float]:
    """Return the maxima threshold and the interior threshold for the compartment that is labelled.

    >>> from types import SimpleNamespace
    >>> options = Segmentation(watershed_thresholds="release", compartment="nuclear")
    >>> thresholds_of(SimpleNamespace(options=options))
    (0.1, 0.2)
    """
    return watershed_thresholds(plan.options.watershed_thresholds, plan.options.compartment)
