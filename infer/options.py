"""The options of the user, in three records: `Segmentation`, `Runtime` and `Output`.

Each field of a record has an `Option` with its meaning, unit and range, how its text on the command line is parsed, and
which results it changes. The command line and the check of --resume are derived from these records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import SettingsError

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
"""Bytes of each unit of memory."""
MAPS, LABELS, NOTHING = "maps", "labels", "nothing"
"""What an option changes: the network's maps and therefore the labels, only the labels, or nothing of these."""


def parse_memory(text: str, option: str = "--memory") -> int:
    """Return an amount of memory in bytes. Raises SettingsError, which names ``option``, for any other text.

    >>> parse_memory("4G"), parse_memory("1.5K")
    (4294967296, 1536)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise SettingsError(f"{option} {text} is not an amount of memory; give one such as 4G or 800M.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def parse_device(text: str) -> tuple[str, int]:
    """Return (kind, GPU number) of a device; the number is 0 if not given. Raises SettingsError for any other text.

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
    """The description of one option; its name and default are those of the field."""

    meaning: str
    """One line for the help text."""
    changes: str
    """`MAPS`, `LABELS` or `NOTHING`."""
    parse: Callable[[str], object]
    """Returns the value for a text of the command line; raises ValueError if the text is invalid."""
    low: float | None = None
    """Smallest value."""
    high: float | None = None
    """Largest value."""
    unit: str = ""
    choices: tuple[str, ...] = ()
    """All valid values; empty if any text is valid."""
    check: Callable[[str], object] | None = None
    """Raises SettingsError for an invalid text; for options that need more than a range or choices."""

    def verify(self, name: str, value: Any) -> None:
        """Raise SettingsError, which names the option, if a value is out of range or unknown."""
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
    """Return the name of a field on the command line.

    >>> option_name("flow_threshold")
    '--flow-threshold'
    """
    return f"--{name.replace('_', '-')}"


def options_of(record: type[Any]) -> Iterator[tuple[str, Any, Option]]:
    """Yield (name, default, `Option`) of every field of a record: `Segmentation`, `Runtime` or `Output`."""
    for item in fields(record):
        yield item.name, item.default, item.metadata["option"]


def _option(
    default: Any, meaning: str, changes: str = NOTHING, parse: Callable[[str], object] = str, **more: Any
) -> Any:
    return field(default=default, metadata={"option": Option(meaning, changes, parse, **more)})


class _Checked:
    """A record of options that checks its values when it is created."""

    def __post_init__(self) -> None:
        for name, _, option in options_of(type(self)):
            option.verify(name, getattr(self, name))


@dataclass(frozen=True)
class Segmentation(_Checked):
    """Options that determine the labels. Raises SettingsError for an invalid value."""

    diameter: float | None = _option(
        None, "cell diameter in px of the image; estimated if not given", MAPS, float, low=1, high=10_000, unit="px"
    )
    flow_threshold: float = _option(
        0.4, "largest mean squared flow error of a cell; 0 turns this check off", LABELS, float, low=0, high=10
    )
    cellprob_threshold: float = _option(
        0.0, "logit of the cell probability above which a pixel belongs to a cell", LABELS, float, low=-20, high=20
    )
    min_size: int = _option(15, "area of the smallest cell", LABELS, int, low=0, high=1_000_000, unit="px")
    channels: tuple[int, ...] | None = _option(
        None,
        "image channel for each network input, counted from 1, separated by commas; 0 as the first number is the mean "
        "of all channels, 0 as a later number is an empty input",
        MAPS,
        parse_channels,
    )
    plane: int | None = _option(
        None,
        "plane of a stack, counted from 1; of a time series without planes, the frame",
        MAPS,
        int,
        low=1,
        high=1_000_000,
    )
    project: str | None = _option(
        None, "combine all planes of a stack into one image: max or mean", MAPS, choices=("max", "mean")
    )
    augment: bool = _option(
        False, "average over each tile and its three mirror images; the network takes four times as long", MAPS
    )


@dataclass(frozen=True)
class Runtime(_Checked):
    """Device, CPU threads and memory. On the CPU these options do not change the labels."""

    batch: int = _option(
        0,
        "most tiles per run of the network; 0: one on the CPU, as many as fit (at most 16) on a GPU",
        NOTHING,
        int,
        low=0,
        high=1024,
    )
    memory: str | None = _option(
        None,
        "most memory to use, such as 4G; by default the memory available in the container or machine",
        check=parse_memory,
    )
    threads: int = _option(0, "number of CPU threads; 0: one for each usable core", NOTHING, int, low=0, high=1024)
    device: str = _option(
        "auto",
        "device for the network: auto, cpu, cuda, cuda:1 or tensorrt; auto uses a GPU if there is one",
        check=parse_device,
    )
    gpu_memory: str | None = _option(
        None,
        "most GPU memory to use, such as 10G; never more than nine tenths of the free GPU memory is used",
        check=lambda text: parse_memory(text, "--gpu-memory"),
    )


@dataclass(frozen=True)
class Output(_Checked):
    """Options of the label files."""

    ids: str = _option(
        "int32",
        "numbers of the cells; int32: each cell has its own (uint16 file up to 65,535 cells, int32 file above); "
        "challenge: int16 file; of more than 32,767 cells from 25 Mpx on, some share a number where the challenge's "
        "scoring cannot confuse them, and a second, int32 file has one for each",
        LABELS,
        choices=("int32", "challenge"),
    )


@dataclass(frozen=True)
class Options:
    """All options of a run."""

    segmentation: Segmentation = Segmentation()
    runtime: Runtime = Runtime()
    output: Output = Output()


def options_from(values: Mapping[str, Mapping[str, Any]]) -> Options:
    """Return the options from the dictionary of a record `Options`; tuples may have become lists, as JSON makes them.

    >>> options_from({"segmentation": {"channels": [3, 1, 0]}}).segmentation.channels
    (3, 1, 0)
    """
    records: dict[str, Any] = {"segmentation": Segmentation, "runtime": Runtime, "output": Output}
    return Options(
        **{
            key: records[key](**{name: tuple(one) if isinstance(one, list) else one for name, one in record.items()})
            for key, record in values.items()
        }
    )


def values_that_change(options: Options, changes: tuple[str, ...]) -> dict[str, Any]:
    """Return name and value of the options that change maps or labels, as values that JSON can store.

    changes: any of `MAPS` and `LABELS`.

    >>> sorted(values_that_change(Options(), (LABELS,)))
    ['cellprob_threshold', 'flow_threshold', 'ids', 'min_size']
    """
    selected = {}
    for record in (options.segmentation, options.runtime, options.output):
        values = asdict(record)
        for name, _, option in options_of(type(record)):
            if option.changes in changes:
                selected[name] = list(values[name]) if isinstance(values[name], tuple) else values[name]
    return selected
