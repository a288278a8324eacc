"""The options of the user, in three records: `Segmentation`, `Runtime` and `Output`.

Each field of a record has an `Option` with its meaning, unit and range, how its text on the command line is parsed, and
which results it changes. The command line and the check of --resume are derived from these records.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from numbers import Integral, Number, Real
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from .errors import SettingsError

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
"""Bytes of each unit of memory."""
SAVED = ("labels", "overlay", "table", "geojson", "rois", "ome", "zarr", "parquet", "anndata", "report")
"""The outputs of an image; the labels are always written."""
WHOLE_CELL, NUCLEAR, BOTH = "whole-cell", "nuclear", "both"
"""The compartments that a network of the watershed family can have heads for, named as in Mesmer; or both of them."""
WATERSHED = {
    WHOLE_CELL: {"paper": (0.1, 0.3), "release": (0.075, 0.2)},
    NUCLEAR: {"paper": (0.1, 0.3), "release": (0.1, 0.2)},
}
"""Published thresholds of each compartment, for the maxima of the inner distance and for the interior probability:
those of the paper, Greenwald et al. 2022, doi:10.1038/s41587-021-01094-0, and those of its software since June 2022."""
MAPS, LABELS, NOTHING = "maps", "labels", "nothing"
"""What an option changes: the network's maps and therefore the labels, only the labels, or nothing of these."""


def parse_memory(text: str, option: str = "memory") -> int:
    """Return an amount of memory in bytes. Raises SettingsError, which names ``option``, for any other text.

    >>> parse_memory("4G"), parse_memory("1.5K")
    (4294967296, 1536)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise SettingsError(f"{named(option, text)} is not an amount of memory; give one such as 4G or 800M.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def parse_device(text: str) -> tuple[str, int]:
    """Return (kind, GPU number) of a device; the number is 0 if not given. Raises SettingsError for any other text.

    >>> parse_device("cuda:1"), parse_device("cpu")
    (('cuda', 1), ('cpu', 0))
    """
    match = re.fullmatch(r"(auto|cpu|tensorrt|cuda)|cuda:(\d{1,3})", text)
    if match is None:
        raise SettingsError(f"{named('device', text)} is unknown; give one of auto, cpu, cuda, cuda:1, tensorrt.")
    return match[1] or "cuda", int(match[2] or 0)


def parse_channels(text: str) -> tuple[int | str, ...]:
    """Return the channels of a comma-separated list: numbers as integers, names as they are.

    Raises ValueError if a channel is missing between two commas.

    >>> parse_channels("3,1,0"), parse_channels("PanCK, DAPI")
    ((3, 1, 0), ('PanCK', 'DAPI'))
    """
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise ValueError("a channel is missing")
    return tuple(int(word) if re.fullmatch("-?[0-9]+", word) else word for word in words)


def check_channels(value: object) -> None:
    """Raise SettingsError unless the value is a sequence of channel numbers and names.

    >>> check_channels((3, "DAPI"))
    >>> check_channels("DAPI")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    flowmask.errors.SettingsError: `channels='DAPI'` is not a list of channels; give numbers or names, such as ...
    """
    given = value if isinstance(value, tuple | list) else ()
    if not given or not all(isinstance(channel, int | str) and not isinstance(channel, bool) for channel in given):
        raise SettingsError(
            f"{named('channels', value)} is not a list of channels; give numbers or names, such as (3, 1, 0) or "
            '("DAPI",).'
        )


def without_numpy(value: Any) -> Any:
    """Return a number of NumPy, or each one in a list, as Python's, which JSON can store; any other value as it is.

    >>> import numpy as np
    >>> without_numpy(np.float32(0.5)), without_numpy((np.int64(3), "DAPI"))
    (0.5, (3, 'DAPI'))
    """
    if isinstance(value, tuple | list):
        return type(value)(map(without_numpy, value))
    return value.item() if isinstance(value, Number) and hasattr(value, "item") else value


def parse_diameter(text: str) -> float | str:
    """Return a diameter in px as a number, and one in micrometres as it is. Raises ValueError for any other text.

    >>> parse_diameter("30"), parse_diameter("30 px"), parse_diameter("12um")
    (30.0, 30.0, '12um')
    """
    return float(text.strip().removesuffix("px")) if micrometres(text) is None else text


def micrometres(diameter: float | str | None) -> float | None:
    """Return the number of micrometres in a text such as "12um" or "12.5 µm"; None for any other value.

    >>> micrometres("12um"), micrometres(30.0)
    (12.0, None)
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*[uµμ]m\s*", diameter) if isinstance(diameter, str) else None
    return float(match[1]) if match else None


def check_diameter(value: object) -> None:
    """Raise SettingsError if a diameter is a text other than a positive number of micrometres.

    >>> check_diameter("12um")
    >>> check_diameter("12 inch")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    flowmask.errors.SettingsError: `diameter='12 inch'` is not a diameter; give px, such as 30, or ...
    """
    if isinstance(value, str) and not micrometres(value):
        raise SettingsError(
            f"{named('diameter', value)} is not a diameter; give px, such as 30, or micrometres, such as 12um."
        )


def parse_save(text: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list of outputs; all: every one of `SAVED`.

    >>> parse_save("labels, table"), parse_save("all") == SAVED
    (('labels', 'table'), True)
    """
    names = tuple(name.strip() for name in text.split(","))
    return SAVED if names == ("all",) else names


def check_save(value: object) -> None:
    """Raise SettingsError unless the value is a sequence of names of `SAVED`.

    >>> check_save(("labels", "table"))
    """
    names = value if isinstance(value, tuple | list) else (value,)
    unknown = [str(name) for name in names if name not in SAVED]
    if unknown:
        raise SettingsError(f"{named('save', unknown[0])} is unknown; give some of {', '.join(SAVED)}, or all.")


def watershed_thresholds(value: str, compartment: str = WHOLE_CELL) -> tuple[float, float]:
    """Return the maxima threshold and the interior threshold that a name of `WATERSHED` or a text "0.1,0.3" stands for.

    Raises SettingsError for any other text.

    >>> watershed_thresholds("release"), watershed_thresholds("release", "nuclear"), watershed_thresholds("0.05,0.5")
    ((0.075, 0.2), (0.1, 0.2), (0.05, 0.5))
    """
    published = WATERSHED[compartment]
    if value in published:
        return published[value]
    match = re.fullmatch(r"\s*(\d*\.?\d+)\s*,\s*(\d*\.?\d+)\s*", str(value))
    pair = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if not (0 < pair[0] <= 1 and 0 <= pair[1] < 1):
        raise SettingsError(
            f"{named('watershed_thresholds', value)} is unknown; give {', '.join(published)}, or two numbers such as "
            "0.1,0.3: the first above 0 and at most 1, the second from 0 to below 1."
        )
    return pair


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
    example: str = ""
    """Values as the command line takes them, for the message about a text that cannot be understood."""
    check: Callable[[Any], object] | None = None
    """Raises SettingsError for an invalid value; for options that need more than a range or choices."""

    @property
    def advice(self) -> str:
        """What to give, for the messages about other values."""
        return f"give {'one of ' + ', '.join(self.choices) if self.choices else 'for example ' + self.example}."

    def verify(self, name: str, value: Any) -> None:
        """Raise SettingsError, which names the option, if a value is out of range or unknown."""
        if value is None:
            return
        option = named(name, value)
        if self.low is not None and self.high is not None and not isinstance(value, str):
            self._verify_number(option, value, self.low, self.high)
        if self.choices and value not in self.choices:
            raise SettingsError(f"{option} is unknown; give one of {', '.join(self.choices)}.")
        if self.check:
            self.check(value)

    def _verify_number(self, option: str, value: Any, low: float, high: float) -> None:
        """Raise SettingsError unless a value is a number, in the range, and whole if the option counts something."""
        advice = f"give a number from {_shown(low)} to {_shown(high)}."
        if isinstance(value, bool) or not isinstance(value, Real):
            raise SettingsError(f"{option} is not a number; {advice}")
        if not low <= float(value) <= high:
            raise SettingsError(f"{option} is out of range; {advice}")
        if self.parse is int and not isinstance(value, Integral):
            raise SettingsError(f"{option} is not a whole number; {advice}")


def _shown(number: float) -> str:
    """Return a number without an exponent if it is large.

    >>> _shown(1e6), _shown(0.5)
    ('1,000,000', '0.5')
    """
    return f"{number:,.0f}" if number >= 1e6 else f"{number:g}"


def option_name(name: str) -> str:
    """Return the name of a field on the command line.

    >>> option_name("flow_threshold")
    '--flow-threshold'
    """
    return f"--{name.replace('_', '-')}"


def named(name: str, *value: object) -> str:
    """Return how the message of an error names an option, with its value if that is given, in the words of Python.

    `in_command_words` translates it for the command line.

    >>> named("channels", (3, 0)), named("memory")
    ('`channels=(3, 0)`', '`memory`')
    """
    return f"`{name}={value[0]!r}`" if value else f"`{name}`"


def in_command_words(message: str) -> str:
    """Return a message in which every option is named as on the command line.

    >>> in_command_words("`channels=(3, 0)` does not fit; give a larger `gpu_memory`.")
    '--channels 3,0 does not fit; give a larger --gpu-memory.'
    """

    def translated(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in NAMES:
            return match[0]
        return NAMES[name] if value is None else f"{NAMES[name]} {_as_argument(value)}"

    return re.sub(r"`(\w+)(?:=([^`]*))?`", translated, message)


def _as_argument(value: str) -> str:
    """Return a value as the command line takes it; ``value``: as in Python.

    >>> _as_argument("(3, 0)"), _as_argument("'cpu'")
    ('3,0', 'cpu')
    """
    with suppress(ValueError, SyntaxError):  # a value that is no literal is shown as it is
        found = literal_eval(value)
        return ",".join(map(str, found)) if isinstance(found, tuple) else str(found)
    return value


def options_of(record: type[Any]) -> Iterator[tuple[str, Any, Option]]:
    """Yield (name, default, `Option`) of every field of a record: `Segmentation`, `Runtime` or `Output`.

    >>> [(name, default) for name, default, _ in options_of(Output)]
    [('ids', 'int32'), ('save', ('labels',))]
    """
    for item in fields(record):
        yield item.name, item.default, item.metadata["option"]


def _option(
    default: Any, meaning: str, changes: str = NOTHING, parse: Callable[[str], object] = str, **more: Any
) -> Any:
    return field(default=default, metadata={"option": Option(meaning, changes, parse, **more)})


def _types(record: type[Any]) -> dict[str, tuple[type, ...]]:
    """Return the types that each option of a record takes; one of several values is a tuple or a list.

    >>> _types(Output)
    {'ids': (<class 'str'>,), 'save': (<class 'tuple'>, <class 'list'>)}
    """
    found = {}
    for name, hint in get_type_hints(record).items():
        kinds = [get_origin(kind) or kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,))]
        found[name] = (*kinds, list) if tuple in kinds else tuple(kinds)
    return found


class _Checked:
    """A record of options that checks its values when it is created."""

    def __post_init__(self) -> None:
        kinds = _types(type(self))
        for name, _, option in options_of(type(self)):
            types = kinds[name]
            value = without_numpy(getattr(self, name))
            option.verify(name, value)
            if type(value) is int and float in types:
                value = float(value)  # 30 and 30.0 are one diameter, also in the record and for --resume
            object.__setattr__(self, name, value)
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise SettingsError(f"{named(name, value)} is no value of this option; {option.advice}")


@dataclass(frozen=True)
class Segmentation(_Checked):
    """Options that determine the labels. Raises SettingsError for an invalid value."""

    diameter: float | str | None = _option(
        None,
        "cell diameter in px of the image, or in micrometres, such as 12um; estimated if not given",
        MAPS,
        parse_diameter,
        low=1,
        high=10_000,
        unit="px",
        check=check_diameter,
        example="30 or 12um",
    )
    pixel_size: float | None = _option(
        None,
        "micrometres per px, for a diameter and areas in micrometres and for networks made for one pixel size; by "
        "default the pixel size in the image file",
        MAPS,
        float,
        low=1e-4,
        high=1e4,
        example="0.5",
    )
    flow_threshold: float = _option(
        0.4,
        "largest mean squared flow error of a cell; 0 turns this check off",
        LABELS,
        float,
        low=0,
        high=10,
        example="0.4",
    )
    cellprob_threshold: float = _option(
        0.0,
        "logit of the cell probability above which a pixel belongs to a cell",
        LABELS,
        float,
        low=-20,
        high=20,
        example="0 or -1",
    )
    watershed_thresholds: str = _option(
        "paper",
        "minimum height h of a maximum of the inner distance (h-maxima), and the interior probability above which a "
        "pixel belongs to a cell: paper (0.1 and 0.3), release (0.075 and 0.2; for nuclei 0.1 and 0.2), or two numbers "
        "such as 0.1,0.3",
        LABELS,
        check=watershed_thresholds,
        example="paper or 0.1,0.3",
    )
    compartment: str = _option(
        WHOLE_CELL,
        "what is labelled if the network has heads for whole cells and for nuclei: whole-cell, nuclear, or both in two "
        "label files, NAME_label.tiff and NAME_nuclear_label.tiff",
        LABELS,
        choices=(*WATERSHED, BOTH),
    )
    score_threshold: float = _option(
        0.3,
        "lowest score of a detected cell, 0 to 1: the score of its box times the expected accuracy of its mask",
        LABELS,
        float,
        low=0,
        high=1,
        example="0.3",
    )
    min_size: int = _option(
        15, "area of the smallest cell", LABELS, int, low=0, high=1_000_000, unit="px", example="15"
    )
    channels: tuple[int | str, ...] | None = _option(
        None,
        "image channel for each network input, or one for all inputs: names as in the file, or numbers from 1, "
        "separated by commas; 0 as the first number is the mean of all channels, 0 as a later number is an empty input",
        MAPS,
        parse_channels,
        check=check_channels,
        example="1 or 3,1 or DAPI",
    )
    plane: int | None = _option(
        None,
        "plane of a stack, counted from 1; of a time series without planes, the frame",
        MAPS,
        int,
        low=1,
        high=1_000_000,
        example="2",
    )
    project: str | None = _option(
        None, "combine all planes of a stack into one image: max or mean", MAPS, choices=("max", "mean")
    )
    augment: bool = _option(
        False,
        "test-time augmentation: average over each tile and its three mirror images; the network takes four times as "
        "long",
        MAPS,
        example="True",
    )
    skip_noise_check: bool = _option(
        False,
        "segment also images that seem to show only noise; without this option they get no cells, and a warning",
        MAPS,
        example="True",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plane is not None and self.project is not None:
            raise SettingsError(f"{named('plane')} and {named('project')} exclude each other; give one of them.")

    def diameter_in_pixels(self, pixel_size: float | None, usual: float | None = None) -> float | None:
        """Return the diameter in px of an image; None if it is to be estimated.

        pixel_size: micrometres per px in the image file, or None; the option ``pixel_size`` replaces it. usual: the
        diameter in micrometres if none is given and the pixel size is known. Raises SettingsError if the diameter is in
        micrometres and the pixel size is unknown or gives a diameter out of range.

        >>> Segmentation(diameter="12um").diameter_in_pixels(0.5), Segmentation().diameter_in_pixels(0.5, usual=15)
        (24.0, 30.0)
        """
        size = self.pixel_size or pixel_size
        length = usual if self.diameter is None and size else micrometres(self.diameter)
        if length is None:
            return None if self.diameter is None else float(self.diameter)
        if size is None:
            raise SettingsError(
                f"the diameter {self.diameter} needs a pixel size, and the image has none; give it in micrometres per "
                f"px as {named('pixel_size')}, or give the diameter in px."
            )
        if not 1 <= length / size <= 10_000:
            given = self.diameter or f"{length:g}um"
            raise SettingsError(
                f"the diameter {given} is {length / size:g} px at {size:g} micrometres per px; it must be from "
                "1 to 10,000 px."
            )
        return length / size


@dataclass(frozen=True)
class Runtime(_Checked):
    """Device, CPU threads and memory. On the CPU these options do not change the labels."""

    batch: int = _option(
        0,
        "maximum number of tiles per run of the network (batch size); 0: one on the CPU, as many as fit on a "
        "GPU, at most 16",
        NOTHING,
        int,
        low=0,
        high=1024,
        example="4",
    )
    memory: str | None = _option(
        None,
        "maximum memory, such as 4G; by default the memory available in the container or machine",
        check=parse_memory,
        example="4G",
    )
    threads: int = _option(
        0,
        "number of CPU threads; 0: one for each usable core, in the network one for each physical core",
        NOTHING,
        int,
        low=0,
        high=1024,
        example="4",
    )
    device: str = _option(
        "auto",
        "device for the network: auto, cpu, cuda, cuda:1 or tensorrt; auto uses a GPU if there is one",
        check=parse_device,
        example="cpu or cuda:1",
    )
    gpu_memory: str | None = _option(
        None,
        "maximum GPU memory, such as 10G; never more than nine tenths of the free GPU memory is used",
        check=lambda text: parse_memory(text, "gpu_memory"),
        example="10G",
    )


@dataclass(frozen=True)
class Output(_Checked):
    """Options of the files that are written."""

    ids: str = _option(
        "int32",
        "int32: one number per cell (uint16 file up to 65,535 cells, int32 above); challenge: int16 for the NeurIPS "
        "challenge; above 32,767 cells numbers may repeat; NAME_label_int32.tiff then has unique ones",
        LABELS,
        choices=("int32", "challenge"),
    )
    save: tuple[str, ...] = _option(
        ("labels",),
        "what is written for each image, separated by commas: labels, overlay (picture with outlines), table "
        "(measurements of each cell), geojson (outlines for QuPath), rois (outlines for ImageJ), ome and zarr (labels "
        "as OME-TIFF and OME-Zarr), parquet and anndata (the table in these formats), report (one page about all "
        "images, report.html), or all",
        parse=parse_save,
        check=check_save,
        example="labels,table",
    )


NAMES = {
    "network": "--model",
    **{name: option_name(name) for record in (Segmentation, Runtime, Output) for name, _, _ in options_of(record)},
}
"""The name on the command line of every option that a message can name."""


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

    >>> sorted(values_that_change(Options(), (LABELS,)))[:4]
    ['cellprob_threshold', 'compartment', 'flow_threshold', 'ids']
    """
    selected = {}
    for record in (options.segmentation, options.runtime, options.output):
        values = asdict(record)
        for name, _, option in options_of(type(record)):
            if option.changes in changes:
                selected[name] = list(values[name]) if isinstance(values[name], tuple) else values[name]
    return selected
