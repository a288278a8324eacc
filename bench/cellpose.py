"""cellpose 3.1 beside our engine: its Python environment, how work runs there, and our weights in its format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from bench.record import ROOT
from train.checkpoint import load
from train.families.flow.network import FULL, FlowNetwork

CHECKPOINT = ROOT / "models" / "cyto-small.pt"
"""The half-width network whose weights cellpose runs too; it cannot run the default network."""


def cellpose_python() -> Path:
    """Return the Python that has cellpose 3.1: FLOWMASK_CELLPOSE_PYTHON, otherwise that of `make bench`."""
    return Path(os.environ.get("FLOWMASK_CELLPOSE_PYTHON", ROOT / ".venv-cellpose/bin/python"))


def environment_of(python: str | Path) -> dict[str, str]:
    """Return the environment variables for a Python.

    Another Python than this one does not get the package and library folders of this one.
    """
    own = {} if str(python) == sys.executable else {"PYTHONPATH", "LD_LIBRARY_PATH"}
    return {name: value for name, value in os.environ.items() if name not in own}


def run_task(python: str | Path, task: str, job: dict[str, Any], folder: Path, limit: float | None = None) -> None:
    """Run a task of `bench.cellpose_runner` with a Python; the results are in ``folder`` afterwards.

    ``limit``: seconds. Raises CalledProcessError where the task fails, TimeoutExpired where it takes too long.
    """
    command = command_of("bench.cellpose_runner", python, task, job, folder)
    subprocess.run(command, cwd=ROOT, check=True, timeout=limit, env=environment_of(python))


def command_of(runner: str, python: str | Path, task: str, job: dict[str, Any], folder: Path) -> list[str]:
    """Write the job of a task of a runner into ``folder``, for results beside it; return the command that does it."""
    path = folder / "job.json"
    path.write_text(json.dumps(job | {"output": str(folder)}))
    return [str(python), "-m", runner, task, str(path)]


def load_checkpoint(path: Path) -> tuple[FlowNetwork, float]:
    """Return the network of a checkpoint of ``train/`` and its mean cell diameter in network pixels."""
    network, extras = load(path)
    if not isinstance(network, FlowNetwork):
        raise SystemExit(f"{path}: cellpose runs its own architecture alone; name a checkpoint of a cpnet network.")
    return network, float(extras["about"]["mean_diameter"])  # type: ignore[index]


def write_cellpose_weights(checkpoint: Path, path: Path) -> float:
    """Write a checkpoint of ``train/`` as full-width cellpose weights; return the mean diameter in network pixels."""
    network, diameter = load_checkpoint(checkpoint)
    torch.save(cellpose_state(widened(network), diameter), path)
    return diameter


def export_same(checkpoint: Path, folder: Path) -> tuple[Path, Path, float]:
    """Write a checkpoint of ``train/`` for both engines, and return how.

    The result: cellpose's weights of full width, a network file with the same weights, exported from cellpose's format,
    and the mean diameter in network pixels.
    """
    weights, network = folder / "cellpose_weights", folder / "same.onnx"
    diameter = write_cellpose_weights(checkpoint, weights)
    export = [sys.executable, "-m", "export", "--cellpose", str(weights), "-o", str(network)]
    subprocess.run(export, cwd=ROOT, stdout=sys.stderr, check=True)
    return weights, network, diameter


def widened(network: FlowNetwork) -> FlowNetwork:
    """Return the full-width network that computes the same maps: the additional channels are always zero.

    cellpose's own pipeline takes no other width.
    """
    wide = FlowNetwork(network.channels, FULL)
    state = {key: torch.zeros_like(value) for key, value in wide.state_dict().items()}
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            state[key] += 1
        state[key][tuple(slice(0, size) for size in value.shape)] = value
    wide.load_state_dict(state)
    return wide.eval()


def cellpose_state(network: FlowNetwork, diameter: float) -> dict[str, torch.Tensor]:
    """Return the weights under the names and in the shapes of cellpose 3.1; ``diameter`` in network pixels."""
    state = {"diam_mean": torch.tensor([diameter]), "diam_labels": torch.tensor([diameter])}
    for key, value in network.state_dict().items():
        side, level, part, *rest = key.split(".")
        if side == "output":
            state[key] = value
        elif part == "proj":
            state[f"{side}sample.{side}.res_{side}_{level}.proj.{'.'.join(rest)}"] = value
        elif part == "style":
            name = f"upsample.up.res_up_{level}.conv.conv_{int(rest[0]) + 1}.full.{rest[1]}"
            state[name] = value[:, :, 0, 0] if rest[1] == "weight" else value
        else:
            inner = "conv." if side == "up" and rest[0] != "0" else ""
            name = f"{side}sample.{side}.res_{side}_{level}.conv.conv_{rest[0]}.{inner}{'.'.join(rest[1:])}"
            state[name] = value
    return state
