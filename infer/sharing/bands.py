"""Share the maps of one image between processes: each computes bands of rows and writes them into one folder.

A band is the rows of the network image that one row of tiles completes (`flowmask.sharing.pieces`). At a new place the
row of tiles above has to be computed too. Who reads the maps computes bands itself, so that every band is computed even
if nobody helps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np

from ..errors import OutputError
from ..images.image import Image
from ..labels.provenance import Origin
from ..map_cache import payload_of, rows_of
from ..network.session import Network
from ..pipeline import run_tiles
from ..tiles.blend import Array
from ..tiles.plan import ImagePlan
from .pieces import POLL, TRIES, Pieces, Watch


class Bands(Pieces):
    """The folder with the bands of one image."""

    def __init__(self, folder: Path, origin: Origin, plan: ImagePlan, make: bool = True) -> None:
        """origin: everything that decides the maps (`flowmask.labels.provenance.maps_origin`). make: as in `Pieces`."""
        edges = (0, *(plan.rows.advance(index) for index in range(len(plan.rows.starts))))
        super().__init__(folder, {**origin, "px": plan.diameter}, edges, ".maps", make)
        self.plan = plan

    def parts(self, band: int) -> Iterator[Array]:
        """Yield the rows (channels, n, X) float32 of a band that is computed; fewer if it is lost or damaged."""
        width, channels = self.plan.columns.length, self.plan.contract.map_channels
        return (rows_of(payload, width, channels) for payload in self.read(band))


def compute(bands: Bands, image: Image, network: Network, first: int, stopped: Callable[[], bool]) -> None:
    """Compute free bands from ``first`` on until none is left, or ``stopped`` returns True.

    Raises the errors of `flowmask.pipeline.run_tiles` and OutputError.

    >>> from tempfile import TemporaryDirectory
    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> from flowmask.options import Runtime, Segmentation
    >>> from flowmask.pipeline import plan_image
    >>> image, network = as_image(np.eye(600, 64)), load_network(device="cpu")
    >>> plan = plan_image(image, network, Segmentation(diameter=30), Runtime())
    >>> with TemporaryDirectory() as folder:
    ...     bands = Bands(Path(folder, "bands"), {}, plan)
    ...     compute(bands, image, network, first=1, stopped=lambda: False)
    ...     bands.states(first=0)
    ['free', 'done', 'done']
    """
    bands.compute(first, partial(_compute_from, bands, image, network, stopped), stopped)


def _compute_from(bands: Bands, image: Image, network: Network, stopped: Callable[[], bool], start: int) -> None:
    with closing(_Rows(image, network, bands.plan)) as rows:
        for band in range(start, len(bands)):
            if not _compute_one(bands, band, rows, stopped):
                return


def _compute_one(bands: Bands, band: int, rows: _Rows, stopped: Callable[[], bool]) -> bool:
    """Compute a band; return False if it is taken, or ``stopped`` returns True."""
    with bands.claimed(band) as claim:
        if claim is None:
            return False
        top, end = bands.edges[band : band + 2]
        while top < end:
            if stopped():
                return False
            part = rows.next(top)
            claim.file.add(payload_of(part))
            top += part.shape[1]
        claim.complete = True
    return True


class _Rows:
    """The maps of an image from any row on; going on after the last rows costs nothing."""

    def __init__(self, image: Image, network: Network, plan: ImagePlan) -> None:
        self._image, self._network, self._plan = image, network, plan
        self._parts: Generator[Array] | None = None
        self._at = 0

    def next(self, row: int) -> Array:
        """Return maps (channels, n, X) float32 from this network row on."""
        if self._parts is None or self._at != row:
            self.close()
            self._parts = run_tiles(self._image, self._network, self._plan, (row, self._plan.rows.length))
        part = next(self._parts)
        self._at = row + part.shape[1]
        return part

    def close(self) -> None:
        """End the threads that read tiles and run the network."""
        if self._parts is not None:
            self._parts.close()


def read_rows(bands: Bands, image: Image, network: Network, row: int) -> Iterator[Array]:
    """Yield the maps (channels, n, X) float32 from a network row on, as soon as they are there.

    Bands that no other process computes are computed here, in a thread. Raises the errors of `compute`.

    >>> from tempfile import TemporaryDirectory
    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> from flowmask.options import Runtime, Segmentation
    >>> from flowmask.pipeline import plan_image
    >>> image, network = as_image(np.eye(600, 64)), load_network(device="cpu")
    >>> plan = plan_image(image, network, Segmentation(diameter=30), Runtime())
    >>> with TemporaryDirectory() as folder:
    ...     parts = list(read_rows(Bands(Path(folder, "bands"), {}, plan), image, network, row=100))
    >>> sum(part.shape[1] for part in parts)
    500
    """
    first, stop = bands.at(row), Event()
    with ThreadPoolExecutor(1) as pool:
        computing = pool.submit(_keep_computing, bands, image, network, first, stop)
        try:
            for band in range(first, len(bands)):
                yield from _read_band(bands, band, max(row, bands.edges[band]), computing)
        finally:
            stop.set()


def kept_rows(bands: Bands, row: int) -> Iterator[Array]:
    """Yield the maps (channels, n, X) float32 from a network row on; all bands from there on have been computed.

    Raises OutputError if a file is lost or damaged.

    >>> from tempfile import TemporaryDirectory
    >>> from types import SimpleNamespace
    >>> rows = SimpleNamespace(starts=(0,), advance=lambda index: 2)
    >>> contract, columns = SimpleNamespace(map_channels=1), SimpleNamespace(length=3)
    >>> plan = SimpleNamespace(rows=rows, columns=columns, contract=contract, diameter=30.0)
    >>> with TemporaryDirectory() as folder:
    ...     bands = Bands(Path(folder), {}, plan)
    ...     with bands.claimed(0) as claim:
    ...         claim.file.add(payload_of(np.array([[[0, 1, 2], [3, 4, 5]]], np.float32)))
    ...         claim.complete = True
    ...     list(kept_rows(bands, row=1))
    [array([[[3., 4., 5.]]], dtype=float32)]
    """
    for band in range(bands.at(row), len(bands)):
        at = bands.edges[band]
        for part in bands.parts(band):
            at += part.shape[1]
            if at > row:
                yield np.ascontiguousarray(part[:, row - at :])
                row = at
        if at < bands.edges[band + 1]:
            raise OutputError(f"{bands.path(band)}: the file is lost or damaged.")


def _keep_computing(bands: Bands, image: Image, network: Network, first: int, stop: Event) -> None:
    """Compute bands until ``stop`` is set; take those of other processes over if these do not go on."""
    watch = Watch(bands)
    while not stop.wait(POLL):
        compute(bands, image, network, first, stop.is_set)
        watch.look()


def _read_band(bands: Bands, band: int, row: int, computing: Future[None]) -> Iterator[Array]:
    """Yield the maps of a band from a network row on. ``computing``: computes what is missing."""
    end = bands.edges[band + 1]
    for _ in range(TRIES):
        while not bands.path(band).exists():
            if computing.done():
                computing.result()  # raises its error
            time.sleep(POLL)
        at = bands.edges[band]
        for part in bands.parts(band):
            at += part.shape[1]
            if at > row:
                yield np.ascontiguousarray(part[:, row - at :])
                row = at
        if row == end:
            return
        bands.forget(band)
    raise bands.damaged(band)
