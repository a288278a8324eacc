"""Checkpoint files: a network of any family, its shape, and what else belongs to it."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from flowmask.errors import NetworkError, SettingsError
from train.families import FamilyNetwork, find_architecture

UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, UnicodeDecodeError)
"""What torch.load raises for a file that is no checkpoint: no zip or pickle, truncated, or of forbidden types."""


def save(path: str | Path, network: FamilyNetwork, half: bool = False, **extra: object) -> None:
    """Write a checkpoint: family, architecture, shape and weights of the network, and whatever else belongs to it.

    half: keep the weights in half precision, in half the space.
    """
    shape = {name: getattr(network, name) for name in ("family", "architecture", "channels", "widths")}
    weights = network.state_dict()
    if half:
        weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    torch.save({**shape, "weights": weights, **extra}, path)


def load(path: str | Path) -> tuple[FamilyNetwork, dict[str, object]]:
    """Read a checkpoint written by `save`: the network in evaluation mode, and the extras.

    Checkpoints of the first releases record no family; they hold a flow network of cellpose's architecture. Raises
    NetworkError when the file is missing or no such checkpoint.

    >>> from tempfile import TemporaryDirectory
    >>> from train.families import find_architecture
    >>> network = find_architecture("semantic", "unet").build(3, (8, 16))
    >>> with TemporaryDirectory() as folder:
    ...     save(f"{folder}/a.pt", network, licence="CC0")
    ...     again, extras = load(f"{folder}/a.pt")
    >>> again.family, again.widths, extras
    ('semantic', (8, 16), {'licence': 'CC0'})
    """
    try:
        record = torch.load(path, map_location="cpu", weights_only=True)
        family, architecture = record.pop("family", "flow"), record.pop("architecture", "cpnet")
        build = find_architecture(family, architecture).build
        network = build(record.pop("channels"), tuple(record.pop("widths")))
        network.load_state_dict(record.pop("weights"))
    except OSError as error:
        raise NetworkError(f"{path}: the checkpoint cannot be opened ({error.strerror}); check the path.") from error
    except SettingsError as error:
        raise NetworkError(f"{path}: {error}") from error
    except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
        raise NetworkError(
            f"{path}: this is not a Flowmask checkpoint; give a file that `python -m train` wrote, "
            "or name a cellpose checkpoint with --cellpose."
        ) from error
    return network.eval(), record


def parameters(network: torch.nn.Module) -> int:
    """Return the number of trainable parameters.

    >>> parameters(torch.nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
