"""The axes of a stored image: which one holds channels, planes of a stack, or frames of a series."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ImageError, SettingsError
from ..options import named

MAX_UNNAMED_CHANNELS = 4
"""An axis without a known name is the axis of channels only if it has at most this length."""
FRAMES = "RT"
"""Axes of series: positions and time. Each frame gets labels of its own."""
SUFFIX = {"R": "p", "T": "t"}
"""Letter of each series in the name of a label file: NAME_p001_t001_label.tiff."""
PROJECTIONS = ("max", "mean")
CHOOSE = f"choose one with {named('plane')}, or combine them with {named('project')} (max or mean)"


@dataclass(frozen=True)
class Axes:
    """The axes of an image that are longer than 1, and what they mean."""

    letters: str
    """One letter for each axis, as in tifffile."""
    shape: tuple[int, ...]
    frames: tuple[int, ...] = ()
    """Indices of the axes of positions and time."""
    stack: int | None = None
    """Index of the axis of planes."""
    channel: int | None = None
    """Index of the axis of channels."""
    notes: tuple[str, ...] = ()

    @property
    def planes(self) -> int:
        return 1 if self.stack is None else self.shape[self.stack]

    @property
    def frame_shape(self) -> tuple[int, ...]:
        return tuple(self.shape[axis] for axis in self.frames)

    def suffix(self, frame: tuple[int, ...]) -> str:
        """Return the suffix of a frame's label file, such as "_t001"; empty without frames."""
        return "".join(
            f"_{SUFFIX.get(self.letters[axis], 'f')}{index + 1:03}"
            for axis, index in zip(self.frames, frame, strict=True)
        )

    def index(self, frame: tuple[int, ...], plane: int) -> tuple[int | slice, ...]:
        """Return the index of one plane of one frame, counted from 0, for an array with these axes."""
        index: list[int | slice] = [slice(None)] * len(self.letters)
        for axis, number in zip(self.frames, frame, strict=True):
            index[axis] = number
        if self.stack is not None:
            index[self.stack] = plane
        return tuple(index)

    @property
    def remaining(self) -> str:
        """The letters of the axes that `index` leaves."""
        chosen = {*self.frames, self.stack}
        return "".join(letter for axis, letter in enumerate(self.letters) if axis not in chosen)


def squeeze(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Remove axes of length 1, except Y and X.

    >>> squeeze("ZCYX", (1, 3, 50, 60))
    ('CYX', (3, 50, 60))
    """
    remaining = [(axis, length) for axis, length in zip(axes, shape, strict=True) if axis in "YX" or length > 1]
    return "".join(axis for axis, _ in remaining), tuple(length for _, length in remaining)


def understand(axes: str, shape: tuple[int, ...], chosen: bool = False) -> Axes:
    """Return what the axes of an image mean. ``chosen``: the user chose a plane or a projection.

    Raises ImageError if there are several axes of planes or of channels, or no Y and X.

    Two to four planes along an axis without a name are channels unless the user chose a plane: programs that write
    stacks of sections name the axis, whereas arrays of channels are often saved without names.

    >>> understand("TZCYX", (5, 9, 2, 50, 60))
    Axes(letters='TZCYX', shape=(5, 9, 2, 50, 60), frames=(0,), stack=1, channel=2, notes=())
    """
    axes, shape = squeeze(axes, shape)
    where = [at for at, axis in enumerate(axes) if axis not in "YX"]
    channels = [at for at in where if axes[at] in "CS"]
    frames = [at for at in where if axes[at] in FRAMES]
    planes = [at for at in where if at not in channels + frames]
    notes: list[str] = []
    if axes.count("Y") != 1 or axes.count("X") != 1 or len(channels) > 1 or len(planes) > 1:
        raise ImageError(
            f"its axes {axes} {shape} are ambiguous: channels and planes cannot be distinguished; save each stack "
            "as a separate file."
        )
    if planes and not channels and not chosen and axes[planes[0]] not in "ZI" and shape[planes[0]] <= 4:
        notes.append(
            f"Its {shape[planes[0]]} planes have no named axis and were read as channels; if they are sections, "
            f"{CHOOSE}."
        )
        channels, planes = planes, []
    if chosen and not planes and frames and axes[frames[-1]] == "T":
        planes = [frames.pop()]
    stack, channel = (found[0] if found else None for found in (planes, channels))
    return Axes(axes, shape, tuple(frames), stack, channel, tuple(notes))


def check_choice(plane: int | None, project: str | None) -> None:
    """Raise SettingsError unless at most one of plane and project is given, with a valid value.

    >>> check_choice(2, None)
    >>> check_choice(2, "max")
    Traceback (most recent call last):
    ...
    flowmask.errors.SettingsError: `plane` and `project` exclude each other; give one of them.
    """
    if plane is not None and project is not None:
        raise SettingsError(f"{named('plane')} and {named('project')} exclude each other; give one of them.")
    if plane is not None and plane < 1:
        raise SettingsError(f"{named('plane', plane)} does not exist; planes are counted from 1.")
    if project is not None and project not in PROJECTIONS:
        raise SettingsError(f"{named('project', project)} is unknown; give one of {', '.join(PROJECTIONS)}.")


def chosen_plane(axes: Axes, plane: int | None, project: str | None) -> int | None:
    """Return the index of the chosen plane, from 0, or None to project. Raises ImageError if a choice is missing.

    >>> stack = understand("ZYX", (9, 50, 60))
    >>> chosen_plane(stack, 3, None), chosen_plane(stack, None, "max")
    (2, None)
    """
    if plane is not None and plane > axes.planes:
        raise ImageError(
            f"it has {axes.planes} plane(s), so there is no plane {plane}; give a number from 1 to {axes.planes}."
        )
    if project is not None:
        return None
    if plane is None and axes.planes > 1:
        raise ImageError(f"it is a stack of {axes.planes} planes (axes {axes.letters}); {CHOOSE}.")
    return (plane or 1) - 1
