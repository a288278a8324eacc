"""The training loop: any network, any batches; checkpoints that it can go on from, progress with time left."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from infer.errors import SettingsError
from train.batches import Batch, ahead
from train.config import Config
from train.network import UNREADABLE
from train.optimise import COURSES, OPTIMISERS

REPORT = 20


def flow_loss(maps: Tensor, target: Tensor) -> Tensor:
    """Half the mean squared error of the flows times 5 plus the cross entropy of the cell map.

    maps (B, 3, Y, X) = (dy * 5, dx * 5, logit), target (B, 3, Y, X) = (cell, dy, dx). Means over all pixels
    (Stringer et al. 2021; the seed's equation 3 leaves out the half).
    """
    flows = functional.mse_loss(maps[:, :2], 5 * target[:, 1:])
    return 0.5 * flows + functional.binary_cross_entropy_with_logits(maps[:, 2], target[:, 0])


def fit(
    network: nn.Module,
    make: Callable[[int], Batch],
    config: Config,
    checkpoint: Path,
    run: str,
    validate: Callable[[nn.Module], str],
    validate_every: int,
    save_every: int = 100,
    device: str = "cpu",
) -> float:
    """Train as the config says, from the checkpoint if there is one; leave the averaged weights in ``network``.

    The weights that are validated and returned are the exponential average of those of the last steps: a ninth of
    them, or 1 / (1 - ``config.average``) where that is less. Returns the seconds spent in all. Checkpoints come
    every ``save_every`` steps. ``run`` is the fingerprint of all that decides the course of the training; SettingsError
    when the checkpoint is damaged or of another run, or the loss is no number. ``validate`` scores the network, in
    evaluation mode, and returns a line to print. On the CPU the weights come out the same with as many threads on the
    same kind of processor. ``device``: PyTorch's name of where to train; the network stays there.
    """
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    kind = torch.device(device).type
    steps = config.steps
    optimiser = OPTIMISERS[config.optimiser](
        network.rated(config.rate) if hasattr(network, "rated") else network.parameters(), config.rate, config.decay
    )
    course = partial(COURSES[config.course], steps, config.warm_up, config.cool_down)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, course)
    average = AveragedModel(network, multi_avg_fn=partial(_average, config.average), use_buffers=True)
    start, spent = _resume(checkpoint, run, network, optimiser, schedule, average)
    begun = time.monotonic()
    losses: list[float] = []
    for step, (crops, target) in enumerate(ahead(make, start, steps), start):
        network.train()
        with torch.autocast(kind, torch.bfloat16, enabled=config.bfloat16):
            maps, _ = network(crops.to(device, memory_format=torch.channels_last))
        loss = flow_loss(maps.float(), target.to(device))
        optimiser.zero_grad()
        loss.backward()
        if config.clip:
            nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimiser.step()
        schedule.step()
        average.update_parameters(network)
        losses.append(loss.item())
        done = step + 1
        if not math.isfinite(losses[-1]):
            raise SettingsError(f"{config.name}: the loss is no number at step {done}; lower `rate` in the config.")
        if done % REPORT == 0 or done == steps:
            each = (time.monotonic() - begun) / (done - start)
            recent = sum(losses[-REPORT:]) / len(losses[-REPORT:])
            left = each * (steps - done) / 60
            print(f"step {done}/{steps}  loss {recent:.3f}  {each:.2f} s a step  {left:.0f} min left", flush=True)
        if done % save_every == 0 or done == steps:
            _save(checkpoint, run, done, spent + time.monotonic() - begun, network, optimiser, schedule, average)
        if done % validate_every == 0 or done == steps:
            print(f"step {done}/{steps}  {validate(average.module.eval())}", flush=True)
    network.load_state_dict(average.module.state_dict())
    return spent + time.monotonic() - begun


@torch.no_grad()
def _average(most: float, averages: Sequence[Tensor], current: Sequence[Tensor], number: Tensor | int) -> None:
    """Move averages towards current weights and statistics, in place; ``number``: how many steps they hold."""
    kept = min(most, (1 + float(number)) / (10 + float(number)))
    for average, now in zip(averages, current, strict=True):
        if average.is_floating_point():
            average.lerp_(now, 1 - kept)
        else:
            average.copy_(now)


def _save(path: Path, run: str, step: int, spent: float, *parts: object) -> None:
    """Write the state of network, optimiser and schedule; the file is whole or the old one."""
    states = [part.state_dict() for part in parts]  # type: ignore[attr-defined]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"run": run, "step": step, "spent": spent, "states": states}, partial)
    os.replace(partial, path)


def _resume(path: Path, run: str, *parts: object) -> tuple[int, float]:
    """Load the state if there is one; return the number of steps done and the seconds spent on them."""
    if not path.exists():
        return 0, 0.0
    try:
        record = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise SettingsError(f"{path}: this checkpoint cannot be read; remove it to begin anew.") from error
    if record.get("run") != run:
        raise SettingsError(
            f"{path}: it was trained with another config, other images or another --start; remove it to begin anew."
        )
    for part, state in zip(parts, record["states"], strict=True):
        part.load_state_dict(state)  # type: ignore[attr-defined]
    print(f"{path}: going on from step {record['step']}", flush=True)
    return record["step"], record["spent"]
