"""The weights that a stage starts with: random, those of a checkpoint, a mean, or a widened network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from flowmask.errors import SettingsError
from flowmask.network.contract import CHANNEL_POLICIES
from train.checkpoint import load
from train.config import Checkpoint, Fresh, Mean, Recipe, Start, Widened
from train.families import FamilyNetwork, find_architecture


def starting_network(start: Start, recipe: Recipe, work: Path) -> FamilyNetwork:
    """Return the network with which a stage starts; stages are looked up in the folder ``work``.

    Raises SettingsError if it has another architecture or shape than the recipe, NetworkError if a checkpoint cannot
    be read.
    """
    network = _make(start, recipe, work)
    shape = (network.family, network.architecture, network.channels, tuple(network.widths))
    wanted = (recipe.family, recipe.architecture, _inputs(recipe), tuple(recipe.widths))
    if shape != wanted:
        raise SettingsError(
            f"{recipe.name}: {start} is a network {_text(shape)}, but the recipe is for {_text(wanted)}; change "
            "one of the two."
        )
    return network


def checkpoints_of(start: Start, recipe: Recipe, work: Path) -> Iterator[Path]:
    """Yield the files that a start needs.

    >>> from train.recipes.template import RECIPE
    >>> start = Mean((Checkpoint("first"), Widened(Checkpoint("cyto_small/bf16")), Checkpoint("models/a.pt")))
    >>> [str(path) for path in checkpoints_of(start, RECIPE, Path("work"))]
    ['work/template/first.pt', 'work/cyto_small/bf16.pt', 'models/a.pt']
    """
    match start:
        case Checkpoint(name):
            yield _path(name, recipe, work)
        case Mean(parts):
            for part in parts:
                yield from checkpoints_of(part, recipe, work)
        case Widened(part):
            yield from checkpoints_of(part, recipe, work)


def _make(start: Start, recipe: Recipe, work: Path) -> FamilyNetwork:
    match start:
        case Fresh(pretrained):
            return _fresh(recipe, pretrained)
        case Checkpoint(name):
            return load(_path(name, recipe, work))[0]
        case Mean(parts):
            return mean_of([_make(part, recipe, work) for part in parts])
        case Widened(part):
            narrow = _make(part, recipe, work)
            widen = find_architecture(narrow.family, narrow.architecture).widen
            if widen is None:
                raise SettingsError(f"{recipe.name}: networks of architecture {narrow.architecture} cannot be widened.")
            return widen(narrow)


def _fresh(recipe: Recipe, pretrained: bool) -> FamilyNetwork:
    architecture = find_architecture(recipe.family, recipe.architecture)
    network = architecture.build(_inputs(recipe), recipe.widths)
    if pretrained:
        if architecture.pretrain is None:
            raise SettingsError(
                f"{recipe.name}: architecture {recipe.architecture} has no published weights; start with Fresh()."
            )
        architecture.pretrain(network)
    return network


def mean_of(networks: Sequence[FamilyNetwork]) -> FamilyNetwork:
    """Return a network with the mean weights and batch-norm statistics of networks of one shape."""
    first = networks[0]
    if len({(n.family, n.architecture, n.channels, tuple(n.widths)) for n in networks}) > 1:
        raise SettingsError("networks of different shapes cannot be averaged; give checkpoints of one training.")
    mean = find_architecture(first.family, first.architecture).build(first.channels, first.widths)
    states = [network.state_dict() for network in networks]
    mean.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
            for name, value in states[0].items()
        }
    )
    return mean.eval()


def _path(name: str, recipe: Recipe, work: Path) -> Path:
    if name.endswith(".pt"):
        return Path(name)
    return work / f"{name}.pt" if "/" in name else work / recipe.name / f"{name}.pt"


def _inputs(recipe: Recipe) -> int:
    if recipe.channels not in CHANNEL_POLICIES:
        raise SettingsError(
            f"{recipe.name}: there is no channel policy {recipe.channels!r}; choose from {', '.join(CHANNEL_POLICIES)}."
        )
    return CHANNEL_POLICIES[recipe.channels]


def _text(shape: tuple[str, str, int, tuple[int, ...]]) -> str:
    family, architecture, channels, widths = shape
    return f"{family}/{architecture} with {channels} channels and widths {widths}"
