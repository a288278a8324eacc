"""What a user may choose: one frozen record, from which the command line's options are made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import SettingsError

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _knob(
    default: Any, meaning: str, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high, "choices": choices})


def parse_memory(text: str, option: str = "--memory") -> int:
    """Return the bytes of "4G", "800M", "2.5G" ...; SettingsError, which names ``option``, for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise SettingsError(f"{option} {text} is no amount of memory; give one such as 4G or 800M.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def parse_device(text: str) -> tuple[str, int]:
    """Return the kind of device, auto, cpu, cuda or tensorrt, and the GPU's number, 0 unless "cuda:1" names another.

    SettingsError for anything else.
    """
    match = re.fullmatch(r"(auto|cpu|tensorrt|cuda)|cuda:(\d{1,3})", text)
    if match is None:
        raise SettingsError(f"--device {text} is unknown; give one of auto, cpu, cuda, cuda:1, tensorrt.")
    return match[1] or "cuda", int(match[2] or 0)


@dataclass(frozen=True)
class Settings:
    """Every knob of the engine; raises SettingsError when one is out of its range."""

    diameter: float | None = _knob(None, "cell diameter in px of the image; estimated when not given", 1, 10_000)
    flow_threshold: float = _knob(0.4, "largest mean squared flow error of a cell; 0 keeps every cell", 0, 10)
    cellprob_threshold: float = _knob(0.0, "cell logit above which a pixel belongs to a cell", -20, 20)
    min_size: int = _knob(15, "smallest cell in px of the image", 0, 1_000_000)
    channels: tuple[int, ...] | None = _knob(
        None, "image channel for each network input, from 1, comma separated; 0: mean of all (first) or empty (others)"
    )
    augment: bool = _knob(
        False, "average over each tile and its three mirror images; the network takes four times as long"
    )
    batch: int = _knob(
        0,
        "tiles that go through the network at once; 0: one on the CPU, on a GPU as many as it has memory for",
        0,
        1024,
    )
    memory: str | None = _knob(
        None, "memory to stay within, such as 4G; what the container or the machine has when not given"
    )
    threads: int = _knob(0, "CPU threads; 0: as many as there are cores that may be used", 0, 1024)
    device: str = _knob(
        "auto", "where the network runs: auto, cpu, cuda, cuda:1 or tensorrt; auto takes a GPU where one can be had"
    )
    gpu_memory: str | None = _knob(
        None, "memory of the GPU to stay within at most, such as 10G; never more than nine tenths of what is free"
    )
    ids: str = _knob(
        "int32",
        "what more than 32,767 cells become: int32, or int16 ids used again as the challenge's scoring allows, "
        "with the int32 labels in a second file",
        choices=("int32", "challenge"),
    )

    def __post_init__(self) -> None:
        for knob in fields(self):
            value, option = getattr(self, knob.name), f"--{knob.name.replace('_', '-')}"
            low, high, choices = (knob.metadata[key] for key in ("low", "high", "choices"))
            if value is not None and low is not None and not low <= value <= high:
                raise SettingsError(f"{option} {value} is out of range; give a number from {low:g} to {high:g}.")
            if choices and value not in choices:
                raise SettingsError(f"{option} {value} is unknown; give one of {', '.join(choices)}.")
        parse_device(self.device)
        for option, amount in (("--memory", self.memory), ("--gpu-memory", self.gpu_memory)):
            if amount is not None:
                parse_memory(amount, option)
