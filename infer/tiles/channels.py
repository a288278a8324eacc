"""The channel map: which image channels each input of the network gets."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import SettingsError
from ..network.contract import CHANNEL_POLICIES
from ..options import named

Sources = tuple[int, ...]
"""Image channels, from 0, whose mean is one network input; an empty tuple stands for an input of zeros."""
ChannelMap = tuple[Sources, ...]
"""The source channels of every network input."""


def channel_map(policy: str, channels: int, choice: Sequence[int] | None = None) -> ChannelMap:
    """Return the channel map for an image with ``channels`` channels.

    policy: the channel policy of the network's contract. ``choice`` replaces the policy: one channel number for each
    network input, counted from 1. As the first number, 0 is the mean of all channels; as a later number, 0 is an empty
    input. Cellpose's option ``channels`` has the same meaning. Raises SettingsError if the choice does not fit the
    network or the image.

    >>> channel_map("cellpose", 3), channel_map("cellpose", 3, (3, 0))
    (((0, 1, 2), ()), ((2,), ()))
    """
    inputs = CHANNEL_POLICIES[policy]
    all_channels = tuple(range(channels))
    if choice is not None:
        check_choice(policy, choice)
        if not all(0 <= number <= channels for number in choice):
            raise SettingsError(
                f"{named('channels', tuple(choice))} does not fit an image of {channels} channel(s); give numbers from "
                f"0 to {channels}."
            )
        first, *rest = choice
        return ((first - 1,) if first else all_channels, *(((n - 1,) if n else ()) for n in rest))
    if policy == "cellpose":
        return (all_channels, ())
    if policy == "green-blue":
        return ((1,), (2,)) if channels >= 3 else tuple((c,) if c < channels else () for c in range(2))
    if channels == 1:
        return ((0,),) * inputs
    return tuple((c,) if c < channels else () for c in range(inputs))


def check_choice(policy: str, choice: Sequence[int] | None) -> None:
    """Raise SettingsError if a choice of channels does not have one number for each input of the network.

    >>> check_choice("rgb", (1, 2, 3))
    >>> check_choice("rgb", (1,))
    Traceback (most recent call last):
    ...
    flowmask.errors.SettingsError: `channels` needs 3 numbers for this network, not 1.
    """
    inputs = CHANNEL_POLICIES[policy]
    if choice is not None and len(choice) != inputs:
        raise SettingsError(f"{named('channels')} needs {inputs} numbers for this network, not {len(choice)}.")
