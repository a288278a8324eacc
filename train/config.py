"""What defines one trained network: a frozen record, one instance for each file in `train/configs/`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from fnmatch import fnmatch

from infer.errors import SettingsError
from train.augment import Augmentation
from train.readers import Item


@dataclass(frozen=True)
class Config:
    """Everything that decides the weights, besides the images themselves."""

    name: str
    policy: str
    """Channel policy of the contract; it sets the number of input channels."""
    widths: tuple[int, ...]
    steps: int
    licence: str
    data: str
    """One sentence for the contract: what the network was trained on."""
    batch: int = 8
    initialisation: str = "pytorch"
    """One of `train.optimise.INITIALISATIONS`."""
    optimiser: str = "adamw"
    """One of `train.optimise.OPTIMISERS`: AdamW, or SGD with Nesterov momentum 0.9."""
    course: str = "trapezoid"
    """One of `train.optimise.COURSES`: how the learning rate rises and falls."""
    rate: float = 2e-3
    """Peak learning rate."""
    warm_up: float = 0.1
    """Fraction of the steps in which the rate rises."""
    cool_down: float = 0.5
    """Fraction of the steps, the last ones, in which the rate falls."""
    decay: float = 1e-4
    clip: float = 0.0
    """Largest norm of the gradient; 0: any."""
    bfloat16: bool = False
    """Whether layers compute in bfloat16, weights and loss in float32: for processors that have it (avx512_bf16)."""
    average: float = 0.998
    """Share that the average of the weights, which is kept, keeps of itself at every step; 0: the last weights."""
    seed: int = 0
    mean_diameter: float = 30.0
    held_out: tuple[str, ...] = ()
    """Patterns of `source/name` kept back for validation: whole sources or experiments, never single images."""
    left_out: tuple[str, ...] = ()
    """Patterns of `source/name` that are neither trained on nor scored while training."""
    shares: dict[str, float] = field(default_factory=dict)
    """Factor on the weight of a source (default 1)."""
    source_limit: int = 80
    """Number of images beyond which a source gains no more weight."""
    simulated_share: float = 0.5
    """Factor on the weight of every simulated modality."""
    paste: float = 0.0
    """Probability that a real image is replaced by one with pasted cells (train/paste.py)."""
    paste_cells: int = 0
    """Cells pasted into such an image, but never more than fill it like the fullest of its source; 0: like any one."""
    augmentation: Augmentation = Augmentation()
    light: bool = False
    """Whether the network is `train.light.LightNetwork`; ``widths`` is of no use then."""
    sized: bool = True
    """Whether a size regression is fitted at the end."""
    size_model: str = "perceptron"
    """One of `train.size.MODELS`: what the size regression is and which windows it is fitted to."""


def load_config(name: str) -> Config:
    """Return ``CONFIG`` of the module `train.configs.NAME`. Raises SettingsError when there is none."""
    try:
        module = importlib.import_module(f"train.configs.{name}")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{name}: there is no train/configs/{name}.py; write one or name an existing one."
        ) from error
    config: Config = module.CONFIG
    return config


def split(items: list[Item], config: Config) -> tuple[list[Item], list[Item]]:
    """Return the items to train on and those held out for validation."""
    used = [item for item in items if not _matches(item, config.left_out)]
    return (
        [item for item in used if not _matches(item, config.held_out)],
        [item for item in used if _matches(item, config.held_out)],
    )


def _matches(item: Item, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(item.name, pattern) for pattern in patterns)
