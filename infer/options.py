"""What a user may choose: what the labels are, how the work is done, and what is written.

Each field of `Segmentation`, `Runtime` and `Output` carries an `Option`: its meaning, unit, range, how its text on the
command line is read, and what a change of it changes. The command line, the resume logic and the documentation are
made from these records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import SettingsError

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
MAPS, LABELS, NOTHING = "maps", "labels", "nothing"
"""What an option changes: the network's maps (and so the labels), the labels alone, or neither."""


def parse_memory(text: str, option: str = "--memory") -> int:
    """Return the bytes of an amount of memory. Raises SettingsError, naming ``option``, for any other text.

    >>> parse_memory("4G"), parse_memory("1.5K")
    (4294967296, 1536)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise SettingsError(f"{option} {text} is not an amount of memory; give one such as 4G or 800M.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def parse_device(text: str) -> tuple[str, int]:
    """Return the kind of a device and the number of its GPU. Raises SettingsError for any other text.

    >>> parse_device("cuda:1"), parse_device("cpu")
    (('cuda', 1), ('cpu', 0))
    """
    match = re.fullmatch(r"(auto|cpu|tensorrt|cuda)|cuda:(\d{1,3})", text)
    if match is None:
        raise SettingsError(f"--device {text} is unknown; give one of auto, cpu, cuda, cuda:1, tensorrt.")
    return match[1] or "cuda", int(match[2] or 0)


def parse_channels(text: str) -> tuple[int, ...]:
    """Return the channel numbers of a comma-separated list. Raises ValueError for any other text.

    >>> parse_channels("3,1,0")
    (3, 1, 0)
    """
    return tuple(int(number) for number in text.split(","))


@dataclass(frozen=True)
class Option:
    """What is known about one option besides its name and its default."""

    meaning: str
    """One line for the help text."""
    changes: str
    """`MAPS`, `LABELS` or `NOTHING`."""
    parse: Callable[[str], object]
    """From the text on the command line to the value; ValueError where the text has no meaning."""
    low: float | None = None
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    check: Callable[[str], object] | None = None
    """Raises SettingsError for a text that has no meaning, where range and choices do not say it all."""

    def verify(self, name: str, value: Any) -> None:
        """Raise SettingsError, naming the option, where a value is out of range or unknown."""
        option = option_name(name)
        if value is None:
            return
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            raise SettingsError(f"{option} {value} is out of range; give a number from {self.low:g} to {self.high:g}.")
        if self.choices and value not in self.choices:
            raise SettingsError(f"{option} {value} is unknown; give one of {', '.join(self.choices)}.")
        if self.check:
            self.check(value)


def option_name(name: str) -> str:
    """Return how the command line spells a field.

    >>> option_name("flow_threshold")
    '--flow-threshold'
    """
    return f"--{name.replace('_', '-')}"


def options_of(record: type[Any]) -> Iterator[tuple[str, Any, Option]]:
    """Yield name, default and `Option` of every field of `Segmentation`, `Runtime` or `Output`."""
    for item in fields(record):
        yield item.name, item.default, item.metadata["option"]


def _option(
    default: Any, meaning: str, changes: str = NOTHING, parse: Callable[[str], object] = str, **more: Any
) -> Any:
    return field(default=default, metadata={"option": Option(meaning, changes, parse, **more)})


class _Checked:
    """A record of options that checks its values when it is made."""

    def __post_init__(self) -> None:
        for name, _, option in options_of(type(self)):
            option.verify(name, getattr(self, name))


@dataclass(frozen=True)
class Segmentation(_Checked):
    """What decides the labels. Raises SettingsError for a value out of range."""

    diameter: float | None = _option(
        None, "cell diameter in px of the image; estimated if not given", MAPS, float, low=1, high=10_000, unit="px"
    )
    flow_threshold: float = _option(
        0.4, "largest mean squared flow error of a cell; 0 keeps every cell", LABELS, float, low=0, high=10
    )
    cellprob_threshold: float = _option(
        0.0, "logit of the cell probability above which a pixel belongs to a cell", LABELS, float, low=-20, high=20
    )
    min_size: int = _option(15, "area of the smallest cell", LABELS, int, low=0, high=1_000_000, unit="px")
    channels: tuple[int, ...] | None = _option(
        None,
        "image channel for each network input, counted from 1, separated by commas; 0: the mean of all channels (as "
        "the first number) or an empty input (as a later one)",
        MAPS,
        parse_channels,
    )
    augment: bool = _option(
        False, "average over each tile and its three mirror images, in four times the network's time", MAPS
    )


@dataclass(frozen=True)
class Runtime(_Checked):
    """How the work is done: device, processor cores and memory. On the CPU none of it changes the labels."""

    batch: int = _option(
        0,
        "tiles per run of the network; 0: one on the CPU, on a GPU as many as fit",
        NOTHING,
        int,
        low=0,
        high=1024,
    )
    memory: str | None = _option(
        None, "most memory to use, such as 4G; the limit of the container or machine if not given", check=parse_memory
    )
    threads: int = _option(0, "CPU threads; 0: as many as there are usable cores", NOTHING, int, low=0, high=1024)
    device: str = _option(
        "auto",
        "where the network runs: auto, cpu, cuda, cuda:1 or tensorrt; auto uses a GPU if there is one",
        check=parse_device,
    )
    gpu_memory: str | None = _option(
        None,
        "most GPU memory to use, such as 10G; never more than nine tenths of the free memory",
        check=lambda text: parse_memory(text, "--gpu-memory"),
    )


@dataclass(frozen=True)
class Output(_Checked):
    """What is written for an image."""

    ids: str = _option(
        "int32",
        "what to write for more than 32,767 cells: int32 labels, or int16 labels that use ids again as the challenge's "
        "scoring allows, with the int32 labels in a second file",
        LABELS,
        choices=("int32", "challenge"),
    )


@dataclass(frozen=True)
class Options:
    """All options of a run."""

    segmentation: Segmentation = Segmentation()
    runtime: Runtime = Runtime()
    output: Output = Output()


def values_that_change(options: Options, changes: tuple[str, ...]) -> dict[str, Any]:
    """Return name and value of every option that changes the maps or the labels, in values that JSON keeps.

    >>> sorted(values_that_change(Options(), (LABELS,)))
    ['cellprob_threshold', 'flow_threshold', 'ids', 'min_size']
    """
    found = {}
    for record in (options.segmentation, options.runtime, options.output):
        values = asdict(record)
        for name, _, option in options_of(type(record)):
            if option.changes in changes:
                found[name] = list(values[name]) if isinstance(values[name], tuple) else values[name]
    return found
