"""The optimiser of a stage: AdamW with a separate learning rate for the encoder, the course of the rate, one step."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from train.config import Stage


def trapezoid(steps: int, warm_up: float, cool_down: float, step: int) -> float:
    """Return the factor on the learning rate: up over the first part of the steps, down to 0 over the last.

    >>> [trapezoid(10, 0.2, 0.5, step) for step in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2]
    """
    return min(1.0, (step + 1) / max(1.0, warm_up * steps), (steps - step) / max(1.0, cool_down * steps))


def parameter_groups(network: nn.Module, encoder: str, stage: Stage) -> list[dict[str, object]]:
    """Return the parameters for an optimiser, those whose names start with ``encoder`` with their own learning rate.

    >>> from train.recipes.template import RECIPE
    >>> from dataclasses import replace
    >>> network = nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    >>> groups = parameter_groups(network, "encoder.", replace(RECIPE.stages[0], rate=0.3, encoder_rate=0.5))
    >>> [(group["lr"], len(group["params"])) for group in groups]
    [(0.15, 2), (0.3, 2)]
    """
    inside = [value for name, value in network.named_parameters() if name.startswith(encoder)]
    outside = [value for name, value in network.named_parameters() if not name.startswith(encoder)]
    rates = (stage.rate * stage.encoder_rate, stage.rate)
    return [{"params": part, "lr": rate} for part, rate in zip((inside, outside), rates, strict=True) if part]


def take_step(
    network: nn.Module,
    cost: Tensor,
    clip: float | None,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    """Change the weights of a network so that ``cost``, its loss on a batch, falls. clip: see `Stage.clip`.

    >>> network = nn.Linear(1, 1, bias=False)
    >>> nn.init.ones_(network.weight).requires_grad
    True
    >>> optimiser = torch.optim.SGD(network.parameters(), lr=0.25)
    >>> schedule = torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    >>> take_step(network, network.weight.sum() ** 2, None, optimiser, schedule)  # the gradient is 2
    >>> network.weight.item()
    0.5
    """
    optimiser.zero_grad()
    cost.backward()  # type: ignore[no-untyped-call]
    if clip is not None:
        nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()
    schedule.step()


def make_optimiser(
    network: nn.Module, encoder: str, stage: Stage
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return the optimiser of a stage and the schedule of its learning rates."""
    groups = parameter_groups(network, encoder, stage)
    optimiser = torch.optim.AdamW(groups, lr=stage.rate, weight_decay=stage.decay)
    course = partial(trapezoid, stage.steps, stage.warm_up, stage.cool_down)
    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, course)
