"""Our weights in cellpose's format, so that both engines can run the same network."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.record import ROOT
from train.checkpoint import load
from train.families.flow.network import FULL, FlowNetwork

CHECKPOINT = ROOT / "models" / "cyto-small.pt"
"""The PyTorch weights of the default network."""


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
