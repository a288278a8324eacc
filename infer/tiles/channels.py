"""The channel map: which image channels each input of the network gets."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import SettingsError
from ..network.contract import CHANNEL_POLICIES

Sources = tuple[int, ...]
"""Image channels, from 0, whose mean is one network input; an empty tuple stands for an input of zeros."""
ChannelMap = tuple[Sources, ...]
"""The source channels of every network input."""


def channel_map(
    policy: str, channels: int, choice: Sequence[int | str] | None = None, names: Sequence[str] = ()
) -> ChannelMap:
    """Return the channel map for an image with ``channels`` channels.

    policy: the channel policy of the network's contract. ``choice`` replaces the policy: one channel for each network
    input, by its name or by its number from 1; a single channel serves every input. As the first number, 0 is the mean
    of all channels; as a later number, 0 is an empty input. Cellpose's option ``channels`` has the same meaning. names:
    the names of the image's channels, if it has any. Raises SettingsError if the choice does not fit the network or
    the image.

    >>> channel_map("cellpose", 3), channel_map("cellpose", 3, (3, 0))
    (((0, 1, 2), ()), ((2,), ()))
    >>> channel_map("rgb", 2, ("dapi",), ("CD3", "DAPI"))
    ((1,), (1,), (1,))
    """
    inputs = CHANNEL_POLICIES[policy]
    all_channels = tuple(range(channels))
    if choice is not None:
        check_choice(policy, choice)
        first, *rest = (channel_number(channel, channels, names) for channel in choice)
        if not rest:
            return grey_map(policy, (first - 1,) if first else all_channels)
        return ((first - 1,) if first else all_channels, *(((n - 1,) if n else ()) for n in rest))
    if policy == "cellpose":
        return (all_channels, ())
    if policy == "green-blue":
        return ((1,), (2,)) if channels >= 3 else tuple((c,) if c < channels else () for c in range(2))
    if channels == 1:
        return ((0,),) * inputs
    return tuple((c,) if c < channels else () for c in range(inputs))


def grey_map(policy: str, sources: Sources) -> ChannelMap:
    """Return the channel map that gives the network one channel, or the mean of several, as if it were a grey image.

    >>> grey_map("rgb", (2,)), grey_map("cellpose", (2,))
    (((2,), (2,), (2,)), ((2,), ()))
    """
    return tuple(sources if used else () for used in channel_map(policy, 1))


def channel_number(channel: int | str, channels: int, names: Sequence[str]) -> int:
    """Return the number, from 1, of a channel that is given by its number or its name; 0 stays 0.

    A name counts without its case, whole or by a beginning that only one channel has. A number above the number of
    channels can be a name, such as 488. Raises SettingsError, which lists the names, if there is no such channel.

    >>> channel_number("dap", 3, ("CD3", "CD8", "DAPI"))
    3
    """
    if isinstance(channel, int) and 0 <= channel <= channels:
        return channel
    wanted = str(channel).casefold()
    known = [name.casefold() for name in names]
    found = [n for n, name in enumerate(known, 1) if name == wanted]
    if not found and isinstance(channel, str):
        found = [n for n, name in enumerate(known, 1) if name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    numbers = f"numbers from 0 to {channels}"
    if isinstance(channel, int):
        raise SettingsError(f"--channels {channel} does not fit an image of {channels} channel(s); give {numbers}.")
    if not names:
        raise SettingsError(f"--channels {channel}: this image has no channel names; give {numbers}.")
    several = f"{len(found)} channels have this name" if found else "no channel has this name"
    raise SettingsError(
        f"--channels {channel}: {several}; this image has {', '.join(names)}; give one of them, or {numbers}."
    )


def check_choice(policy: str, choice: Sequence[int | str] | None) -> None:
    """Raise SettingsError if a choice has neither one channel, nor one for each input of the network."""
    inputs = CHANNEL_POLICIES[policy]
    if choice is not None and len(choice) not in (1, inputs):
        raise SettingsError(f"--channels needs 1 or {inputs} channels for this network, not {len(choice)}.")


def channel_name(channel: int, names: Sequence[str]) -> str:
    """Return how a message names a channel.

    >>> channel_name(0, ("CD3",)), channel_name(1, ())
    ('channel 1 (CD3)', 'channel 2')
    """
    name = names[channel] if channel < len(names) else ""
    return f"channel {channel + 1}" + (f" ({name})" if name else "")
