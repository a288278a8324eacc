"""The cells' diameter: said by the style of a few windows, then sought where the network sees the cells best."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from infer.contract import GRAIN
from infer.image import Image
from infer.normalise import Array, Levels, Plan
from infer.rescale import NormalisedView
from infer.session import Network

WINDOW = 320
"""Largest side of a window in network pixels."""
STYLES = 4
"""Windows of which the style is read."""
SPREAD = 4
"""Windows along each side of the image from which the ones with the most contrast are taken."""
LOOKS = 2
"""Windows that the network looks at for every diameter that is tried."""
STEP = 1.5
"""Factor between the diameters that are tried."""
PULL = 0.2
"""What a diameter loses, in mean flow length, by the square of its log distance from what the style says."""
SMALLEST, LARGEST = 5.0, 500.0
"""Diameters in image pixels between which the estimate is kept."""


def estimate_diameter(image: Image, network: Network, plan: Plan, level: Levels) -> float:
    """Return the diameter in image pixels of the cells that the image shows.

    The network's size regression (style vector to log diameter, Stringer et al. 2021) reads windows at the image's
    own scale. It leans towards the mean diameter, so other diameters are tried from there, `STEP` by `STEP` while
    it gets better: where cells have the size that the network knows, its flows are the longest. The answer is the
    top of the parabola through the best diameter and its neighbours.

    Without a regression: the contract's training diameter; where no window has a style, as on an empty image: the
    mean diameter.
    """
    contract = network.contract
    if not contract.sized:
        return contract.train_diameter
    said = _style_diameter(image, network, plan, level)
    if said is None:
        return contract.mean_diameter

    @cache
    def clearness(step: int) -> float:
        diameter = said * STEP**step
        if not SMALLEST <= diameter <= LARGEST:
            return -math.inf
        view = NormalisedView(image, plan, level, contract.mean_diameter / diameter)
        looks = [network.maps(window[None])[0] for window in _windows(view, LOOKS)]
        return _flow_length(looks) - PULL * (step * math.log(STEP)) ** 2

    best = 0
    while (better := max(best, best - 1, best + 1, key=clearness)) != best:
        best = better
    return float(np.clip(said * STEP ** (best + _top(*map(clearness, (best - 1, best, best + 1)))), SMALLEST, LARGEST))


def _top(before: float, here: float, after: float) -> float:
    """Return where the parabola through the values at -1, 0 and 1 is highest, ``here`` being the largest of them."""
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if math.isfinite(bend) and bend < 0 else 0.0


def _style_diameter(image: Image, network: Network, plan: Plan, level: Levels) -> float | None:
    """Return what the styles at the image's own scale say, in px; None where there is none."""
    view = NormalisedView(image, plan, level, 1.0)
    seen = np.array([network.diameters(window[None])[0] for window in _windows(view, STYLES)])
    seen = seen[np.isfinite(seen)]
    return float(np.clip(math.exp(np.median(np.log(seen))), SMALLEST, LARGEST)) if seen.size else None


def _flow_length(looks: list[Array]) -> float:
    """Return the mean length of the flow over the cell pixels of maps (3, Y, X), 1 being perfect; 0 without cells."""
    inside = np.concatenate([maps[:2, maps[2] > 0] for maps in looks], axis=1)
    return float(np.hypot(*inside).mean()) / 5 if inside.size else 0.0


def _windows(view: NormalisedView, count: int) -> list[Array]:
    """Return the ``count`` windows with the most contrast of at most `SPREAD` x `SPREAD` spread over the view."""
    (tops, height), (lefts, width) = (_axis(length) for length in view.shape)
    windows = [view.read(top, left, top + height, left + width) for top in tops for left in lefts]
    return sorted(windows, key=lambda window: -float(window.std()))[:count]


def _axis(length: int) -> tuple[list[int], int]:
    """Return the starts and the size of the windows along one axis: spread over it, at most `SPREAD`."""
    if length <= WINDOW:
        size = GRAIN * math.ceil(length / GRAIN)
        return [(length - size) // 2], size
    count = min(SPREAD, math.ceil(length / WINDOW))
    return [round(i * (length - WINDOW) / (count - 1)) for i in range(count)], WINDOW
