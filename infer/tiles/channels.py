"""Which channels of an image go into which inputs of the network."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import SettingsError
from ..network.contract import CHANNEL_POLICIES

Sources = tuple[int, ...]
ChannelMap = tuple[Sources, ...]
"""For every network input the source channels of which it is the mean; none of them for an empty input."""


def channel_map(policy: str, channels: int, choice: Sequence[int] | None = None) -> ChannelMap:
    """Return the map of a contract's channel policy for an image with ``channels`` channels.

    ``choice`` overrides the policy: one number for each input, counted from 1; 0 as the first number stands
    for the mean of all channels and after it for an empty input (the meaning of Cellpose's ``channels``).
    Raises SettingsError when it does not fit the network or the image.
    """
    inputs = CHANNEL_POLICIES[policy]
    everything = tuple(range(channels))
    if choice is not None:
        check_choice(policy, choice)
        if not all(0 <= number <= channels for number in choice):
            raise SettingsError(
                f"--channels {','.join(map(str, choice))} does not fit an image of {channels} channel(s)."
            )
        first, *rest = choice
        return ((first - 1,) if first else everything, *(((n - 1,) if n else ()) for n in rest))
    if policy == "cellpose":
        return (everything, ())
    if policy == "green-blue":
        return ((1,), (2,)) if channels >= 3 else tuple((c,) if c < channels else () for c in range(2))
    if channels == 1:
        return ((0,),) * inputs
    return tuple((c,) if c < channels else () for c in range(inputs))


def check_choice(policy: str, choice: Sequence[int] | None) -> None:
    """Raise SettingsError when a choice of channels does not count one number for each input of the network."""
    inputs = CHANNEL_POLICIES[policy]
    if choice is not None and len(choice) != inputs:
        raise SettingsError(f"--channels needs {inputs} numbers for this network, not {len(choice)}.")
