"""The cells' diameter: a first value from the size regression, a search around it, a measurement on the cells found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from ...images.image import Image
from ...labels.labels import Labels, median_diameter
from ...network.session import Network
from ...options import Segmentation
from ...tiles.channels import ChannelMap
from ...tiles.normalise import Array, IntensityRanges
from ...tiles.rescale import NormalisedView
from .constants import FLOW_SCALE


@dataclass(frozen=True)
class DiameterSearch:
    """The constants of the search.

    Chosen on the simulated images of `bench.quality --simulated 4` and the held-out real ones: with these values the
    mean error of the logarithm of the diameter fell from 0.115 to 0.066 on the simulated images, for cells of 130 px
    from 0.209 to 0.111, and the F1 score with estimated diameters rose from 0.892 to 0.928.
    """

    window: int = 320
    """Largest side of a window in network pixels."""
    probes: int = 12
    probe: int = 128
    """Windows lie where the contrast of up to `probes` x `probes` probes of this side in image pixels is highest."""
    style_windows: int = 4
    """Windows whose style gives the first value."""
    search_windows: int = 2
    """Windows that go through the network for every diameter that is tried."""
    step: float = 1.5
    """Factor between the diameters that are tried."""
    pull: float = 0.2
    """What the mean flow length of a diameter loses by the square of its log distance from the first value."""
    unclear: float = 0.5
    """Mean flow length below which the best diameter of a climb is not trusted."""
    far: int = 3
    """Steps to either side that are all tried then, with half the `pull`: the first value may be wrong."""
    measured: float = 0.7
    """Weight, in the logarithm, of the diameter measured on the cells against the one with the longest flows."""
    smallest: float = 5.0
    largest: float = 500.0
    """Image pixels between which the estimate is kept."""


SEARCH = DiameterSearch()
Place = tuple[float, float]
"""A position as fractions (y, x) of the image's height and width."""


def estimate_diameter(
    image: Image, network: Network, channels: ChannelMap, ranges: IntensityRanges, threads: int = 0
) -> float:
    """Return the diameter in image pixels of the cells in the image.

    The network's size regression (style vector to log diameter, Stringer et al. 2021) reads windows at the image's
    own scale. It leans towards the mean diameter, so other diameters are tried, one `DiameterSearch.step` after the
    other while the result improves: the flows are longest where cells have the size that the network was trained for.
    The estimate lies between the top of the parabola through the best diameter and its neighbours, and the median
    diameter of the cells found at the best one. Default thresholds are used whatever the caller's, so that the maps
    stay the same. ``threads`` as in `flowmask.options.Runtime`.

    Without a regression the contract's training diameter is returned, and the mean diameter where no window has a
    style, as in an empty image.
    """
    contract = network.contract
    if not contract.sized:
        return contract.train_diameter
    view = NormalisedView(image, channels, ranges, 1.0)
    places = _places(view)
    first = _style_diameter(network, _windows(view, places, contract.grain))
    if first is None:
        return contract.mean_diameter

    @cache
    def window_maps(step: int) -> list[Array]:
        view = NormalisedView(image, channels, ranges, contract.mean_diameter / (first * SEARCH.step**step))
        windows = _windows(view, places[: SEARCH.search_windows], contract.grain)
        return [network.maps(window[None])[0] for window in windows]

    def clearness(step: int, pull: float = SEARCH.pull) -> float:
        if not SEARCH.smallest <= first * SEARCH.step**step <= SEARCH.largest:
            return -math.inf
        return _flow_length(window_maps(step)) - pull * (step * math.log(SEARCH.step)) ** 2

    best = 0
    while (better := max(best, best - 1, best + 1, key=clearness)) != best:
        best = better
    if _flow_length(window_maps(best)) < SEARCH.unclear:
        best = max(range(-SEARCH.far, SEARCH.far + 1), key=partial(clearness, pull=SEARCH.pull / 2))
    found = first * SEARCH.step ** (best + _top(*map(clearness, (best - 1, best, best + 1))))
    cells = [_labels(maps, threads) for maps in window_maps(best)]
    if median := median_diameter(*cells):
        measured = first * SEARCH.step**best * median / contract.mean_diameter
        found *= (measured / found) ** SEARCH.measured
    return float(np.clip(found, SEARCH.smallest, SEARCH.largest))


def _top(before: float, here: float, after: float) -> float:
    """Return where in -1 to 1 the parabola through the values at -1, 0 and 1 is highest; 0 where it has no top."""
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -1, 1)) if math.isfinite(bend) and bend < 0 else 0.0


def _style_diameter(network: Network, windows: list[Array]) -> float | None:
    """Return the diameter in px that the styles of windows at the image's own scale give; None without a style."""
    found = np.array([network.diameters(window[None])[0] for window in windows])
    found = found[np.isfinite(found)]
    return float(np.clip(math.exp(np.median(np.log(found))), SEARCH.smallest, SEARCH.largest)) if found.size else None


def _flow_length(window_maps: list[Array]) -> float:
    """Return the mean length of the flow over the cell pixels of maps (3, Y, X), 1 being perfect; 0 without cells."""
    inside = np.concatenate([maps[:2, maps[2] > 0] for maps in window_maps], axis=1)
    return float(np.hypot(*inside).mean()) / FLOW_SCALE if inside.size else 0.0


def _labels(maps: Array, threads: int) -> Labels:
    """Return the labels (Y, X) of maps (3, Y, X) at the network's resolution."""
    from .strip import label_rows  # where nothing is compiled ahead, that takes longer than opening the network

    shape = maps.shape[1], maps.shape[2]
    return np.concatenate(list(label_rows([maps], shape, shape, Segmentation(), threads)))


def _places(view: NormalisedView) -> list[Place]:
    """Return the places with the most contrast, half a window apart, `DiameterSearch.style_windows` at most."""
    (tops, height), (lefts, width) = (_probes(length) for length in view.shape)
    probes = [(top, left) for top in tops for left in lefts]
    contrast = [view.read(top, left, top + height, left + width).std() for top, left in probes]
    places: list[Place] = []
    for index in np.argsort(contrast)[::-1]:
        y, x = probes[index][0] + height / 2, probes[index][1] + width / 2
        place = y / view.shape[0], x / view.shape[1]
        if all(
            abs(y - v * view.shape[0]) > SEARCH.window / 2 or abs(x - u * view.shape[1]) > SEARCH.window / 2
            for v, u in places
        ):
            places.append(place)
    return places[: SEARCH.style_windows]


def _probes(length: int) -> tuple[list[int], int]:
    """Return the starts and the size of the probes along one axis, spread over it."""
    if length <= SEARCH.probe:
        return [0], length
    count = min(SEARCH.probes, math.ceil(length / SEARCH.probe))
    return [round(i * (length - SEARCH.probe) / (count - 1)) for i in range(count)], SEARCH.probe


def _windows(view: NormalisedView, places: list[Place], grain: int) -> list[Array]:
    """Return the windows (C, Y, X) around the places, moved to lie inside the view, each of them once."""
    spans = dict.fromkeys(
        tuple(_span(length, at, grain) for length, at in zip(view.shape, place, strict=True)) for place in places
    )
    return [view.read(top, left, top + height, left + width) for (top, height), (left, width) in spans]


def _span(length: int, at: float, grain: int) -> tuple[int, int]:
    """Return the start and the size of a window along one axis of ``length``, around the fraction ``at`` of it."""
    if length <= SEARCH.window:
        size = grain * math.ceil(length / grain)
        return (length - size) // 2, size
    return min(max(0, round(at * length) - SEARCH.window // 2), length - SEARCH.window), SEARCH.window
