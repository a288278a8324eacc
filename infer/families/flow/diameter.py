"""Estimate the cell diameter: size regression, then a search by flow length, then a measurement on the cells found."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from ...images.image import Image
from ...labels.labels import Labels, median_diameter
from ...network.session import Network
from ...options import Segmentation
from ...tiles.channels import ChannelMap
from ...tiles.normalise import Array, IntensityRanges
from ...tiles.plan import DiameterEstimate
from ...tiles.rescale import NormalisedView
from .constants import FLOW_SCALE


@dataclass(frozen=True)
class DiameterSearch:
    """The constants of the search.

    They were chosen on the simulated images of `bench.quality.scores --simulated 4` and on the held-out real images.
    When they were introduced, the mean error of the logarithm of the diameter fell from 0.115 to 0.066 on the simulated
    images (cells of 130 px: from 0.209 to 0.111), and F1 with estimated diameters rose from 0.892 to 0.928.
    """

    window: int = 320
    """Largest side of a window in network pixels."""
    probes: int = 12
    """Most probes along each axis. A probe is an area whose contrast is measured."""
    probe: int = 128
    """Side of a probe in image pixels. The windows are placed on the probes with the highest contrast."""
    style_windows: int = 4
    """Most windows for the size regression, which gives the first estimate."""
    search_windows: int = 2
    """Most windows in which diameters are searched."""
    two_sizes: float = 1.6
    """Ratio of the regression's diameters in two windows from which these two are searched."""
    step: float = 1.5
    """Ratio of two neighbouring candidate diameters."""
    pull: float = 0.2
    """Penalty on a candidate: the square of its log distance from the first estimate, times this, is subtracted."""
    unclear: float = 0.5
    """If the mean flow length at the best diameter is below this, the search is repeated over a wider range."""
    far: int = 3
    """Steps to either side of the first estimate in the wider search, where the penalty is halved."""
    measured: float = 0.7
    """Weight, in the logarithm, of the diameter measured on the cells; the diameter of longest flow has the rest."""
    smallest: float = 5.0
    """Smallest estimate in image pixels."""
    largest: float = 500.0
    """Largest estimate in image pixels."""


SEARCH = DiameterSearch()
Place = tuple[float, float]
"""A position as fractions (y, x) of the image's height and width."""
Window = tuple[int, int, int, int]
"""Top, left, bottom and right in px of a view; the last two are excluded."""


def estimate_diameter(
    image: Image, network: Network, channels: ChannelMap, ranges: IntensityRanges, threads: int = 0
) -> DiameterEstimate:
    """Return the estimated cell diameter in image pixels, from `DiameterSearch.smallest` to `DiameterSearch.largest`.

    1. The network's size regression (style vector to log diameter, Stringer et al. 2021) gives a first estimate from
       windows of the image at its own resolution. It is biased towards the mean diameter of the training images.
    2. In each of two windows, larger and smaller diameters are tried, in steps of `DiameterSearch.step`, as long as
       the result improves. The network's flows are longest if the rescaled cells have the size of its training cells.
       A parabola through the best diameter and its two neighbours gives the diameter of longest flow.
    3. The window is labelled at the best diameter. Its estimate is a weighted geometric mean of the median diameter
       of these cells and the diameter of longest flow. The estimates of the windows count by their density of cells.

    The labels in step 3 use the default thresholds, so the thresholds of the user do not change the maps. ``threads``
    as in `flowmask.options.Runtime`. A network without a size regression gives the contract's training diameter. If
    no window has a style, as in an empty image, the result is the contract's mean diameter.

    >>> from types import SimpleNamespace
    >>> network = SimpleNamespace(contract=SimpleNamespace(sized=False, train_diameter=34.0))
    >>> estimate_diameter(None, network, (), None).diameter  # a network without a size regression looks at no pixel
    34.0
    """
    contract = network.contract
    if not contract.sized:
        return DiameterEstimate(contract.train_diameter)
    view = NormalisedView(image, channels, ranges, 1.0)
    places = _places(view)
    sizes = _sizes(network, view, places)
    known = np.array([size for size in sizes if math.isfinite(size)])
    if not known.size:
        return DiameterEstimate(contract.mean_diameter)
    first = float(np.clip(math.exp(np.median(np.log(known))), SEARCH.smallest, SEARCH.largest))

    @cache
    def maps(scale: float, window: Window) -> Array:
        seen: Array = network.maps(NormalisedView(image, channels, ranges, scale).read(*window)[None])[0]
        return seen

    @cache
    def labels(scale: float, window: Window) -> Labels:
        return _labels(maps(scale, window), threads)

    def search(place: Place) -> _Found:
        """Search the diameter of the cells in the window around a place; in a small image, places share a window."""

        @cache
        def at(step: int) -> tuple[float, Window]:
            scale = contract.mean_diameter / _diameter(first, step)
            return scale, _window(NormalisedView(image, channels, ranges, scale), place, contract.grain)

        return _search(lambda step: maps(*at(step)), lambda step: labels(*at(step)), first, contract.mean_diameter)

    return _together([search(place) for place in _different(places, sizes)], first)


@dataclass(frozen=True)
class _Found:
    """What the search found in one window."""

    diameter: float
    """Estimate in image pixels."""
    density: float
    """Number of cells for each image pixel, at the best of the diameters that were tried."""
    measured: float
    """Their median diameter in image pixels; 0 if there are none."""
    flow_length: float
    """At the best diameter."""
    at_end: bool
    """Whether the best diameter is the last one of the wider search."""


def _diameter(first: float, step: float) -> float:
    """Return the diameter in px that is so many steps from the first estimate."""
    return float(first * SEARCH.step**step)


def _search(
    maps: Callable[[int], Array], labels: Callable[[int], Labels], first: float, mean_diameter: float
) -> _Found:
    """Search the diameter in px at which the flows in a window are longest, and measure the cells found there.

    maps, labels: number of steps from the first estimate ``first`` -> maps (3, Y, X), and labels (Y, X), of the window
    at that diameter.
    """
    diameter = partial(_diameter, first)

    def quality(step: int, pull: float = SEARCH.pull) -> float:
        if not SEARCH.smallest <= diameter(step) <= SEARCH.largest:
            return -math.inf
        return _flow_length(maps(step)) - pull * (step * math.log(SEARCH.step)) ** 2

    best = 0
    while (better := max(best, best - 1, best + 1, key=quality)) != best:
        best = better
    if _flow_length(maps(best)) < SEARCH.unclear:
        best = max(range(-SEARCH.far, SEARCH.far + 1), key=partial(quality, pull=SEARCH.pull / 2))
    estimate = diameter(best + _vertex(*map(quality, (best - 1, best, best + 1))))
    cells = labels(best)
    pixel = diameter(best) / mean_diameter  # side of a network pixel in image pixels
    measured = pixel * median_diameter(cells)
    if measured:
        estimate *= (measured / estimate) ** SEARCH.measured
    density = int(cells.max()) / (cells.size * pixel**2)
    return _Found(estimate, density, measured, _flow_length(maps(best)), abs(best) == SEARCH.far)


def _together(found: list[_Found], first: float) -> DiameterEstimate:
    """Return the estimate from all windows: the geometric mean, in which each window counts by its density of cells.

    So where cells are of two sizes, the size that most cells have decides. Without cells all windows count alike.
    """
    seen = [one for one in found if one.density]
    counted = seen or found
    weights = np.array([one.density or 1 for one in counted])

    def mean(values: list[float]) -> float:
        return values[0] * float(np.exp(np.average(np.log(np.array(values) / values[0]), weights=weights)))

    final = float(np.clip(mean([one.diameter for one in counted]), SEARCH.smallest, SEARCH.largest))
    measured = mean([one.measured for one in seen]) if seen else None
    flow_length = float(np.average([one.flow_length for one in counted], weights=weights))
    at_end = any(one.at_end for one in counted) or final in (SEARCH.smallest, SEARCH.largest)
    return DiameterEstimate(final, first, measured, flow_length, at_end)


def _different(places: list[Place], sizes: list[float]) -> list[Place]:
    """Return the places to search: those of the smallest and largest size, if these differ, otherwise the first ones.

    sizes: for each place the diameter in px by the size regression; NaN if it saw no cells.

    >>> _different([(0, 0), (0, 1), (1, 0)], [30.0, 33.0, 70.0]), _different([(0, 0), (0, 1), (1, 0)], [30, 33, 31])
    ([(0, 0), (1, 0)], [(0, 0), (0, 1)])
    """
    known = [index for index, size in enumerate(sizes) if math.isfinite(size)]
    smallest, largest = min(known, key=sizes.__getitem__), max(known, key=sizes.__getitem__)
    if sizes[largest] > SEARCH.two_sizes * sizes[smallest]:
        return [places[index] for index in sorted((smallest, largest))]
    return places[: SEARCH.search_windows]


def _vertex(before: float, here: float, after: float) -> float:
    """Return the position, from -1 to 1, of the maximum of the parabola through the values at -1, 0 and 1.

    0 if the parabola has no maximum.

    >>> _vertex(0.0, 3.0, 2.0), _vertex(3.0, 0.0, 2.0)
    (0.25, 0.0)
    """
    curvature = before - 2 * here + after
    has_maximum = math.isfinite(curvature) and curvature < 0
    return float(np.clip(0.5 * (before - after) / curvature, -1, 1)) if has_maximum else 0.0


def _sizes(network: Network, view: NormalisedView, places: list[Place]) -> list[float]:
    """Return the diameter in px by the size regression in the window around each place; NaN where it sees no cells."""
    windows = [_window(view, place, network.contract.grain) for place in places]
    sizes = {window: float(network.diameters(view.read(*window)[None])[0]) for window in dict.fromkeys(windows)}
    return [sizes[window] for window in windows]


def _flow_length(maps: Array) -> float:
    """Return the mean flow length over the cell pixels of maps (3, Y, X); 1 is ideal, and 0 means no cell pixels."""
    inside = maps[:2, maps[2] > 0]
    return float(np.hypot(*inside).mean()) / FLOW_SCALE if inside.size else 0.0


def _labels(maps: Array, threads: int) -> Labels:
    """Return the labels (Y, X) int32 of maps (3, Y, X), at network resolution."""
    from .strip import label_rows  # imported here: without compiled kernels this takes longer than opening the network

    shape = maps.shape[1], maps.shape[2]
    return np.concatenate(list(label_rows([maps], shape, shape, Segmentation(), threads)))


def _places(view: NormalisedView) -> list[Place]:
    """Return the centres of the probes with the highest contrast, more than half a window apart along an axis.

    The result has at most `DiameterSearch.style_windows` places. The contrast is the standard deviation of a probe.
    """
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
    """Return the starts and the size of the probes along one axis, spread evenly over its ``length`` px."""
    if length <= SEARCH.probe:
        return [0], length
    count = min(SEARCH.probes, math.ceil(length / SEARCH.probe))
    return [round(i * (length - SEARCH.probe) / (count - 1)) for i in range(count)], SEARCH.probe


def _window(view: NormalisedView, place: Place, grain: int) -> Window:
    """Return the window around a place, shifted into the view: its first row and column, and those after its last."""
    (top, height), (left, width) = (_span(n, at, grain) for n, at in zip(view.shape, place, strict=True))
    return top, left, top + height, left + width


def _span(length: int, at: float, grain: int) -> tuple[int, int]:
    """Return start and size of the window along one axis of ``length`` px, around the position ``at`` * ``length``."""
    if length <= SEARCH.window:
        size = grain * math.ceil(length / grain)
        return (length - size) // 2, size
    return min(max(0, round(at * length) - SEARCH.window // 2), length - SEARCH.window), SEARCH.window
