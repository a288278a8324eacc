"""What processes share of an image: the one that segments it, which asks for help, and those that help."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from ..errors import OutputError
from ..images.image import Image
from ..labels.cell_table import CellTableBuilder
from ..labels.labels import Labels
from ..labels.provenance import Origin
from ..map_cache import MapCache
from ..network.session import Network
from ..options import Runtime
from ..pipeline import fitted, label_maps
from ..sharing.bands import Bands, read_rows
from ..sharing.counts import CountPieces, CountShare, compute_counts, count_shared
from ..sharing.labels import LabelPieces, can_share, label_shared
from ..sharing.pieces import discard_pieces
from ..sharing.share import Share, help_with
from ..tiles.channels import Sources
from ..tiles.counts import count_values
from ..tiles.percentiles import Counts
from .maps import SharedProgress, Sharing, map_rows


def count(
    least: int, folder: Path, origin: Origin, progress: SharedProgress, image: Image, inputs: Sequence[Sources]
) -> Counts:
    """Return the histograms of an image, as `flowmask.tiles.counts.Count`; a large one may be shared.

    least: network pixels from which on an image is shared (`Sharing.least`); here pixels of the image count. folder: of
    the pieces. origin: as in `flowmask.sharing.counts.CountShare`.
    """
    _, height, width = image.shape
    if not 0 < least <= height * width:
        return count_values(image, inputs)
    try:
        return count_shared(image, inputs, folder, origin, lambda share: bool(progress(0.0, share)))
    finally:
        discard_pieces(folder)


def label_rows(
    image: Image,
    network: Network,
    bands: Bands,
    least: int,
    origin: Origin,
    progress: SharedProgress,
    cache: MapCache | None,
    cells: CellTableBuilder,
) -> Iterator[Labels]:
    """Yield the labels (n, X) int32 of an image from the top down; a large one may be shared.

    bands: with the plan of the image. least: as in `Sharing`. origin: everything that decides the labels. cache: as in
    `flowmask.runs.maps.map_rows`. cells: the table to fill.
    """
    plan = bands.plan
    rows, columns = plan.network_shape
    if not 0 < least <= rows * columns or not can_share(plan):
        return label_maps(map_rows(image, network, plan, progress, cache, Sharing(bands, least)), plan, cells)
    latest = 0.0

    def seen(fraction: float, share: Share | CountShare | None) -> bool | None:
        nonlocal latest
        latest = fraction
        return progress(fraction, share)

    def stopped() -> bool:
        progress(latest, None)  # raises Cancelled when the run has ended
        return False

    pieces = LabelPieces(bands.folder, origin, plan)
    maps = map_rows(image, network, plan, seen, cache, Sharing(bands, least, pieces))
    return label_shared(maps, pieces, partial(read_rows, bands, image, network), cells, stopped)


def help_others(
    share: Share | CountShare, image: Image, network: Network, runtime: Runtime, alive: Callable[[], object]
) -> None:
    """Help the process that segments an image, until nothing is left to do or that process ended.

    alive: raises an error when the run has ended. Raises the errors of `flowmask.sharing.share.help_with`.
    """

    def stopped() -> bool:
        alive()
        return not share.folder.is_dir()

    try:
        if isinstance(share, CountShare):
            compute_counts(CountPieces(share, image, make=False), share.first, stopped)
        else:
            help_with(share, image, network, fitted(share.plan, image, network, runtime), stopped)
    except OutputError:
        if share.folder.is_dir():
            raise
