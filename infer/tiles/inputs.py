"""Decide what the network gets from an image: channels, intensity ranges, gaps, and the notes about all of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ..images.image import Image, ImageInfo
from ..network.contract import Contract
from ..options import Segmentation
from .channels import ChannelMap, channel_map, channel_name, grey_map
from .normalise import IntensityRanges, intensity_ranges, ranges_of
from .signal import find_signal, is_noise
from .survey import Levels, precision, survey, with_gaps


@dataclass(frozen=True)
class Inputs:
    """What the network gets from an image. The fields are those of `flowmask.tiles.plan.ImagePlan`."""

    channels: ChannelMap
    ranges: IntensityRanges
    gaps: tuple[float | None, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    unseen: str | None


def info_of(image: Image) -> ImageInfo:
    """Return what is known of the image's file; nothing for images of other programs, which have no ``info``."""
    info: ImageInfo | None = getattr(image, "info", None)
    return info or ImageInfo("", "", (), None, (), (), None)


def chosen_channels(image: Image, contract: Contract, options: Segmentation) -> ChannelMap:
    """Return the channel map by the options, or by the contract. Raises SettingsError if they do not fit the image."""
    return channel_map(contract.channels, image.shape[0], options.channels, info_of(image).channel_names)


def find_inputs(image: Image, channels: ChannelMap, contract: Contract, options: Segmentation) -> Inputs:
    """Return the inputs for a channel map. Channels without signal are left out unless the user chose the channels."""
    names = info_of(image).channel_names
    used = sorted({channel for sources in channels for channel in sources})
    gaps = _declared_gaps(image)
    levels = survey(with_gaps(image, gaps), used, contract.percentiles)
    gaps = tuple(levels[c].gap if c in levels and levels[c].gap is not None else gap for c, gap in enumerate(gaps))
    warnings = _gap_notes(levels, names)
    seen = with_gaps(image, gaps)
    notes: list[str] = []
    if options.channels is None and len(used) > 1:
        channels, notes = _with_signal(seen, channels, contract, levels, names)
    unseen = _unseen(image, channels, used, names) if options.channels is None else None
    ranges = _ranges(seen, channels, contract, levels)
    left = {channel: levels[channel] for sources in channels for channel in sources}
    if left and all(is_noise(image, channel, level) for channel, level in left.items()):
        ranges = np.stack([ranges[:, 0], np.zeros(len(ranges))], axis=1)
        count = max(round(level.maximum - level.minimum) + 1 for level in left.values())
        warnings.append(
            f"the image shows no contrast: its {count} grey levels are noise or a pattern of compression, so no cells "
            "were looked for."
        )
    elif left and not ranges[:, 1].any():
        warnings.append("the image shows no contrast: all its pixels have one value.")
    notes = [*([unseen] if unseen else []), *notes, *warnings]
    return Inputs(channels, ranges, gaps, tuple(notes), tuple(warnings), unseen)


def _declared_gaps(image: Image) -> tuple[float | None, ...]:
    """Return for each channel the value for missing pixels that the file names; None if no pixel can have it."""
    nodata, dtype = info_of(image).nodata, image.dtype
    if nodata is None or not np.isfinite(nodata):
        return (None,) * image.shape[0]
    if dtype.kind in "ui":
        limits = np.iinfo(dtype.str)
        possible = float(nodata).is_integer() and limits.min <= nodata <= limits.max
        return (float(nodata) if possible else None,) * image.shape[0]
    return (float(np.array(nodata, precision(dtype))),) * image.shape[0]


def _gap_notes(levels: dict[int, Levels], names: tuple[str, ...]) -> list[str]:
    return [
        f"{channel_name(channel, names)}: {level.gap_share:.0%} of the pixels have the value {level.gap:g}, far "
        "outside all others; they were taken for missing."
        for channel, level in levels.items()
        if level.gap is not None
    ]


def _with_signal(
    image: Image, channels: ChannelMap, contract: Contract, levels: dict[int, Levels], names: tuple[str, ...]
) -> tuple[ChannelMap, list[str]]:
    """Return the channel map without empty channels, and a note about them."""
    signal = find_signal(image, levels)
    if not signal.empty:
        return channels, []
    empty = ", ".join(channel_name(channel, names) for channel in signal.empty)
    note = f"{empty}: no signal of its own" if len(signal.empty) == 1 else f"{empty}: no signal of their own"
    if signal.one_hue:
        strongest = channel_name(signal.strongest, names)
        return grey_map(contract.channels, (signal.strongest,)), [f"{note}; {strongest} was used as a grey image."]
    kept = tuple(tuple(c for c in sources if c not in signal.empty) for sources in channels)
    return kept, [f"{note}; not used."]


def _unseen(image: Image, channels: ChannelMap, used: list[int], names: tuple[str, ...]) -> str | None:
    """Return which channels were used and which were not looked at, if a channel was not or if channels have names."""
    others = [channel for channel in range(image.shape[0]) if channel not in used]
    if not others and not (any(names) and image.shape[0] > 1):
        return None
    taken = sorted({channel for sources in channels for channel in sources})
    note = f"{_listed(taken, names)} {'was' if len(taken) == 1 else 'were'} used"
    if others:
        note += f"; {_listed(others, names)} {'was' if len(others) == 1 else 'were'} not looked at"
    return f"{note}; choose others with --channels."


def _listed(channels: list[int], names: tuple[str, ...]) -> str:
    """Return channels as a text; long runs of channels without names as "channels 4 to 20".

    >>> _listed([0, 2], ("CD3", "CD8", "DAPI")), _listed([3, 4, 5, 6], ())
    ('channel 1 (CD3), channel 3 (DAPI)', 'channels 4 to 7')
    """
    if any(names) and len(channels) <= 12:
        return ", ".join(channel_name(channel, names) for channel in channels)
    runs = [[c for _, c in run] for _, run in groupby(enumerate(channels), lambda pair: pair[1] - pair[0])]
    parts = [f"{run[0] + 1} to {run[-1] + 1}" if len(run) > 1 else f"{run[0] + 1}" for run in runs]
    return f"channel{'s' if len(channels) > 1 else ''} {', '.join(parts)}"


def _ranges(image: Image, channels: ChannelMap, contract: Contract, levels: dict[int, Levels]) -> IntensityRanges:
    if any(len(sources) > 1 for sources in channels):
        return intensity_ranges(image, channels, contract.percentiles)
    return ranges_of(levels, channels, image.dtype)
