"""Share the maps of one image between processes: each computes bands of rows and writes them into one folder.

A band is the rows of the network image that one row of tiles completes. A process that computes a band writes cached
maps (`flowmask.map_cache`) into a file of its own, whose lock the system frees if the process ends, and gives the file
its name when it is complete. The maps do not depend on who computed them: a band that is lost or damaged is computed
again, and on a disk without locks bands may be computed twice, but the labels are the same.

One process, the reader, turns the maps into labels and computes bands itself, so that every band is computed even if
nobody helps. A process goes on to the next band, which costs less than a new place: there the row of tiles above has to
be computed too. At a band that is taken it starts again in the middle of the largest gap.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np

from .errors import OutputError
from .images.image import Image
from .labels.provenance import Origin
from .map_cache import CacheInUse, MapCache
from .network.session import Network
from .pipeline import run_tiles
from .system.atomic_write import lock
from .tiles.blend import Array
from .tiles.plan import ImagePlan

log = logging.getLogger(__name__)
FREE, BUSY, DONE = "free", "busy", "done"
"""The states of a band. Busy: a live process computes it."""
PART = ".part"
"""The suffix of the file of a band that is not complete."""
POLL = 0.2
"""Seconds between two looks for a band that another process computes."""
PATIENCE = 900.0
"""Seconds in which no band grows until the bands of other processes are computed here: their machine may be gone."""
TRIES = 3
"""How often a damaged band is computed again."""


@dataclass(frozen=True)
class Share:
    """What another process must know to compute bands of an image."""

    folder: Path
    """That of the bands."""
    plan: ImagePlan
    origin: Origin
    """Everything that decides the maps (`flowmask.labels.provenance.maps_origin`)."""
    first: int
    """The first band that is needed."""


class Bands:
    """The folder with the bands of one image.

    Methods raise OutputError if it cannot be read or written.
    """

    def __init__(self, folder: Path, origin: Origin, plan: ImagePlan, make: bool = True) -> None:
        """origin: as in `Share`. make: whether the folder is made when a band is written, as the reader does."""
        self.folder, self.plan = folder, plan
        self._origin, self._make = origin, make
        self.edges = (0, *(plan.rows.advance(index) for index in range(len(plan.rows.starts))))
        """First network row of each band, and the number of rows."""

    def begin(self) -> None:
        """Make the folder, without which other processes take the image for finished."""
        with suppress(OSError):  # opening the file of a band raises the error
            self.folder.mkdir(exist_ok=True)

    def begun(self) -> bool:
        """Return whether the folder exists: a process began to share the maps."""
        return os.path.isdir(self.folder)  # False also for a name that is too long

    def at(self, row: int) -> int:
        """Return the band of a network row."""
        return int(np.searchsorted(self.edges, row, side="right")) - 1

    def share(self, row: int) -> Share:
        """Return what another process must know to compute the bands from a network row on."""
        return Share(self.folder, self.plan, self._origin, self.at(row))

    def path(self, band: int) -> Path:
        """Return the file of a band, which exists once the band is computed."""
        return self.folder / f"{band:06}.maps"

    def open(self, band: int) -> MapCache:
        """Open a band that is computed. Raises CacheInUse if another process has it open."""
        return self._cache(self.path(band), band)

    def states(self, first: int) -> list[str]:
        """Return `FREE`, `BUSY` or `DONE` for each band from ``first`` on."""
        names = sorted(path.name for path in self._files())
        busy = {int(name[:6]) for name in names if name.endswith(PART) and _is_locked(self.folder / name)}
        done = {int(name[:6]) for name in names if not name.endswith(PART)}
        bands = range(first, len(self.edges) - 1)
        return [DONE if band in done else BUSY if band in busy else FREE for band in bands]

    def start(self, first: int) -> int | None:
        """Return the band where one more process starts, from ``first`` on; None if no band is free.

        It is the first of the largest gap of free bands, or the one in its middle if another process comes from above.
        """
        states = [DONE, *self.states(first), DONE]
        ends = np.flatnonzero(np.diff([state == FREE for state in states]))
        if not len(ends):
            return None
        gaps = ends.reshape(-1, 2)
        top, bottom = gaps[np.argmax(gaps[:, 1] - gaps[:, 0])].tolist()
        return int(first + top + ((bottom - top) // 2 if states[top] == BUSY else 0))

    @contextmanager
    def claimed(self, band: int) -> Iterator[Claim | None]:
        """A new file for a band, which becomes the band if it is complete at the end; None if the band is taken."""
        if self.states(band)[0] != FREE:
            yield None
            return
        if self._make:
            self.begin()
        from uuid import uuid4  # imported here: only images that are shared need it

        path = self.folder / f"{band:06}.{uuid4().hex}{PART}"
        with self._cache(path, band) as cache:
            rivals = self.folder.glob(f"{band:06}.*{PART}")
            taken = any(rival.name < path.name and _is_locked(rival) for rival in rivals)  # at the same moment
            claim = Claim(cache)
            yield None if taken else claim
        try:
            os.replace(path, self.path(band)) if claim.complete else path.unlink()
        except FileNotFoundError:  # another process took the band over, or the image is finished
            return
        except OSError as error:
            raise OutputError(
                f"{path}: it cannot be renamed or removed ({error.strerror}); check the folder."
            ) from error

    def sizes(self) -> dict[Path, int]:
        """Return the bytes of each file of a band that is being computed, or was when its process ended."""
        found = {}
        for path in self._files():
            with suppress(FileNotFoundError):
                if path.suffix == PART:
                    found[path] = path.stat().st_size
        return found

    def _cache(self, path: Path, band: int) -> MapCache:
        return MapCache(path, {**self._origin, "px": self.plan.diameter, "row": self.edges[band]})

    def _files(self) -> list[Path]:
        try:
            return [*self.folder.glob("[0-9]*")]
        except OSError:  # it does not exist
            return []


@dataclass
class Claim:
    """A band that this process computes."""

    cache: MapCache
    complete: bool = False


def _is_locked(path: Path) -> bool:
    """Return whether a live process has a file locked."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not lock(file)
    finally:
        os.close(file)


def discard_bands(folder: Path) -> None:
    """Remove the folder of bands if it exists. Processes that still compute bands find no folder and end.

    If that fails, the labels are no worse: the rest stays, with a warning. NFS, for example, keeps the files that a
    process of the same machine still has open.

    >>> discard_bands(Path(".missing_label.tiff.bands"))
    """
    old = folder.with_suffix(".old")
    try:
        if os.path.exists(old):  # of a run that was interrupted here
            shutil.rmtree(old)
        if os.path.isdir(folder):
            os.replace(folder, old)
            shutil.rmtree(old)
    except FileNotFoundError:  # another process removes it too
        return
    except OSError as error:
        log.warning("%s: it cannot be removed (%s); remove it when no run uses it", old, error.strerror)


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
    while not stopped() and (start := bands.start(first)) is not None:
        with closing(_Rows(image, network, bands.plan)) as rows:
            for band in range(start, len(bands.edges) - 1):
                if not _compute_one(bands, band, rows, stopped):
                    break


def _compute_one(bands: Bands, band: int, rows: _Rows, stopped: Callable[[], bool]) -> bool:
    """Compute a band; return False if it is taken, or ``stopped`` returns True."""
    with bands.claimed(band) as claim:
        if claim is None:
            return False
        claim.cache.begin(bands.plan.diameter)
        top, end = bands.edges[band : band + 2]
        while top < end:
            if stopped():
                return False
            part = rows.next(top)
            claim.cache.append(part)
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
            for band in range(first, len(bands.edges) - 1):
                yield from _read_band(bands, band, max(row, bands.edges[band]), computing)
        finally:
            stop.set()


def _keep_computing(bands: Bands, image: Image, network: Network, first: int, stop: Event) -> None:
    """Compute bands until ``stop`` is set; take those of other processes over if these do not go on."""
    sizes, since = bands.sizes(), time.monotonic()
    while not stop.wait(POLL):
        compute(bands, image, network, first, stop.is_set)
        now = bands.sizes()
        if now != sizes:
            sizes, since = now, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            for path in now:
                with suppress(OSError):  # then the other process keeps it
                    path.unlink()


def _read_band(bands: Bands, band: int, row: int, computing: Future[None]) -> Iterator[Array]:
    """Yield the maps of a band from a network row on. ``computing``: computes what is missing."""
    end, path, tries = bands.edges[band + 1], bands.path(band), 0
    while tries < TRIES:
        while not path.exists():
            if computing.done():
                computing.result()  # raises its error
            time.sleep(POLL)
        try:
            with bands.open(band) as cache:
                at = bands.edges[band]
                for part in cache.parts(bands.plan.columns.length, bands.plan.contract.map_channels):
                    at += part.shape[1]
                    if at > row:
                        yield np.ascontiguousarray(part[:, row - at :])
                        row = at
        except CacheInUse:  # another process reads it, because Dask gave the image to two workers: wait
            continue
        except OutputError:
            if bands.folder.exists():
                raise
            continue  # that process has finished the image and removed the folder
        if row == end:
            return
        tries += 1
        with suppress(OSError):  # lost or damaged: it is computed again
            path.unlink()
    raise OutputError(f"{path}: the file is damaged again and again; check the disk, and run again.")
