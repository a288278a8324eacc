"""The channel map: which image channels each input of the network gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from ..errors import SettingsError, printable
from ..network.contract import CHANNEL_POLICIES
from ..options import named

Sources = tuple[int, ...]
"""Image channels, from 0, whose mean is one network input; an empty tuple stands for an input of zeros."""
ChannelMap = tuple[Sources, ...]
"""The source channels of every network input."""
MOST_NAMED = 12
"""A message names at most this many channels one by one."""


def channel_map(
    policy: str, channels: int, choice: Sequence[int | str] | None = None, names: Sequence[str] = ()
) -> ChannelMap:
    """Return the channel map for an image with ``channels`` channels.

    policy: the channel policy of the network's contract. ``choice`` replaces the policy: one channel for each network
    input, by its name or by its number from 1; a single channel serves all inputs that a grey image serves, and with
    two channels the third input is empty. As the first number, 0 is the mean of all channels; as a later number, 0 is
    an empty input. Cellpose's option ``channels`` has the same meaning. names: the names of the image's channels, or
    nothing. Raises SettingsError if the choice does not fit the network or the image.

    >>> channel_map("cellpose", 3), channel_map("cellpose", 3, (3, 0))
    (((0, 1, 2), ()), ((2,), ()))
    >>> channel_map("rgb", 2, ("dapi",), ("CD3", "DAPI"))
    ((1,), (1,), (1,))
    """
    all_channels = tuple(range(channels))
    if choice is not None:
        check_choice(policy, choice)
        first, *rest = (channel_number(channel, channels, names) for channel in choice)
        sources = (first - 1,) if first else all_channels
        if not rest:
            return grey_map(policy, sources)
        given = (sources, *(((number - 1,) if number else ()) for number in rest))
        return given + ((),) * (CHANNEL_POLICIES[policy] - len(given))
    if policy == "cellpose":
        return (all_channels, ())
    if policy == "green-blue":
        return ((1,), (2,)) if channels >= 3 else tuple((c,) if c < channels else () for c in range(2))
    inputs = CHANNEL_POLICIES[policy]
    if channels == 1:
        return ((0,),) * inputs
    return tuple((c,) if c < channels else () for c in range(inputs))


def grey_map(policy: str, sources: Sources) -> ChannelMap:
    """Return the channel map that gives the network one channel, or the mean of several, as if the image were grey.

    >>> grey_map("rgb", (2,)), grey_map("cellpose", (2,))
    (((2,), (2,), (2,)), ((2,), ()))
    """
    return tuple(sources if used else () for used in channel_map(policy, 1))


def channel_number(channel: int | str, channels: int, names: Sequence[str]) -> int:
    """Return the number, from 1, of a channel that is given by its number or its name; 0 stays 0.

    Upper and lower case do not matter. A number above the number of channels can be a name, such as 488. Raises
    SettingsError, which lists the names, unless exactly one channel fits.

    >>> channel_number("dapi", 3, ("CD3", "CD8", "DAPI"))
    3
    """
    if isinstance(channel, int) and 0 <= channel <= channels:
        return channel
    wanted = str(channel).casefold().strip()
    found = [number for number, name in enumerate(names, 1) if name.casefold().strip() == wanted]
    if len(found) == 1:
        return found[0]
    numbers = f"numbers from 0 to {channels}"
    if not any(names):
        if isinstance(channel, int):
            reason = f"{channel} does not fit an image of {channels} channel(s)"
        else:
            reason = f"there is no channel {printable(channel)}: this image has no channel names"
        raise SettingsError(f"{named('channels')}: {reason}; give {numbers}.")
    reason = f"{len(found)} channels have the name" if found else "there is no channel"
    known = ", ".join(printable(name) if name else "one without a name" for name in names)
    commas = "; a name with a comma is given by its number" if any("," in name for name in names) else ""
    raise SettingsError(
        f"{named('channels')}: {reason} {printable(str(channel))}; the channels of this image are {known}; give one of "
        f"these names in full, or {numbers}{commas}."
    )


def check_choice(policy: str, choice: Sequence[int | str] | None) -> None:
    """Raise SettingsError if a choice has no channel, or more than the network has inputs.

    >>> check_choice("rgb", (1, 2))
    >>> check_choice("rgb", (1, 2, 3, 4))
    Traceback (most recent call last):
    ...
    flowmask.errors.SettingsError: `channels`: this network takes 1 to 3 channels, not 4.
    """
    inputs = CHANNEL_POLICIES[policy]
    if choice is not None and not 1 <= len(choice) <= inputs:
        raise SettingsError(f"{named('channels')}: this network takes 1 to {inputs} channels, not {len(choice)}.")


def listed(channels: Iterable[int], names: Sequence[str] = ()) -> str:
    """Return the words for channels, counted from 0 here and from 1 in the text.

    >>> listed([0, 2], ("CD3", "CD8", "DAPI")), listed([3, 4, 5, 9])
    ('channels 1 (CD3) and 3 (DAPI)', 'channels 4 to 6 and 10')
    """
    numbers = sorted(channels)
    if any(names) and len(numbers) <= MOST_NAMED:
        parts = [f"{number + 1} ({printable(names[number])})" for number in numbers]
    else:
        runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
        parts = []
        for run in runs:
            ends = [f"{run[0] + 1} to {run[-1] + 1}"] if len(run) > 2 else [f"{number + 1}" for number in run]
            parts += ends
    text = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"channel{'s' if len(numbers) > 1 else ''} {text}"


def unused_note(channels: ChannelMap, count: int, names: Sequence[str], explained: Iterable[int] = ()) -> str | None:
    """Return which of ``count`` channels are used and which are not, or None if all are used.

    explained: unused channels that another note names.

    >>> unused_note(((0,), (1,), (2,)), 4, ())
    'Channels 1 to 3 were used and channel 4 was ignored; choose others with `channels`.'
    """
    used = {channel for sources in channels for channel in sources}
    others = set(range(count)) - used - set(explained)
    if not others:
        return None
    verbs = ["was" if len(found) == 1 else "were" for found in (used, others)]
    text = f"{listed(used, names)} {verbs[0]} used and {listed(others, names)} {verbs[1]} ignored"
    return f"{text[0].upper()}{text[1:]}; choose others with {named('channels')}."
