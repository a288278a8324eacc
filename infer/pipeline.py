"""The story of one image, top to bottom: pixels, channels, diameter, tiles, flows, cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numba
import numpy as np

from infer.blend import Array, finished_rows
from infer.budget import needed_memory, parse_memory, planned_batch
from infer.diameter import estimate_diameter
from infer.flows import Labels
from infer.image import Image
from infer.memory import available_memory
from infer.normalise import channel_plan, levels
from infer.overlap import ahead
from infer.rescale import NormalisedView
from infer.resume import MapsFile
from infer.session import Network
from infer.settings import Settings
from infer.strip import label_rows
from infer.tiling import lattice

Progress = Callable[[float], None]
"""Told, now and then, the finished fraction of the image."""


@dataclass(frozen=True)
class Result:
    """The instances of one image."""

    labels: Labels
    """(Y, X) int32, 0 for background, ids 1..cells in the order of their first pixel."""
    cells: int
    diameter: float
    """The diameter in px that the image was rescaled by, given or estimated."""


def segment_image(image: Image, network: Network, settings: Settings, progress: Progress | None = None) -> Result:
    """Segment one image and hold its labels; for the errors see `segment_rows`."""
    diameter, parts = segment_rows(image, network, settings, progress)
    labels = np.empty(image.shape[1:], np.int32)
    top = 0
    for part in parts:
        labels[top : top + len(part)] = part
        top += len(part)
    return Result(labels, int(labels.max()), diameter)


def segment_rows(
    image: Image,
    network: Network,
    settings: Settings,
    progress: Progress | None = None,
    kept: MapsFile | None = None,
) -> tuple[float, Iterator[Labels]]:
    """Return the diameter in px that the image is rescaled by, and its labels (n, X) int32 from the top down.

    A strip of the image is held at a time. Ids are 1, 2, ... in the order of their first pixel. The diameter and the
    maps that ``kept`` holds are taken from there, and those that it lacks are added to it. Raises SettingsError where
    the settings do not fit image or network, RunError where the network fails, OutputError where ``kept`` does.
    """
    contract = network.contract
    plan = channel_plan(contract.channels, image.shape[0], settings.channels)
    level = levels(image, plan, contract.percentiles)
    diameter = (kept and kept.diameter) or settings.diameter or estimate_diameter(image, network, plan, level)
    if kept and kept.diameter is None:
        kept.begin(diameter)
    view = NormalisedView(image, plan, level, contract.mean_diameter / diameter)
    budget = parse_memory(settings.memory) if settings.memory else available_memory()
    needed = needed_memory(image.shape, view.shape, contract.inputs, contract.tile)
    batch = planned_batch(budget, needed, settings.batch)
    maps = ahead(network_maps(view, network, batch, progress, kept))
    return diameter, _threaded(label_rows(maps, view.shape, image.shape[1:], settings), settings.threads)


def network_maps(
    view: NormalisedView,
    network: Network,
    batch: int,
    progress: Progress | None = None,
    kept: MapsFile | None = None,
) -> Iterator[Array]:
    """Yield the blended maps (3, n, X) float32 of the view at network resolution from the top down."""
    tile = network.contract.tile
    rows, columns = (lattice(length, tile) for length in view.shape)
    done = 0
    for part in kept.parts(view.shape[1]) if kept else ():
        yield part
        done += part.shape[1]
    for top, part in finished_rows(view, network.maps, rows, columns, tile, batch, done):
        if kept:
            kept.append(part)
        yield part
        if progress:
            progress((top + part.shape[1]) / view.shape[0])


def _threaded(parts: Iterator[Labels], threads: int) -> Iterator[Labels]:
    with numba_threads(threads):
        yield from parts


@contextmanager
def numba_threads(count: int) -> Iterator[None]:
    """Let Numba use at most ``count`` threads, all of them for 0, and as many as before afterwards."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, before) if count else before)
    try:
        yield
    finally:
        numba.set_num_threads(before)
