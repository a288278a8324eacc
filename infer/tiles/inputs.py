"""Decide what the network gets from an image: channels, intensity ranges and missing pixels, with a note of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..images.image import Image
from ..network.contract import Contract
from ..options import Segmentation, named
from .channels import ChannelMap, channel_map, grey_map, listed, unused_note
from .contrast import brightness_is_noise, is_noise
from .counts import Count, count_values
from .normalise import IntensityRanges, intensity_ranges, range_of
from .scale_bar import CLOSE, VALUES, find_scale_bars
from .signal import Signal, find_signal
from .survey import ChannelRange, survey, without_fill

GREY = (0, 1, 1, 2)
"""Sources whose mean is the grey of a picture of one hue: red + 2 green + blue. See `flowmask.tiles.signal`."""
FEW = 16
"""An image of fewer grey levels gets a warning."""
FAINT = 0.25
"""Whether an image shows only noise is asked of the channels with more than this part of the largest range."""


@dataclass(frozen=True)
class Inputs:
    """What the network gets from an image. The fields are those of `flowmask.tiles.plan.ImagePlan`."""

    channels: ChannelMap
    ranges: IntensityRanges
    fills: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unused: str | None = None
    few_levels: float | None = None


def chosen_channels(image: Image, contract: Contract, options: Segmentation) -> ChannelMap:
    """Return the channel map by the options, or by the contract. Raises SettingsError if they do not fit the image.

    >>> from flowmask.images.image import ArrayImage
    >>> contract = Contract("example", "rgb", 30.0, 30.0, False, "", "")
    >>> chosen_channels(ArrayImage(np.zeros((1, 50, 60))), contract, Segmentation())
    ((0,), (0,), (0,))
    """
    return channel_map(contract.channels, image.shape[0], options.channels, image.info.channel_names)


def find_inputs(image: Image, contract: Contract, options: Segmentation, count: Count = count_values) -> Inputs:
    """Return what the network gets from an image.

    Without a choice of the user, a channel without signal is not used (`flowmask.tiles.signal`). If all pixels have one
    value or show only noise (`flowmask.tiles.contrast`), all inputs are empty; with ``skip_noise_check`` noise only has
    a warning. The image is read once, if its pixels have 8 or 16 bits; again only if a channel may be empty, the grey
    levels are few, or a scale bar may be drawn into it (`flowmask.tiles.scale_bar`). count: makes the histograms of an
    image of 8 or 16 bits. Raises SettingsError if the options do not fit the image.

    >>> from flowmask.images.image import ArrayImage
    >>> from flowmask.network.contract import Contract
    >>> contract = Contract("example", "rgb", 30.0, 30.0, False, "", "")
    >>> pixels = np.zeros((3, 64, 64), np.uint8)
    >>> pixels[2, 20:40, 20:40] = 200
    >>> inputs = find_inputs(ArrayImage(pixels), contract, Segmentation())
    >>> inputs.channels, inputs.notes
    (((0, 1, 1, 2), (0, 1, 1, 2), (0, 1, 1, 2)), ('The image has one hue and was used as a grey image.',))
    """
    channels, names = chosen_channels(image, contract, options), image.info.channel_names
    unused = unused_note(channels, image.shape[0], names) if options.channels is None else None
    used = sorted({channel for sources in channels for channel in sources})
    if any(len(sources) > 1 for sources in channels):
        ranges = intensity_ranges(image, channels, contract.percentiles, count)
        channel_ranges = survey(image, used, contract.percentiles, count)
        ranges, warnings, few = _with_contrast(image, ranges, channel_ranges, options)
        warnings = (*warnings, *_scale_bar_warning(image, ranges, {}))
        return Inputs(channels, ranges, warnings=warnings, unused=unused, few_levels=few)
    looked = list(range(3)) if options.channels is None and image.shape[0] == 3 else used
    channel_ranges = survey(image, looked, contract.percentiles, count)
    fills = tuple(channel_ranges[c].fill if c in channel_ranges else None for c in range(image.shape[0]))
    seen = without_fill(image, fills)
    notes: tuple[str, ...] = ()
    if options.channels is None and len(looked) > 1:
        signal = find_signal(seen, channel_ranges)
        if not signal.one_hue and looked != used:
            signal = find_signal(seen, {channel: channel_ranges[channel] for channel in used})
        channels, notes = _with_signal(channels, contract, signal, image, names)
        explained = channel_ranges if signal.one_hue else signal.empty
        unused = None if GREY in channels else unused_note(channels, image.shape[0], names, explained)
    if any(len(sources) > 1 for sources in channels):
        ranges = intensity_ranges(seen, channels, contract.percentiles, count)
    else:
        ranges = np.array([range_of(channel_ranges[s[0]], image.dtype) if s else (0.0, 0.0) for s in channels])
    left = {channel: channel_ranges[channel] for sources in channels for channel in sources}
    ranges, warnings, few = _with_contrast(image, ranges, left, options)
    warnings = (*_fill_notes(channel_ranges, names), *warnings, *_scale_bar_warning(image, ranges, channel_ranges))
    return Inputs(channels, ranges, fills, notes, warnings, unused, few)


def _with_signal(
    channels: ChannelMap, contract: Contract, signal: Signal, image: Image, names: tuple[str, ...]
) -> tuple[ChannelMap, tuple[str, ...]]:
    """Return the channel map without channels that have no signal, and a note about them."""
    if not signal.empty:
        return channels, ()
    if signal.one_hue and not signal.noise and image.shape[0] == 3 and image.dtype == np.uint8:
        return grey_map(contract.channels, GREY), ("The image has one hue and was used as a grey image.",)
    text = listed(signal.empty, names)
    lack = "has no signal of its" if len(signal.empty) == 1 else "have no signal of their"
    note = f"{text[0].upper()}{text[1:]} {lack} own and"
    if signal.one_hue:
        strongest = listed([signal.strongest], names)
        return grey_map(contract.channels, (signal.strongest,)), (
            f"{note} only {strongest} was used, as a grey image.",
        )
    verb = "was" if len(signal.empty) == 1 else "were"
    with_signal = tuple(tuple(channel for channel in sources if channel not in signal.empty) for sources in channels)
    return with_signal, (f"{note} {verb} not used; choose others with `channels`.",)


def _fill_notes(channel_ranges: dict[int, ChannelRange], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return a warning for each channel with missing pixels."""
    return tuple(
        f"In {listed([channel], names)}, {level.missing:.0%} of the pixels have the value {level.fill:g}, far outside "
        "all other values; these pixels were taken as missing."
        for channel, level in channel_ranges.items()
        if level.fill is not None
    )


def _with_contrast(
    image: Image, ranges: IntensityRanges, channel_ranges: dict[int, ChannelRange], options: Segmentation
) -> tuple[IntensityRanges, tuple[str, ...], float | None]:
    """Return the ranges, with spans of 0 if all channels show only noise, warnings, and the grey levels if few."""
    few = max((level.maximum - level.minimum + 1 for level in channel_ranges.values()), default=0.0)
    if not ranges[:, 1].any() or image.dtype.kind not in "ui":
        return ranges, _without_contrast(image, ranges), None
    seen = [
        (channel, level)
        for channel, level in channel_ranges.items()
        if level.maximum - level.minimum > FAINT * (few - 1)
    ]
    warnings: tuple[str, ...] = ()
    blank = all(is_noise(image, channel, level) for channel, level in seen)
    if blank and options.channels is None and image.dtype == np.uint8 and image.shape[0] == 3:
        blank = brightness_is_noise(image)
    if blank:
        if not options.skip_noise_check:
            empty = np.stack([ranges[:, 0], np.zeros(len(ranges))], axis=1)
            reason = f"its {few:.0f} grey levels are noise or a pattern of compression, so no cells are reported"
            advice = f"to segment it all the same, use {named('skip_noise_check')}"
            return empty, (f"The image shows no contrast: {reason}; {advice}.",), None
        warnings = ("The image seems to show only noise; check whether the cells are real.",)
    if few < FEW:
        few_levels = f"The grey levels have a range of only {few:.0f}; check whether the cells are real."
        return ranges, (*warnings, few_levels), few
    return ranges, warnings, None


def _scale_bar_warning(
    image: Image, ranges: IntensityRanges, channel_ranges: dict[int, ChannelRange]
) -> tuple[str, ...]:
    """Return a warning if a scale bar was drawn into the image. channel_ranges: of the channels that were surveyed."""
    known = [(level.fill, level.minimum, level.maximum) for level in channel_ranges.values()]
    values = [value for value in VALUES if all(_reach(ends, value) for ends in known)]
    bars = find_scale_bars(image, float(ranges[:, 1].max(initial=0)), values)
    if not len(bars):
        return ()
    top, left = bars[0, :2] + 1
    place = f"row {top}, column {left}"
    return (f"A scale bar is drawn into the image ({place}); check the cells on it and on text beside it.",)


def _reach(ends: tuple[float | None, float, float], value: int) -> bool:
    """Return whether one of the grey levels is about this value, as in a bar that was stored as JPEG."""
    return any(end is not None and abs(end - value) <= CLOSE for end in ends)


def _without_contrast(image: Image, ranges: IntensityRanges) -> tuple[str, ...]:
    """Return a warning if all inputs are constant."""
    if ranges[:, 1].any():
        return ()
    other = ", or are NaN or infinite" if image.dtype.kind == "f" else ""
    return (f"The image shows no contrast: all its pixels have one value{other}.",)
