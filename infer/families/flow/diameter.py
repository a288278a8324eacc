"""The cells' diameter: said by the style, sought where the network sees the cells best, measured on what it finds."""

from __future__ import annotations

import math
from functools import cache, partial

import numpy as np

from ...images.image import Image
from ...labels.labels import Labels, median_diameter
from ...network.contract import GRAIN
from ...network.session import Network
from ...options import Settings
from ...tiles.normalise import Array, Levels, Plan
from ...tiles.rescale import NormalisedView

WINDOW = 320
"""Largest side of a window in network pixels."""
PROBES = 12
PROBE = 128
"""Where to look is decided by the contrast of up to `PROBES` x `PROBES` probes of this side in image pixels."""
STYLES = 4
"""Places of which the style is read."""
LOOKS = 2
"""Places that the network looks at for every diameter that is tried."""
STEP = 1.5
"""Factor between the diameters that are tried."""
PULL = 0.2
"""What a diameter loses, in mean flow length, by the square of its log distance from what the style says."""
UNCLEAR = 0.5
"""Mean flow length below which the best diameter nearby is none."""
FAR = 3
"""Steps to either side that are all tried then, with half the `PULL`, for the style may have been misled."""
MEASURED = 0.7
"""Share, in the logarithm, of the diameter that is measured in the one that is sought by flow length."""
Place = tuple[float, float]
"""A position as fractions (y, x) of the image's height and width."""
SMALLEST, LARGEST = 5.0, 500.0
"""Diameters in image pixels between which the estimate is kept."""


def estimate_diameter(image: Image, network: Network, plan: Plan, level: Levels, threads: int = 0) -> float:
    """Return the diameter in image pixels of the cells that the image shows.

    The network's size regression (style vector to log diameter, Stringer et al. 2021) reads windows at the image's
    own scale. It leans towards the mean diameter, so other diameters are tried from there, `STEP` by `STEP` while
    it gets better: where cells have the size that the network knows, its flows are the longest. Where they stay short
    of `UNCLEAR`, all within `FAR` steps are tried. The answer lies between the top of the parabola through the best
    diameter and its neighbours and the median diameter of the cells that are found at the best one, by default
    thresholds whatever the caller's, so that the network's maps stay the same. ``threads`` as in `Settings`.

    Without a regression: the contract's training diameter; where no window has a style, as on an empty image: the
    mean diameter.
    """
    contract = network.contract
    if not contract.sized:
        return contract.train_diameter
    view = NormalisedView(image, plan, level, 1.0)
    places = _places(view)
    said = _style_diameter(network, _windows(view, places))
    if said is None:
        return contract.mean_diameter

    @cache
    def looks(step: int) -> list[Array]:
        view = NormalisedView(image, plan, level, contract.mean_diameter / (said * STEP**step))
        return [network.maps(window[None])[0] for window in _windows(view, places[:LOOKS])]

    def clearness(step: int, pull: float = PULL) -> float:
        if not SMALLEST <= said * STEP**step <= LARGEST:
            return -math.inf
        return _flow_length(looks(step)) - pull * (step * math.log(STEP)) ** 2

    best = 0
    while (better := max(best, best - 1, best + 1, key=clearness)) != best:
        best = better
    if _flow_length(looks(best)) < UNCLEAR:
        best = max(range(-FAR, FAR + 1), key=partial(clearness, pull=PULL / 2))
    sought = said * STEP ** (best + _top(*map(clearness, (best - 1, best, best + 1))))
    if shown := median_diameter(*(_labels(maps, Settings(threads=threads)) for maps in looks(best))):
        measured = said * STEP**best * shown / contract.mean_diameter
        sought *= (measured / sought) ** MEASURED
    return float(np.clip(sought, SMALLEST, LARGEST))


def _top(before: float, here: float, after: float) -> float:
    """Return where in -1 to 1 the parabola through the values at -1, 0 and 1 is highest; 0 where it has no top."""
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -1, 1)) if math.isfinite(bend) and bend < 0 else 0.0


def _style_diameter(network: Network, windows: list[Array]) -> float | None:
    """Return what the styles of windows at the image's own scale say, in px; None where there is none."""
    seen = np.array([network.diameters(window[None])[0] for window in windows])
    seen = seen[np.isfinite(seen)]
    return float(np.clip(math.exp(np.median(np.log(seen))), SMALLEST, LARGEST)) if seen.size else None


def _flow_length(looks: list[Array]) -> float:
    """Return the mean length of the flow over the cell pixels of maps (3, Y, X), 1 being perfect; 0 without cells."""
    inside = np.concatenate([maps[:2, maps[2] > 0] for maps in looks], axis=1)
    return float(np.hypot(*inside).mean()) / 5 if inside.size else 0.0


def _labels(maps: Array, settings: Settings) -> Labels:
    """Return the labels (Y, X) of maps (3, Y, X) at the network's resolution."""
    from .strip import label_rows  # where nothing is compiled ahead, that takes longer than opening the network

    shape = maps.shape[1], maps.shape[2]
    return np.concatenate(list(label_rows([maps], shape, shape, settings)))


def _places(view: NormalisedView) -> list[Place]:
    """Return up to `STYLES` places of the image with the most contrast, apart from each other by a window's half."""
    (tops, height), (lefts, width) = (_probes(length) for length in view.shape)
    probes = [(top, left) for top in tops for left in lefts]
    contrast = [view.read(top, left, top + height, left + width).std() for top, left in probes]
    places: list[Place] = []
    for index in np.argsort(contrast)[::-1]:
        y, x = probes[index][0] + height / 2, probes[index][1] + width / 2
        place = y / view.shape[0], x / view.shape[1]
        if all(abs(y - v * view.shape[0]) > WINDOW / 2 or abs(x - u * view.shape[1]) > WINDOW / 2 for v, u in places):
            places.append(place)
    return places[:STYLES]


def _probes(length: int) -> tuple[list[int], int]:
    """Return the starts and the size of the probes along one axis, spread over it."""
    if length <= PROBE:
        return [0], length
    count = min(PROBES, math.ceil(length / PROBE))
    return [round(i * (length - PROBE) / (count - 1)) for i in range(count)], PROBE


def _windows(view: NormalisedView, places: list[Place]) -> list[Array]:
    """Return the windows (C, Y, X) around the places, moved to lie inside the view, each of them once."""
    spans = dict.fromkeys(
        tuple(_span(length, at) for length, at in zip(view.shape, place, strict=True)) for place in places
    )
    return [view.read(top, left, top + height, left + width) for (top, height), (left, width) in spans]


def _span(length: int, at: float) -> tuple[int, int]:
    """Return the start and the size of a window along one axis of ``length``, around the fraction ``at`` of it."""
    if length <= WINDOW:
        size = GRAIN * math.ceil(length / GRAIN)
        return (length - size) // 2, size
    return min(max(0, round(at * length) - WINDOW // 2), length - WINDOW), WINDOW
