"""The story of one image, top to bottom: pixels, channels, diameter, tiles, flows, cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .budget import needed_memory, planned_batch
from .errors import RunError
from .families.flow.diameter import estimate_diameter
from .images.image import Image
from .labels.labels import Labels
from .map_cache import MapsFile
from .network.halving import Halving
from .network.session import Network
from .network.tta import Mirrored
from .options import Settings, parse_memory
from .system.memory import available_memory
from .system.prefetch import ahead
from .tiles.blend import Array, finished_rows
from .tiles.grid import Lattice, lattice
from .tiles.normalise import channel_plan, levels
from .tiles.rescale import NormalisedView, network_length

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

    A strip of the image is held at a time. Reading, network and dynamics are a thread each, with little waiting
    between them. Ids are 1, 2, ... in the order of their first pixel. The diameter and the maps that ``kept`` holds
    are taken from there, and those that it lacks are added to it. Raises SettingsError where the settings do not fit
    image or network, before anything is read if the diameter is known, RunError where the network fails, OutputError
    where ``kept`` does.
    """
    contract = network.contract
    plan = channel_plan(contract.channels, image.shape[0], settings.channels)
    known = (kept and kept.diameter) or settings.diameter
    if known:
        tiles, batch = _tiles_and_batch(image, network, known, settings)
    level = levels(image, plan, contract.percentiles)
    diameter = known or estimate_diameter(image, network, plan, level, settings.threads)
    if not known:
        tiles, batch = _tiles_and_batch(image, network, diameter, settings)
    if kept and kept.diameter is None:
        kept.begin(diameter)
    view = NormalisedView(image, plan, level, contract.mean_diameter / diameter)
    halving = Halving(network)
    asked = Mirrored(halving) if settings.augment else halving
    maps = ahead(network_maps(view, asked, tiles, batch, progress, kept))
    return diameter, ahead(_labels(maps, view.shape, image.shape[1:], settings))


def _tiles_and_batch(
    image: Image, network: Network, diameter: float, settings: Settings
) -> tuple[tuple[Lattice, Lattice], int]:
    """Return the tiles along both axes and how many go through the network at once, as memory allows."""
    contract = network.contract
    scale = contract.mean_diameter / diameter
    size = network_length(image.shape[1], scale), network_length(image.shape[2], scale)
    rows, columns = (lattice(length, contract.tile) for length in size)
    budget = parse_memory(settings.memory) if settings.memory else available_memory()
    needed = needed_memory(image.shape[1:], size, rows.tile)
    batch = planned_batch(budget, needed, (rows.tile, columns.tile), settings.batch, network.gpu_memory)
    return (rows, columns), batch


def network_maps(
    view: NormalisedView,
    network: Network,
    tiles: tuple[Lattice, Lattice],
    batch: int,
    progress: Progress | None = None,
    kept: MapsFile | None = None,
) -> Iterator[Array]:
    """Yield the blended maps (3, n, X) float32 of the view at network resolution from the top down."""
    done = 0
    for part in kept.parts(view.shape[1]) if kept else ():
        yield part
        done += part.shape[1]
    for top, part in finished_rows(view, network.maps, *tiles, network.contract.tile, batch, done):
        if not np.isfinite(part).all():
            raise RunError("the network gave values that are not finite; export it again, in single precision.")
        if kept:
            kept.append(part)
        yield part
        if progress:
            progress((top + part.shape[1]) / view.shape[0])


def _labels(
    maps: Iterator[Array], network_shape: tuple[int, int], shape: tuple[int, int], settings: Settings
) -> Iterator[Labels]:
    """Yield the labels of the maps."""
    from .families.flow.strip import (
        label_rows,  # where nothing is compiled ahead, that takes longer than opening the network
    )

    yield from label_rows(maps, network_shape, shape, settings)
