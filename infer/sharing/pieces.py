"""Pieces of one image that several processes compute: each piece is a file in one folder.

A process that computes a piece writes records (`flowmask.records`) into a file of its own, whose lock the system frees
if the process ends, and gives the file its name when it is complete. What is in a piece does not depend on who computed
it: a piece that is lost or damaged is computed again, and on a disk without locks pieces may be computed twice, but
they are the same.

A process goes on to the next piece, which costs less than a new place, where it has to compute or read rows around the
piece too. At a piece that is taken it starts again in the middle of the largest gap.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import OutputError
from ..labels.provenance import Origin
from ..records import Payload, RecordFile, read_records
from ..system.atomic_write import lock

log = logging.getLogger(__name__)
FREE, BUSY, DONE = "free", "busy", "done"
"""The states of a piece. Busy: a live process computes it."""
PART = ".part"
"""The suffix of the file of a piece that is not complete."""
POLL = 0.2
"""Seconds between two looks for a piece that another process computes."""
PATIENCE = 900.0
"""Seconds in which no piece grows until the pieces of other processes are computed here: their machine may be gone."""
TRIES = 3
"""How often a damaged piece is computed again."""


class Pieces:
    """The folder with the pieces of one kind, for one image.

    Methods raise OutputError if it cannot be read or written.
    """

    def __init__(self, folder: Path, origin: Origin, edges: Sequence[int], suffix: str, make: bool = True) -> None:
        """edges: first row of each piece, and the number of rows. origin: everything that decides what they hold.

        suffix: of the files. make: whether the folder is made when a piece is written.
        """
        self.folder, self.edges = folder, tuple(edges)
        self.origin = origin
        """Everything that decides what the pieces hold."""
        self._suffix, self._make = suffix, make

    def __len__(self) -> int:
        """Return the number of pieces."""
        return len(self.edges) - 1

    def begin(self) -> None:
        """Make the folder, without which other processes take the image for finished."""
        with suppress(OSError):  # opening the file of a piece raises the error
            self.folder.mkdir(exist_ok=True)

    def begun(self) -> bool:
        """Return whether the folder exists: a process began to share the image."""
        return os.path.isdir(self.folder)  # False also for a name that is too long

    def at(self, row: int) -> int:
        """Return the piece of a row."""
        return int(np.searchsorted(self.edges, row, side="right")) - 1

    def path(self, piece: int) -> Path:
        """Return the file of a piece, which exists once the piece is computed."""
        return self.folder / f"{piece:06}{self._suffix}"

    def read(self, piece: int) -> Iterator[Payload]:
        """Yield the payloads of a piece that is computed; fewer if its file is lost or damaged.

        Several processes can read it at once.
        """
        with suppress(OSError):
            yield from read_records(self.path(piece), self._origin_of(piece))

    def forget(self, piece: int) -> None:
        """Remove the file of a piece that is lost or damaged, so that it is computed again."""
        with suppress(OSError):
            self.path(piece).unlink()

    def states(self, first: int) -> list[str]:
        """Return `FREE`, `BUSY` or `DONE` for each piece from ``first`` on."""
        names = sorted(path.name for path in self._files())
        busy = {int(name[:6]) for name in names if name.endswith(PART) and _is_locked(self.folder / name)}
        done = {int(name[:6]) for name in names if not name.endswith(PART)}
        return [DONE if piece in done else BUSY if piece in busy else FREE for piece in range(first, len(self))]

    def start(self, first: int) -> int | None:
        """Return the piece where one more process starts, from ``first`` on; None if no piece is free.

        It is the first of the largest gap of free pieces, or the one in its middle if another process comes from above.
        """
        states = [DONE, *self.states(first), DONE]
        ends = np.flatnonzero(np.diff([state == FREE for state in states]))
        if not len(ends):
            return None
        gaps = ends.reshape(-1, 2)
        top, bottom = gaps[np.argmax(gaps[:, 1] - gaps[:, 0])].tolist()
        return int(first + top + ((bottom - top) // 2 if states[top] == BUSY else 0))

    @contextmanager
    def claimed(self, piece: int) -> Iterator[Claim | None]:
        """A new file for a piece, which becomes the piece if it is complete at the end; None if the piece is taken."""
        if self.states(piece)[0] != FREE:
            yield None
            return
        if self._make:
            self.begin()
        from uuid import uuid4  # imported here: only images that are shared need it

        path = self.folder / f"{piece:06}.{uuid4().hex}{PART}"
        with RecordFile(path, self._origin_of(piece)) as file:
            rivals = self.folder.glob(f"{piece:06}.*{PART}")
            taken = any(rival.name < path.name and _is_locked(rival) for rival in rivals)  # at the same moment
            claim = Claim(file)
            if not taken:
                file.begin()
            yield None if taken else claim
        try:
            os.replace(path, self.path(piece)) if claim.complete else path.unlink()
        except FileNotFoundError:  # another process took the piece over, or the image is finished
            return
        except OSError as error:
            raise OutputError(
                f"{path}: it cannot be renamed or removed ({error.strerror}); check the folder."
            ) from error

    def compute(self, first: int, compute_from: Callable[[int], None], stopped: Callable[[], bool]) -> None:
        """Compute free pieces from ``first`` on until none is left, or ``stopped`` returns True.

        compute_from: computes pieces from a given one on until one is taken.
        """
        while not stopped() and (start := self.start(first)) is not None:
            compute_from(start)

    def wait_for(self, piece: int, compute: Callable[[], None]) -> None:
        """Return when the file of a piece exists. compute: computes free pieces, as long as there are some."""
        watch = Watch(self)
        while not self.path(piece).exists():
            compute()
            watch.look()
            if not self.path(piece).exists():
                time.sleep(POLL)

    def damaged(self, piece: int) -> OutputError:
        """Return the error for a piece that was computed `TRIES` times and cannot be read."""
        return OutputError(f"{self.path(piece)}: the file is damaged again and again; check the disk, and run again.")

    def sizes(self) -> dict[Path, int]:
        """Return the bytes of each file of a piece that is being computed, or was when its process ended."""
        found = {}
        for path in self._files():
            with suppress(FileNotFoundError):
                if path.suffix == PART:
                    found[path] = path.stat().st_size
        return found

    def _origin_of(self, piece: int) -> Origin:
        return {**self.origin, "row": self.edges[piece]}

    def _files(self) -> list[Path]:
        try:
            return [*self.folder.glob("[0-9]*")]
        except OSError:  # it does not exist
            return []


@dataclass
class Claim:
    """A piece that this process computes."""

    file: RecordFile
    complete: bool = False


class Watch:
    """Sees whether the pieces of other processes grow."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces, self._sizes, self._since = pieces, pieces.sizes(), time.monotonic()

    def look(self) -> None:
        """Remove the files of pieces that are not complete if none has grown for `PATIENCE` seconds."""
        now = self._pieces.sizes()
        if now != self._sizes:
            self._sizes, self._since = now, time.monotonic()
        elif time.monotonic() - self._since > PATIENCE:
            for path in now:
                with suppress(OSError):  # then the other process keeps it
                    path.unlink()


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


def discard_pieces(folder: Path) -> None:
    """Remove the folder of an image if it exists. Processes that still compute pieces find no folder and end.

    If that fails, the labels are no worse: the rest stays, with a warning. NFS, for example, keeps the files that a
    process of the same machine still has open.

    >>> discard_pieces(Path(".missing_label.tiff.bands"))
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
