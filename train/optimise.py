"""Where weights begin and how they move: initialisations, optimisers and courses of the rate, known by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from train.light import imagenet


def as_made(network: nn.Module) -> None:
    """Leave the weights as PyTorch draws them."""


def lecun_uniform(network: nn.Module) -> None:
    """Draw the weights of convolutions from U(-sqrt(3 / n), sqrt(3 / n)), n inputs each; biases are 0.

    LeCun et al., Efficient BackProp, 1998.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            bound = math.sqrt(3 / (layer.in_channels * math.prod(layer.kernel_size)))
            nn.init.uniform_(layer.weight, -bound, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def trapezoid(steps: int, warm_up: float, cool_down: float, step: int) -> float:
    """Return the factor on the rate: up over the first part of the steps, down to 0 over the last."""
    return min(1.0, (step + 1) / max(1.0, warm_up * steps), (steps - step) / max(1.0, cool_down * steps))


def halving(steps: int, warm_up: float, cool_down: float, step: int) -> float:
    """Return the factor on the rate: up from 0 to 1 in the first part of the steps, halved again and again in the last.

    As long as the rise took it stays at each of these levels: of 300 epochs Cellpose takes 10 to rise and halves
    every 10 from the 210th on.
    """
    level = max(1.0, warm_up * steps)
    past = step - (1 - cool_down) * steps
    return min(1.0, step / max(1.0, level - 1)) if past < 0 else 0.5 ** (1 + past // level)


def _adamw(parameters: Iterable[nn.Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)


def _sgd(parameters: Iterable[nn.Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=0.9, nesterov=True)


INITIALISATIONS: dict[str, Callable[[nn.Module], None]] = {
    "pytorch": as_made,
    "lecun uniform": lecun_uniform,
    "imagenet": imagenet,
}
OPTIMISERS: dict[str, Callable[[Iterable[nn.Parameter], float, float], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "sgd": _sgd,
}
COURSES: dict[str, Callable[[int, float, float, int], float]] = {"trapezoid": trapezoid, "halving": halving}
