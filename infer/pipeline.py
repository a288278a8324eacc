"""The story of one image, top to bottom: plan it, run its tiles through the network, turn the maps into cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .budget import needed_memory, planned_batch
from .errors import RunError
from .families import check_options, family_of
from .images.image import Image
from .labels.labels import Labels
from .map_cache import MapCache
from .network.halving import Halving
from .network.session import Network
from .network.tta import Mirrored
from .options import Runtime, Segmentation, parse_memory
from .system.memory import available_memory
from .system.prefetch import prefetch
from .tiles.blend import Array, finished_rows
from .tiles.channels import channel_map
from .tiles.grid import TileGrid, tile_grid
from .tiles.normalise import intensity_ranges
from .tiles.plan import ImagePlan
from .tiles.rescale import NormalisedView, network_length

Progress = Callable[[float], None]
"""Called now and then with the finished fraction of the image."""


@dataclass(frozen=True)
class Result:
    """The instances of one image."""

    labels: Labels
    """(Y, X) int32, 0 for background, ids 1..cells in the order of their first pixel."""
    cells: int
    diameter: float
    """The diameter in px that the image was rescaled by, given or estimated."""


def segment_image(
    image: Image,
    network: Network,
    options: Segmentation = Segmentation(),  # noqa: B008 (frozen)
    runtime: Runtime = Runtime(),  # noqa: B008
    progress: Progress | None = None,
) -> Result:
    """Segment one image and hold its labels; for the errors see `plan_image` and `run_tiles`."""
    plan = plan_image(image, network, options, runtime)
    labels = np.empty(plan.shape, np.int32)
    top = 0
    for rows in label_rows(image, network, plan, progress):
        labels[top : top + len(rows)] = rows
        top += len(rows)
    return Result(labels, int(labels.max()), plan.diameter)


def label_rows(
    image: Image, network: Network, plan: ImagePlan, progress: Progress | None = None, cache: MapCache | None = None
) -> Iterator[Labels]:
    """Yield the labels of an image (n, X) int32 from the top down, as soon as nothing can change them any more.

    A strip of the image is held at a time. Reading, network and labelling have a thread each, so that none waits for
    another. Ids are 1, 2, ... in the order of their first pixel. Raises what `run_tiles` raises.
    """
    maps = prefetch(_maps(image, network, plan, progress, cache))
    return prefetch(family_of(plan.contract).label_rows(maps, plan))


def plan_image(
    image: Image, network: Network, options: Segmentation, runtime: Runtime, diameter: float | None = None
) -> ImagePlan:
    """Decide everything about an image before its tiles go through the network.

    ``diameter``: in px of the image, where an interrupted run knows it; otherwise it is the one of ``options``, or
    estimated. Raises SettingsError where the options do not fit the image, the network or the memory; before any pixel
    is read if the diameter is known.
    """
    contract = network.contract
    check_options(contract, options)
    channels = channel_map(contract.channels, image.shape[0], options.channels)
    diameter = diameter or options.diameter
    if diameter is not None:
        grids = tile_grids(image, network, diameter)
        batch = _batch(image, network, grids, runtime)
        ranges = intensity_ranges(image, channels, contract.percentiles)
    else:
        ranges = intensity_ranges(image, channels, contract.percentiles)
        estimate = family_of(contract).estimate_diameter
        diameter = estimate(image, network, channels, ranges, runtime.threads)
        grids = tile_grids(image, network, diameter)
        batch = _batch(image, network, grids, runtime)
    shape = image.shape[1], image.shape[2]
    return ImagePlan(contract, options, shape, diameter, channels, ranges, *grids, batch, runtime.threads)


def tile_grids(image: Image, network: Network, diameter: float) -> tuple[TileGrid, TileGrid]:
    """Return the tiles along both axes of an image whose cells have this diameter in px."""
    contract = network.contract
    rows, columns = (
        tile_grid(network_length(length, contract.mean_diameter / diameter), contract.tile, contract.grain)
        for length in image.shape[1:]
    )
    return rows, columns


def _batch(image: Image, network: Network, grids: tuple[TileGrid, TileGrid], runtime: Runtime) -> int:
    """Return how many tiles go through the network at once; raises SettingsError where memory is short."""
    contract, (rows, columns) = network.contract, grids
    shape, network_shape = (image.shape[1], image.shape[2]), (rows.length, columns.length)
    held = family_of(contract).row_bytes(shape, network_shape)
    needed = needed_memory(shape, network_shape, rows.tile, contract.map_channels, held)
    budget = parse_memory(runtime.memory) if runtime.memory else available_memory()
    tile = rows.tile, columns.tile
    return planned_batch(budget, needed, tile, contract.map_channels, runtime.batch, network.gpu_memory)


def run_tiles(image: Image, network: Network, plan: ImagePlan, rows: tuple[int, int] | None = None) -> Iterator[Array]:
    """Yield the blended maps (channels, n, X) float32 of rows of the network image, from the top down.

    ``rows``: first and last row, the last excluded; all if not given. Any range gives the same values, bit for bit on
    the CPU. Raises RunError where the network fails or its values are not finite.
    """
    first, last = rows or (0, plan.rows.length)
    view = NormalisedView(image, plan.channels, plan.ranges, plan.scale)
    halving = Halving(network)
    run = (Mirrored(halving) if plan.options.augment else halving).maps
    contract = plan.contract
    parts = finished_rows(
        view, run, contract.map_channels, plan.rows, plan.columns, contract.tile, plan.batch, first, last
    )
    for _, part in parts:
        if not np.isfinite(part).all():
            raise RunError("the network gave values that are not finite; export it again, in single precision.")
        yield part


def _maps(
    image: Image, network: Network, plan: ImagePlan, progress: Progress | None, cache: MapCache | None
) -> Iterator[Array]:
    """Yield all maps of the image: the rows that the cache holds, then new ones, which it gets."""
    done, height = 0, plan.rows.length
    if cache:
        if cache.diameter is None:
            cache.begin(plan.diameter)
        for part in cache.parts(plan.columns.length, plan.contract.map_channels):
            yield part
            done += part.shape[1]
    for part in run_tiles(image, network, plan, (done, height)):
        if cache:
            cache.append(part)
        yield part
        done += part.shape[1]
        if progress:
            progress(done / height)
