"""Share the labels of one image between processes: each labels blocks of rows and writes them into one folder.

A piece (`flowmask.sharing.pieces`) holds the labels of `HEIGHT` rows of the image, in which cells have numbers of their
own, and a table of these cells with their owner keys (`flowmask.families.blocks`). A process labels from the top of a
piece down into the next ones. At a new place it reads the maps of a halo above the piece too, and labels them in vain.

The process of the image, the reader, labels from the top of the image down while the maps are computed. The others
start when all maps are there. At the end the reader gathers all blocks: it joins the parts of cells, gives the cells
their final numbers and measures them. Labels and table are those of one process, bit for bit.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..families import Family, family_of
from ..families.blocks import Block, Maps, PackedBlock, number_blocks, pack_block, rows_to_read
from ..labels.cell_table import CellTableBuilder
from ..labels.labels import Labels
from ..labels.provenance import Origin
from ..records import Payload
from ..system.prefetch import prefetch
from ..tiles.plan import ImagePlan
from .pieces import TRIES, Pieces

HEIGHT = 512
"""Image rows of a piece."""
FOLDER = "labels"
"""Where the pieces are in the folder of the maps."""
MapsFrom = Callable[[int], Iterator[Maps]]
"""(network row) -> the maps (channels, n, X) float32 from this row on."""


class LabelPieces(Pieces):
    """The folder with the labels of one image in pieces."""

    def __init__(self, folder: Path, origin: Origin, plan: ImagePlan, make: bool = True) -> None:
        """folder: of the maps. origin: everything that decides the labels (`flowmask.labels.provenance.labels_origin`).

        make: as in `Pieces`.
        """
        self.height, length = HEIGHT, plan.shape[0]
        edges = (*range(0, length, self.height), length)
        super().__init__(folder / FOLDER, {**origin, "px": plan.diameter}, edges, ".labels", make)
        self.plan = plan

    def first_without(self, row: int) -> int:
        """Return the first piece that needs no maps above a network row; the number of pieces if each one does."""
        needs = (rows_to_read(self.plan, (edge, edge + 1), self._halo)[0] for edge in self.edges[:-1])
        return next((piece for piece, top in enumerate(needs) if top >= row), len(self))

    def blocks(self, piece: int, maps_from: MapsFrom) -> Generator[PackedBlock]:
        """Yield the blocks from a piece on, as `flowmask.families.blocks.LabelFrom`."""
        first, label_from = self.edges[piece], self._family.label_from
        assert label_from is not None
        top = rows_to_read(self.plan, (first, first + 1), self._halo)[0]
        return (pack_block(block) for block in label_from(maps_from(top), self.plan, first, top, self.height))

    def packed(self, piece: int) -> Iterator[PackedBlock]:
        """Yield the blocks of a piece that is computed; fewer if it is lost or damaged."""
        return map(_block_of, self.read(piece))

    @property
    def _halo(self) -> int:
        return self._family.halo(self.plan)

    @property
    def _family(self) -> Family:
        return family_of(self.plan.contract)


def can_share(plan: ImagePlan) -> bool:
    """Return whether the labels of an image can be shared, by its family.

    >>> from types import SimpleNamespace
    >>> [can_share(SimpleNamespace(contract=SimpleNamespace(family=name))) for name in ("flow", "watershed")]
    [True, False]
    """
    return family_of(plan.contract).label_from is not None


def compute_labels(pieces: LabelPieces, maps_from: MapsFrom, first: int, stopped: Callable[[], bool]) -> None:
    """Label free pieces from ``first`` on until none is left, or ``stopped`` returns True.

    Raises the errors of ``maps_from`` and OutputError.

    >>> from tempfile import TemporaryDirectory
    >>> from types import SimpleNamespace
    >>> contract = SimpleNamespace(family="semantic", map_channels=1)
    >>> from flowmask.options import Segmentation
    >>> plan = SimpleNamespace(
    ...     contract=contract, options=Segmentation(), shape=(600, 4), network_shape=(600, 4), diameter=30.0
    ... )
    >>> with TemporaryDirectory() as folder:
    ...     pieces = LabelPieces(Path(folder), {}, plan)
    ...     compute_labels(pieces, lambda row: iter([np.ones((1, 600 - row, 4), np.float32)]), 1, lambda: False)
    ...     pieces.states(0), [block.table.areas.tolist() for block in pieces.packed(1)]
    (['free', 'done'], [[352]])
    """
    pieces.compute(first, partial(_compute_from, pieces, maps_from, stopped), stopped)


def _compute_from(pieces: LabelPieces, maps_from: MapsFrom, stopped: Callable[[], bool], start: int) -> None:
    with closing(pieces.blocks(start, maps_from)) as blocks:
        for piece in range(start, len(pieces)):
            if not _compute_one(pieces, piece, blocks, stopped):
                return


def _compute_one(pieces: LabelPieces, piece: int, blocks: Iterator[PackedBlock], stopped: Callable[[], bool]) -> bool:
    """Write the labels of a piece, whose blocks come next; return False if it is taken, or ``stopped`` returns True."""
    with pieces.claimed(piece) as claim:
        if claim is None:
            return False
        for block in _of_piece(pieces, piece, blocks):
            if stopped():
                return False
            claim.file.add(_payload_of(block))
            claim.complete = block.table.core[1] == pieces.edges[piece + 1]
    return claim.complete


def _of_piece(pieces: LabelPieces, piece: int, blocks: Iterator[PackedBlock]) -> Iterator[PackedBlock]:
    """Yield the blocks of a piece, which come next."""
    for block in blocks:
        yield block
        if block.table.core[1] == pieces.edges[piece + 1]:
            return
    raise AssertionError(f"the rows of piece {piece} were not labelled")


def label_shared(
    maps: Iterable[Maps],
    pieces: LabelPieces,
    maps_from: MapsFrom,
    cells: CellTableBuilder,
    stopped: Callable[[], bool],
) -> Iterator[Labels]:
    """Yield the final labels (n, X) int32 of an image from the top down, as `flowmask.pipeline.label_maps`.

    maps: all maps from the top down, which are read as far as nobody else labels. maps_from: gives maps again, once the
    folder of the pieces exists. cells: the table to fill. stopped: as in `compute_labels`; called from time to time.
    Raises the errors of `compute_labels`.

    >>> from types import SimpleNamespace
    >>> contract = SimpleNamespace(family="semantic", map_channels=1)
    >>> from flowmask.options import Segmentation
    >>> plan = SimpleNamespace(
    ...     contract=contract, options=Segmentation(), shape=(600, 2), network_shape=(600, 2), diameter=30.0
    ... )
    >>> maps, pieces = np.ones((1, 600, 2), np.float32), LabelPieces(Path("missing"), {}, plan)
    >>> rows = label_shared([maps], pieces, lambda row: iter([maps[:, row:]]), CellTableBuilder(), lambda: False)
    >>> [labels.shape for labels in rows]  # nobody helps, so there is no folder
    [(256, 2), (256, 2), (88, 2)]
    """
    blocks = _all_blocks(maps, pieces, maps_from, stopped)
    yield from number_blocks(blocks, pieces.plan, cells, join=True)


def _all_blocks(
    maps: Iterable[Maps], pieces: LabelPieces, maps_from: MapsFrom, stopped: Callable[[], bool]
) -> Generator[PackedBlock]:
    """Yield all blocks: first those that were labelled before the image was shared, then those in the folder."""
    alone = 0  # pieces that are not in the folder
    with closing(prefetch(pieces.blocks(0, lambda _: prefetch(maps)))) as blocks:
        for piece in range(len(pieces)):
            if pieces.begun():
                if not _compute_one(pieces, piece, blocks, stopped):
                    break
            else:
                yield from _of_piece(pieces, piece, blocks)
                alone = piece + 1
    for piece in range(alone, len(pieces)):
        yield from _read_piece(pieces, piece, alone, maps_from, stopped)


def _read_piece(
    pieces: LabelPieces, piece: int, first: int, maps_from: MapsFrom, stopped: Callable[[], bool]
) -> Iterator[PackedBlock]:
    """Yield the blocks of a piece. Until it is there, label free pieces from ``first`` on."""

    def compute() -> None:
        compute_labels(pieces, maps_from, first, stopped)
        stopped()  # raises an error when the run has ended

    row = pieces.edges[piece]
    for _ in range(TRIES):
        pieces.wait_for(piece, compute)
        for block in pieces.packed(piece):
            if block.table.core[0] == row:  # not read before the file was lost
                yield block
                row = block.table.core[1]
        if row == pieces.edges[piece + 1]:
            return
        pieces.forget(piece)
    raise pieces.damaged(piece)


def _payload_of(block: PackedBlock) -> Payload:
    """Return the payload of a record with a block: its fields in NumPy's format npz."""
    buffer = io.BytesIO()
    table = {field.name: getattr(block.table, field.name) for field in fields(Block) if field.name != "labels"}
    packed = {name: value for name, value in table.items() if value is not None}
    np.savez(buffer, **packed, labels=np.frombuffer(block.labels, np.uint8))
    return np.frombuffer(buffer.getbuffer(), np.uint8)


def _block_of(payload: Payload) -> PackedBlock:
    """Return the block of a record."""
    with np.load(io.BytesIO(payload.tobytes()), allow_pickle=False) as arrays:
        found: dict[str, Any] = {name: arrays[name] for name in arrays}
    found |= {name: int(found[name]) for name in ("too_small", "wrong_flow")}
    first, last = found.pop("core").tolist()
    labels = found.pop("labels").tobytes()
    return PackedBlock(Block((first, last), np.zeros((0, 0), np.int32), **found), labels)
