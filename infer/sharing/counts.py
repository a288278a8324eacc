"""Share the histograms of one image between processes: each counts the values of some rows, and the sums are added.

The process of the image counts alone until others have time to help. Then it makes a folder, and all of them count
pieces (`flowmask.sharing.pieces`) of the rows that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..images.image import Image
from ..labels.provenance import Origin
from ..tiles.channels import Sources
from ..tiles.counts import ROWS, count_values
from ..tiles.percentiles import Counts
from .pieces import TRIES, Pieces

PIXELS = 2**26
"""Image pixels of a piece, about."""


@dataclass(frozen=True)
class CountShare:
    """What another process must know to count values of an image."""

    folder: Path
    origin: Origin
    """Everything that decides the values; that of the maps does."""
    inputs: Sequence[Sources]
    """The source channels that are added, for each histogram."""
    first: int
    """The first piece that is needed."""


class CountPieces(Pieces):
    """The folder with the histograms of one image in pieces."""

    def __init__(self, share: CountShare, image: Image, make: bool = True) -> None:
        """make: as in `Pieces`."""
        _, height, width = image.shape
        rows = max(1, PIXELS // (ROWS * width)) * ROWS
        origin = {**share.origin, "inputs": [list(sources) for sources in share.inputs]}
        super().__init__(share.folder, origin, (*range(0, height, rows), height), ".counts", make)
        self.image, self.inputs = image, share.inputs

    def count(self, piece: int) -> Counts:
        """Return the histograms of a piece, from the image."""
        return count_values(self.image, self.inputs, *self.edges[piece : piece + 2])

    def kept(self, piece: int) -> Counts | None:
        """Return the histograms of a piece that is computed; None if its file is lost or damaged."""
        for payload in self.read(piece):
            counts: Counts = payload.view(np.int64).reshape(len(self.inputs), -1)
            return counts
        return None


def compute_counts(pieces: CountPieces, first: int, stopped: Callable[[], bool]) -> None:
    """Count free pieces from ``first`` on until none is left, or ``stopped`` returns True.

    Raises OutputError, and the errors of a file that cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> from flowmask.images.image import ArrayImage
    >>> image = ArrayImage(np.zeros((1, 300, 5), np.uint8))
    >>> with TemporaryDirectory() as folder:
    ...     pieces = CountPieces(CountShare(Path(folder), {}, [(0,)], 0), image)
    ...     compute_counts(pieces, 0, lambda: False)
    ...     pieces.kept(0)[0, :2].tolist()
    [1500, 0]
    """
    pieces.compute(first, partial(_compute_from, pieces, stopped), stopped)


def _compute_from(pieces: CountPieces, stopped: Callable[[], bool], start: int) -> None:
    for piece in range(start, len(pieces)):
        with pieces.claimed(piece) as claim:
            if claim is None or stopped():
                return
            claim.file.add(np.ascontiguousarray(pieces.count(piece)).reshape(-1).view(np.uint8))
            claim.complete = True


def count_shared(
    image: Image,
    inputs: Sequence[Sources],
    folder: Path,
    origin: Origin,
    ask: Callable[[CountShare | None], bool],
) -> Counts:
    """Return what `flowmask.tiles.counts.count_values` returns for the whole image.

    folder: of the pieces, which is made if others help. origin: as in `CountShare`. ask: tells others what they need to
    help, if given, and returns whether they have time. Raises the errors of `compute_counts`.

    >>> from tempfile import TemporaryDirectory
    >>> from flowmask.images.image import ArrayImage
    >>> image = ArrayImage(np.eye(300, dtype=np.uint8)[None])
    >>> with TemporaryDirectory() as folder:
    ...     counts = count_shared(image, [(0,)], Path(folder, "counts"), {}, ask=lambda share: True)
    >>> counts[0, :2].tolist()
    [89700, 300]
    """
    pieces = CountPieces(CountShare(folder, origin, inputs, 0), image)
    total, piece = np.zeros_like(count_values(image, inputs, 0, 0)), 0
    while piece < len(pieces) and not ask(None):
        total += pieces.count(piece)
        piece += 1
    if piece < len(pieces):
        pieces.begin()  # before others are told of it
        ask(CountShare(folder, origin, inputs, piece))

        def stopped() -> bool:
            ask(None)  # raises an error when the run has ended
            return False

        def compute() -> None:
            compute_counts(pieces, piece, stopped)
            stopped()

        for each in range(piece, len(pieces)):
            total += _counted(pieces, each, compute)
    return total


def _counted(pieces: CountPieces, piece: int, compute: Callable[[], None]) -> Counts:
    """Return the histograms of a piece. compute: counts free pieces."""
    for _ in range(TRIES):
        pieces.wait_for(piece, compute)
        counts = pieces.kept(piece)
        if counts is not None:
            return counts
        pieces.forget(piece)
    raise pieces.damaged(piece)
