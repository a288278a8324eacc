"""The training loop: any network, any batches; it resumes from its checkpoints and prints the time left."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from flowmask.errors import SettingsError
from train.checkpoint import UNREADABLE
from train.config import Stage
from train.data.batches import Batch, in_advance
from train.families.base import maps_of
from train.optimise import make_optimiser, take_step

REPORT = 20
"""Steps between two lines of progress."""
Loss = Callable[[Any, Tensor], Tensor]
Forward = Callable[[Any, Tensor, Tensor], Any]


def fit(
    network: nn.Module,
    make: Callable[[int], Batch],
    loss: Loss,
    stage: Stage,
    state: Path,
    fingerprint: str,
    validate: Callable[[nn.Module], str],
    validate_every: int,
    save_every: int = 100,
    device: str = "cpu",
    encoder: str = "",
    forward: Forward = maps_of,
) -> float:
    """Train the network as the stage says; leave the averaged weights in it and return the seconds spent in all.

    make: step -> batch. loss: of what ``forward`` returns and the target. state: file to which the state of the
    training is written every ``save_every`` steps, and from which it resumes. fingerprint: of everything that decides
    the course of the training. validate: scores a network in evaluation mode and returns a line to print. device:
    PyTorch's name of where to train; the network stays there. encoder: prefix of the names of the parameters to which
    ``encoder_rate`` applies. forward: see `train.families.base.TrainingFamily`.

    The weights that are validated and returned are an exponential average over the last ninth of the steps, or the last
    1 / (1 - ``stage.average``) steps if these are fewer. On the CPU the weights are reproducible with the same number
    of threads on the same kind of processor. Raises SettingsError when the state file is damaged or belongs to another
    training, or when the loss is not a finite number.
    """
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    kind, steps = torch.device(device).type, stage.steps
    optimiser, schedule = make_optimiser(network, encoder, stage)
    average = AveragedModel(network, multi_avg_fn=partial(_average, stage.average), use_buffers=True)
    start, spent = _resume(state, fingerprint, network, optimiser, schedule, average)
    began = time.monotonic()
    losses: list[float] = []
    for step, (crops, target) in enumerate(in_advance(make, start, steps), start):
        network.train()
        with torch.autocast(kind, torch.bfloat16, enabled=stage.bfloat16):
            outputs = forward(network, crops.to(device, memory_format=torch.channels_last), target.to(device))
        cost = loss(outputs, target.to(device))
        take_step(network, cost, stage.clip, optimiser, schedule)
        average.update_parameters(network)
        losses.append(cost.item())
        done = step + 1
        if not math.isfinite(losses[-1]):
            raise SettingsError(
                f"{stage.name}: the loss is not a finite number at step {done}; lower the stage's `rate`."
            )
        if done % REPORT == 0 or done == steps:
            each = (time.monotonic() - began) / (done - start)
            recent = sum(losses[-REPORT:]) / len(losses[-REPORT:])
            left = each * (steps - done) / 60
            print(f"step {done}/{steps}  loss {recent:.3f}  {each:.2f} s a step  {left:.0f} min left", flush=True)
        if done % save_every == 0 or done == steps:
            _save(state, fingerprint, done, spent + time.monotonic() - began, network, optimiser, schedule, average)
        if done % validate_every == 0 or done == steps:
            print(f"step {done}/{steps}  {validate(average.module.eval())}", flush=True)
    network.load_state_dict(average.module.state_dict())
    return spent + time.monotonic() - began


@torch.no_grad()
def _average(decay: float, averages: Sequence[Tensor], current: Sequence[Tensor], number: Tensor | int) -> None:
    """Move the averages towards the current weights, in place; ``number``: how many steps are in them.

    In the first steps the decay is smaller, so that the average does not remember the weights of the start.
    """
    share = min(decay, (1 + float(number)) / (10 + float(number)))
    for average, now in zip(averages, current, strict=True):
        if average.is_floating_point():
            average.lerp_(now, 1 - share)
        else:
            average.copy_(now)


def _save(path: Path, fingerprint: str, step: int, spent: float, *parts: object) -> None:
    """Write the state of network, optimiser and schedule; an interrupted write leaves the previous file."""
    states = [part.state_dict() for part in parts]  # type: ignore[attr-defined]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"fingerprint": fingerprint, "step": step, "spent": spent, "states": states}, partial)
    os.replace(partial, path)


def _resume(path: Path, fingerprint: str, *parts: object) -> tuple[int, float]:
    """Load the state if there is one; return the number of finished steps and the seconds spent on them."""
    if not path.exists():
        return 0, 0.0
    try:
        record = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise SettingsError(f"{path}: this file cannot be read; remove it to start the stage again.") from error
    if record.get("fingerprint") != fingerprint:
        raise SettingsError(
            f"{path}: it is the state of a training with other values, images or starting weights; remove it to start "
            "the stage again."
        )
    for part, state in zip(parts, record["states"], strict=True):
        part.load_state_dict(state)  # type: ignore[attr-defined]
    print(f"{path}: resuming after step {record['step']}", flush=True)
    return record["step"], record["spent"]
