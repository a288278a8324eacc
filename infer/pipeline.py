"""Segment one image, in three steps: plan it, run its tiles through the network, turn the maps into labels."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .budget import needed_memory, planned_batch
from .errors import RunError, SettingsError
from .families import check_options, check_single, family_of
from .images.image import Image
from .labels.cell_table import CellTable, CellTableBuilder
from .labels.labels import Labels
from .labels.verdict import Verdict, judge
from .network.contract import Contract
from .network.halving import Halving
from .network.session import Network
from .network.tta import Mirrored
from .options import Runtime, Segmentation, named, parse_memory
from .system.memory import available_memory
from .system.prefetch import prefetch
from .tiles.blend import Array, finished_rows
from .tiles.counts import Count, count_values
from .tiles.grid import TileGrid, tile_grid
from .tiles.inputs import chosen_channels, find_inputs
from .tiles.plan import ImagePlan
from .tiles.rescale import network_length
from .tiles.survey import without_fill
from .tiles.view import equalisation_bytes, find_equalisations, network_view

MAX_ENLARGEMENT = 10
"""Largest number of network pixels per image pixel along each axis."""
Progress = Callable[[float], object]
"""Called from time to time, also in another thread, with the finished fraction of the image, from 0 to 1.

An exception that it raises ends the work and is raised to the caller."""


@dataclass(frozen=True)
class Result:
    """The segmentation of one image."""

    labels: Labels
    """(Y, X) int32: 0 for background, ids 1, 2, ... in the order of first pixels."""
    cells: CellTable
    """The place, size and quality of each cell; its len() is the number of cells."""
    diameter: float
    """Cell diameter in px of the image, given or estimated; it determines the scale of the network image."""
    verdict: Verdict
    """Whether the labels are probably right: good, check or poor, with the reasons."""
    notes: tuple[str, ...] = ()
    """What was decided for this image, such as the channels that were used, one sentence each."""
    warnings: tuple[str, ...] = ()
    """Why the labels may not be what was wanted, one sentence each."""


def segment_image(
    image: Image,
    network: Network,
    options: Segmentation = Segmentation(),  # noqa: B008 (frozen)
    runtime: Runtime = Runtime(),  # noqa: B008
    progress: Progress | None = None,
) -> Result:
    """Return the labels of one image. Raises the errors of `plan_image` and `run_tiles`.

    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> y, x = np.mgrid[:64, :64]
    >>> disk = as_image(200.0 * ((y - 32) ** 2 + (x - 32) ** 2 < 14**2))
    >>> len(segment_image(disk, load_network(), Segmentation(diameter=28)).cells)
    1
    """
    if progress:
        progress(0.0)
    plan = plan_image(image, network, options, runtime)
    labels = np.empty(plan.shape, np.int32)
    top, cells = 0, CellTableBuilder()
    for rows in label_rows(image, network, plan, cells, progress):
        labels[top : top + len(rows)] = rows
        top += len(rows)
    table = cells.table()
    notes, warnings = plan.messages(len(table))
    return Result(labels, table, plan.diameter, judge(table, plan), (*image.info.notes, *notes), warnings)


def label_rows(
    image: Image,
    network: Network,
    plan: ImagePlan,
    cells: CellTableBuilder,
    progress: Progress | None = None,
) -> Iterator[Labels]:
    """Yield the labels (n, X) int32 of an image from the top down, as soon as they are final.

    Ids are 1, 2, ... in the order of first pixels. Memory holds only a strip of the image. Reading, the network and
    labelling run in separate threads at the same time. cells: an empty table, which is complete after the last rows.
    Raises the errors of `run_tiles`.

    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> y, x = np.mgrid[:64, :64]
    >>> disk = as_image(200.0 * ((y - 32) ** 2 + (x - 32) ** 2 < 14**2))
    >>> network = load_network(device="cpu")
    >>> plan = plan_image(disk, network, Segmentation(diameter=28), Runtime())
    >>> int(np.concatenate(list(label_rows(disk, network, plan, CellTableBuilder()))).max())
    1
    """
    return label_maps(_maps(image, network, plan, progress), plan, cells)


def label_maps(maps: Iterator[Array], plan: ImagePlan, cells: CellTableBuilder) -> Iterator[Labels]:
    """Yield the labels (n, X) int32 of an image as `label_rows`, from its maps (channels, n, X) from the top down.

    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> blank, network = as_image(np.zeros((64, 64))), load_network(device="cpu")
    >>> plan = plan_image(blank, network, Segmentation(diameter=28), Runtime())
    >>> maps = iter([np.full((3, *plan.network_shape), -1, np.float32)])
    >>> int(np.concatenate(list(label_maps(maps, plan, CellTableBuilder()))).max())
    0
    """
    return prefetch(family_of(plan.contract).label_rows(prefetch(maps), plan, cells))


def plan_image(
    image: Image,
    network: Network,
    options: Segmentation,
    runtime: Runtime,
    diameter: float | None = None,
    count: Count = count_values,
) -> ImagePlan:
    """Return the plan of an image: everything that is fixed before its tiles go through the network.

    diameter: cell diameter in px of the image, known from an interrupted run; otherwise the diameter of ``options`` is
    used, or estimated if it is None. count: makes the histograms of an image of 8 or 16 bits. Raises SettingsError if
    the options do not fit the image, the network or the memory; if the diameter is known, before any pixel is read.

    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> plan = plan_image(as_image(np.eye(60)), load_network(), Segmentation(diameter=60), Runtime())
    >>> plan.scale, plan.network_shape, plan.ranges[0]  # the network is trained for cells of 30 px
    (0.5, (30, 30), array([0., 1.]))
    """
    contract = network.contract
    check_options(contract, options)
    check_single(contract, options, "this call gives one (segment_many writes all of them)")
    chosen_channels(image, contract, options)
    usual = contract.mean_diameter * contract.pixel_size if contract.pixel_size else None
    diameter, estimate = diameter or options.diameter_in_pixels(image.info.pixel_size_um, usual), None
    if diameter is not None:  # too large or too small a diameter is refused before a pixel is read
        _check_enlargement(contract, diameter)
        grids = tile_grids(image, network, diameter)
        batch = _batch(image, network, grids, runtime)
        inputs = find_inputs(image, contract, options, count)
    else:
        inputs = find_inputs(image, contract, options, count)
        seen = without_fill(image, inputs.fills)
        estimate = family_of(contract).estimate_diameter(seen, network, inputs.channels, inputs.ranges, runtime.threads)
        diameter = estimate.diameter
        grids = tile_grids(image, network, diameter)
        batch = _batch(image, network, grids, runtime)
    plan = ImagePlan(
        contract, options, (image.shape[1], image.shape[2]), diameter, inputs.channels, inputs.ranges, *grids, batch,
        runtime.threads, fills=inputs.fills, estimate=estimate, notes=inputs.notes,
        warnings=(*inputs.warnings, *_scale_warnings(image, contract, options)), unused=inputs.unused,
        few_levels=inputs.few_levels,
    )  # fmt: skip
    seen = without_fill(image, plan.fills)
    equalisations = find_equalisations(seen, plan.channels, plan.ranges, plan.scale, contract.clahe)
    return replace(plan, equalisations=equalisations)


def _check_enlargement(contract: Contract, diameter: float) -> None:
    """Raise SettingsError if the cells are so small that the network image would be far larger than the image."""
    scale = contract.mean_diameter / diameter
    if scale > MAX_ENLARGEMENT:
        raise SettingsError(
            f"cells with a diameter of {diameter:g} px are too small for this network: the image would be enlarged "
            f"{scale:g} times along each axis; give a {named('diameter')} of at least "
            f"{contract.mean_diameter / MAX_ENLARGEMENT:g} px, or leave it out."
        )


def _scale_warnings(image: Image, contract: Contract, options: Segmentation) -> tuple[str, ...]:
    """Return a warning about pixels that are no squares, or about a network for one pixel size if it is not known."""
    sides = None if options.pixel_size else image.info.pixel_sides_um
    if sides:
        return (
            f"The pixels are no squares ({sides[1]:g} um wide, {sides[0]:g} um high); lengths and areas in micrometres "
            f"are those of squares of the same area ({image.info.pixel_size_um:.4g} um).",
        )
    known = options.diameter or options.pixel_size or image.info.pixel_size_um
    if contract.pixel_size is None or known:
        return ()
    return (
        f"The network is made for {contract.pixel_size:g} micrometres per px and the image has no pixel size; give it "
        f"as {named('pixel_size')}.",
    )


def tile_grids(image: Image, network: Network, diameter: float) -> tuple[TileGrid, TileGrid]:
    """Return the tiles along both axes (Y, X) for an image with this cell diameter in px.

    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> rows, columns = tile_grids(as_image(np.zeros((60, 200))), load_network(), diameter=15)
    >>> rows.length, columns.length  # the network is trained for cells of 30 px
    (120, 400)
    """
    contract = network.contract
    rows, columns = (
        tile_grid(
            network_length(length, contract.mean_diameter / diameter), contract.tile, contract.grain, contract.record
        )
        for length in image.shape[1:]
    )
    return rows, columns


def fitted(plan: ImagePlan, image: Image, network: Network, runtime: Runtime) -> ImagePlan:
    """Return the plan of another process with the batch and the threads of this one; the labels are the same.

    Raises SettingsError if there is not enough memory here.

    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> image, network = as_image(np.eye(60)), load_network()
    >>> plan = plan_image(image, network, Segmentation(diameter=60), Runtime(threads=4))
    >>> fitted(plan, image, network, Runtime(threads=1)).threads
    1
    """
    batch = _batch(image, network, (plan.rows, plan.columns), runtime)
    return replace(plan, batch=batch, threads=runtime.threads)


def _batch(image: Image, network: Network, grids: tuple[TileGrid, TileGrid], runtime: Runtime) -> int:
    """Return the number of tiles per run of the network. Raises SettingsError if there is not enough memory."""
    contract, (rows, columns) = network.contract, grids
    shape, network_shape = (image.shape[1], image.shape[2]), (rows.length, columns.length)
    family_bytes = family_of(contract).row_bytes(shape, network_shape)
    needed = needed_memory(shape, network_shape, rows.tile, contract.map_channels, family_bytes)
    needed += equalisation_bytes(network_shape, contract.inputs, contract.clahe)
    budget = parse_memory(runtime.memory) if runtime.memory else available_memory()
    tile = rows.tile, columns.tile
    return planned_batch(budget, needed, tile, contract.map_channels, runtime.batch, network.gpu_memory, network.count)


def run_tiles(image: Image, network: Network, plan: ImagePlan, rows: tuple[int, int] | None = None) -> Generator[Array]:
    """Yield the blended maps (channels, n, X) float32 of the network image from the top down.

    rows: first and last row of the network image, the last excluded; None means all rows. A row has the same values in
    every range, bit for bit on the CPU. Raises RunError if the network fails or its output has NaN or infinite values.

    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> y, x = np.mgrid[:64, :64]
    >>> disk = as_image(200.0 * ((y - 32) ** 2 + (x - 32) ** 2 < 14**2))
    >>> network = load_network(device="cpu")
    >>> plan = plan_image(disk, network, Segmentation(diameter=28), Runtime())
    >>> np.concatenate(list(run_tiles(disk, network, plan, (10, 30))), axis=1).shape[:2]  # dy, dx and logit of 20 rows
    (3, 20)
    """
    first, last = rows or (0, plan.rows.length)
    seen = without_fill(image, plan.fills)
    view = network_view(seen, plan.channels, plan.ranges, plan.scale, plan.equalisations)
    halving = Halving(network)
    run = (Mirrored(halving) if plan.options.augment else halving).maps
    contract = plan.contract
    parts = finished_rows(
        view, run, contract.map_channels, plan.rows, plan.columns, contract.tile, plan.batch, first, last,
        contract.record,
    )  # fmt: skip
    for _, part in parts:
        if not np.isfinite(part).all():
            raise RunError(
                "the network's output has NaN or infinite values; export the network again in single precision (fp32)."
            )
        yield part


def _maps(image: Image, network: Network, plan: ImagePlan, progress: Progress | None) -> Iterator[Array]:
    """Yield all maps of the image."""
    done = 0  # network rows
    for part in run_tiles(image, network, plan):
        yield part
        done += part.shape[1]
        if progress:
            progress(done / plan.rows.length)
