"""The records of a recipe: everything that decides the weights of a network, except the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from flowmask.network.contract import Clahe
from train.data.augment import Augmentation
from train.data.readers import Item


@dataclass(frozen=True)
class Split:
    """Which images are held out for validation. Both fields are patterns of ``source/name``.

    Hold out whole sources or experiments, not single images: images of one experiment are too much alike.
    """

    held_out: tuple[str, ...]
    """Images for validation. No network is trained on them."""
    left_out: tuple[str, ...]
    """Images that are used neither for training nor for validation."""

    def divide(self, items: Iterable[Item]) -> tuple[list[Item], list[Item]]:
        """Return the items to train on and the items held out for validation.

        >>> from pathlib import Path
        >>> items = [Item(Path(f"{name}.png"), Path(), source) for source, name in ("ax", "ay", "bx", "cx")]
        >>> training, held_out = Split(held_out=("b/*", "a/y"), left_out=("c/*",)).divide(items)
        >>> [item.name for item in training], [item.name for item in held_out]
        (['a/x'], ['a/y', 'b/x'])
        """
        used = [item for item in items if not _matches(item, self.left_out)]
        return (
            [item for item in used if not _matches(item, self.held_out)],
            [item for item in used if _matches(item, self.held_out)],
        )


def _matches(item: Item, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(item.name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Fresh:
    """Start with random weights."""

    pretrained: bool = False
    """Whether the encoder starts with the published weights of the architecture instead."""


@dataclass(frozen=True)
class Checkpoint:
    """Start with the weights of a checkpoint.

    ``name`` is a stage of the same recipe ("first"), a stage of another recipe in the same work folder
    ("cyto_small/first"), or the path of a checkpoint file ("models/small.pt").
    """

    name: str


@dataclass(frozen=True)
class Mean:
    """Start with the mean of several networks that were trained on from the same weights.

    Such a mean is often better than each of them (Wortsman et al. 2022, model soups, arXiv:2203.05482).
    """

    of: tuple[Start, ...]


@dataclass(frozen=True)
class Widened:
    """Start with a network of half the width. Every feature is doubled, so that the output stays the same."""

    of: Start


Start = Fresh | Checkpoint | Mean | Widened


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One run of the training loop. No field has a default: a recipe states every value."""

    name: str
    start: Start
    """The weights that the stage starts with."""
    steps: int
    """0: the stage is the weights that it starts with, such as a mean."""
    batch: int
    """Crops per step."""
    rate: float
    """Peak learning rate of AdamW."""
    encoder_rate: float
    """Factor on the learning rate of the encoder, for example 1/3 if the encoder is pretrained."""
    warm_up: float
    """Fraction of the steps, at the start, in which the learning rate rises from 0."""
    cool_down: float
    """Fraction of the steps, at the end, in which the learning rate falls to 0."""
    decay: float
    """Weight decay."""
    clip: float | None
    """Largest norm of the gradient. Longer gradients are shortened to it. None: no limit."""
    average: float
    """The network that is saved is a moving average of the weights: this is its decay per step. 0: the last weights."""
    norm_batches: int
    """At the end, means and variances of batch norms are measured anew on so many batches: those of averaged weights
    differ from averages of them (Izmailov et al. 2018, arXiv:1803.05407). 0: they stay as they are."""
    bfloat16: bool
    """Whether layers compute in bfloat16; weights and loss stay in float32. Fast on processors with avx512_bf16."""
    seed: int
    split: Split
    source_limit: int
    """A source of n images has the weight sqrt(min(n, source_limit))."""
    shares: Mapping[str, float]
    """Factor on the weight of single sources; 1 for sources that are not listed."""
    simulated_share: float
    """Factor on the weight of every simulated source that ``shares`` does not list."""
    augmentation: Augmentation


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one network is trained: its family and shape, its contract, and the stages in order."""

    name: str
    family: str
    """Key of `train.families.FAMILIES`."""
    architecture: str
    """Key of the family's table of architectures."""
    channels: str
    """Channel policy of the contract, a key of `flowmask.network.contract.CHANNEL_POLICIES`."""
    widths: tuple[int, ...]
    """Features at each scale, from full resolution down."""
    mean_diameter: float | None
    """Cell diameter in px to which images are rescaled. None: images keep their own scale."""
    clahe: Clahe | None
    """How images are equalised, as the contract will say. None: the percentiles 1 and 99 become 0 and 1."""
    pixel_size: float | None
    """Micrometres per px of the training images, if the contract is to say that images are rescaled to it."""
    options: Mapping[str, float]
    """Values that only this family has; see the `family.py` of each family."""
    licence: str
    """Licence of the weights."""
    data: str
    """One sentence for the contract: what the network was trained on."""
    stages: tuple[Stage, ...]
