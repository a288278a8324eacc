"""The story of one image, top to bottom: pixels, channels, diameter, tiles, flows, cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numba
import numpy as np

from infer.blend import Array, finished_rows
from infer.diameter import estimate_diameter
from infer.errors import SettingsError
from infer.flows import Labels
from infer.image import Image
from infer.normalise import channel_plan, levels
from infer.rescale import NormalisedView
from infer.session import Network
from infer.settings import Settings
from infer.tiling import lattice

Progress = Callable[[float], None]
"""Told, now and then, the finished fraction of the image."""
MAX_PIXELS = 2**31 - 1
"""Network pixels that an int32 can number."""


@dataclass(frozen=True)
class Result:
    """The instances of one image."""

    labels: Labels
    """(Y, X) int32, 0 for background, ids 1..cells in the order of their first pixel."""
    cells: int
    diameter: float
    """The diameter in px that the image was rescaled by, given or estimated."""


def segment_image(image: Image, network: Network, settings: Settings, progress: Progress | None = None) -> Result:
    """Segment one image.

    Raises SettingsError where the settings do not fit image or network, RunError where the network fails.
    """
    contract = network.contract
    plan = channel_plan(contract.channels, image.shape[0], settings.channels)
    level = levels(image, plan, contract.percentiles)
    with numba_threads(settings.threads):
        diameter = settings.diameter or estimate_diameter(image, network, plan, level)
        view = NormalisedView(image, plan, level, contract.mean_diameter / diameter)
        if view.shape[0] * view.shape[1] > MAX_PIXELS:
            raise SettingsError(
                f"at a diameter of {diameter:g} px the network would see {view.shape[0]} x {view.shape[1]} pixels, "
                f"more than {MAX_PIXELS}; give a larger --diameter or a part of the image."
            )
        maps = network_maps(view, network, settings.batch, progress)
        labels, cells = instances(maps, image.shape[1:], settings)
    return Result(labels, cells, diameter)


@contextmanager
def numba_threads(count: int) -> Iterator[None]:
    """Let Numba use at most ``count`` threads, all of them for 0, and as many as before afterwards."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, before) if count else before)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def network_maps(view: NormalisedView, network: Network, batch: int, progress: Progress | None = None) -> Array:
    """Return the blended maps (3, Y, X) float32 of the whole view at network resolution."""
    tile = network.contract.tile
    rows, columns = (lattice(length, tile) for length in view.shape)
    maps = np.empty((3, *view.shape), np.float32)
    for top, part in finished_rows(view, network.maps, rows, columns, tile, batch):
        end = top + part.shape[1]
        maps[:, top:end] = part
        if progress:
            progress(end / view.shape[0])
    return maps
