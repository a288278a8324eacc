"""More images from labelled ones: cells are cut out and pasted at random places of an even background.

    python -m train.simulate.paste FOLDER --data DATA [--images PATTERN] [--cells 20 100 1000 matched] [--each N]

Method: the dataset extension of the LIVECell study with U-Net and CenterMask. All cells of a new image come from one
labelled image. Each one is rotated and mirrored at random and pasted anywhere; later cells cover earlier ones. The
background is grey, as in the study. ``--cells`` lists the cells of an image: the study made 20, 100 and 1,000. With
``matched``, an image gets as many cells as some labelled image of its source has in the same area; the study names
densities that its cell types do not reach as a likely reason for its lower scores. Give training images only.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from flowmask.errors import FlowmaskError, ImageError, InputError
from flowmask.images.image import Image
from flowmask.labels.metrics import sequential
from train.data.prepared import write_sample
from train.data.readers import read_folder, read_item, read_labels

CELLS = ("20", "100", "1000", "matched")
MATCHED = "matched"
Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Cell:
    """A cell that was cut out of an image."""

    pixels: Pixels
    """(h, w, C): the box around the cell."""
    mask: Pixels
    """(h, w): 1 in the cell."""


def cut_out(image: Pixels, labels: Labels) -> list[Cell]:
    """Return the cells of an image (Y, X, C), labels (Y, X), except those that touch its border, which may be cut.

    >>> labels = np.array([[0, 0, 0, 0], [0, 3, 0, 2], [0, 0, 0, 0]], np.int32)
    >>> cell, = cut_out(np.full((3, 4, 1), 9, np.uint8), labels)
    >>> cell.pixels.tolist(), cell.mask.tolist()
    ([[[9]]], [[1]])
    """
    frame = np.ones(labels.shape, bool)
    frame[1:-1, 1:-1] = False
    cells = []
    for cell in np.setdiff1d(labels, [0, *np.unique(labels[frame])]):
        rows, columns = np.nonzero(labels == cell)
        box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        cells.append(Cell(image[box], (labels[box] == cell).astype(np.uint8)))
    return cells


def turned(cell: Cell, angle: float, mirror: bool) -> Cell:
    """Return a cell rotated by an angle in degrees about its centre, after mirroring it if ``mirror``.

    >>> bar = Cell(np.full((1, 3, 1), 7, np.uint8), np.ones((1, 3), np.uint8))
    >>> turned(bar, 90, mirror=False).mask.sum(axis=1).tolist()
    [0, 1, 1, 1, 0]
    """
    pixels, mask = (part[:, ::-1] if mirror else part for part in (cell.pixels, cell.mask))
    height, width = mask.shape
    side = int(np.ceil(np.hypot(height, width))) + 1
    side += 1 - side % 2
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    matrix[:, 2] += (side - width) // 2, (side - height) // 2  # whole pixels, so that an angle of 0 changes no value
    size, repeat = (side, side), cv2.BORDER_REPLICATE
    values = cv2.warpAffine(np.ascontiguousarray(pixels), matrix, size, flags=cv2.INTER_LINEAR, borderMode=repeat)
    inside = cv2.warpAffine(np.ascontiguousarray(mask), matrix, size, flags=cv2.INTER_NEAREST)
    return Cell(np.asarray(values, np.uint8).reshape(side, side, -1), np.asarray(inside, np.uint8))


def pasted(image: Pixels, labels: Labels, count: int, rng: np.random.Generator) -> tuple[Pixels, Labels]:
    """Return an image of the same size, (Y, X, C) uint8, with ``count`` pasted cells, and its labels (Y, X) int32.

    Fewer cells are labelled if some are covered completely. Raises ImageError if no cell is off the border.

    >>> image, labels = np.full((9, 9, 1), 50, np.uint8), np.zeros((9, 9), np.int32)
    >>> image[3:6, 3:6], labels[3:6, 3:6] = 200, 1
    >>> canvas, ids = pasted(image, labels, 3, np.random.default_rng(0))
    >>> sorted(np.unique(canvas[ids == 0]).tolist())  # the background is that of the image
    [50]
    """
    cells = cut_out(image, labels)
    if not cells:
        raise ImageError("all cells of the image touch its border, so none can be pasted; leave the image out.")
    background = np.median(image[labels == 0], axis=0) if (labels == 0).any() else np.median(image, axis=(0, 1))
    canvas = np.broadcast_to(background.astype(np.uint8), image.shape).copy()
    ids: Labels = np.zeros(labels.shape, np.int32)
    for number in range(1, count + 1):
        cell = turned(cells[rng.integers(len(cells))], rng.uniform(0, 360), bool(rng.integers(2)))
        half = len(cell.mask) // 2
        top, left = (int(rng.integers(length)) - half for length in labels.shape)
        rows, columns = np.nonzero(cell.mask)
        inside = (rows + top >= 0) & (rows + top < ids.shape[0]) & (columns + left >= 0)
        inside &= columns + left < ids.shape[1]
        rows, columns = rows[inside], columns[inside]
        canvas[rows + top, columns + left] = cell.pixels[rows, columns]
        ids[rows + top, columns + left] = number
    return canvas, sequential(ids)


def density(labels: Labels) -> float:
    """Return the number of cells per pixel of labels (Y, X).

    >>> density(np.array([[1, 2], [0, 0]], np.int32))
    0.5
    """
    return float(np.count_nonzero(np.unique(labels)) / labels.size)


def read_pixels(path: Path, image: Image) -> Pixels:
    """Return the pixels (Y, X, C) of an image of one or three channels of 8 bits. Raises ImageError for others."""
    channels, height, width = image.shape
    if image.dtype != np.uint8 or channels not in (1, 3):
        raise ImageError(f"{path}: the image must have one or three channels of 8 bits; convert it or leave it out.")
    return np.ascontiguousarray(image.read(0, 0, height, width).transpose(1, 2, 0))


def extended(
    data: Path, patterns: Sequence[str], cells: Sequence[str], each: int, seed: int
) -> Iterator[tuple[str, str, Pixels, Labels]]:
    """Yield (source, name, image, labels) of the new images: ``each`` for each labelled image and entry of ``cells``.

    Raises InputError if no image of ``data`` matches a pattern of source/name.
    """
    items = [item for item in read_folder(data) if any(fnmatch(item.name, pattern) for pattern in patterns)]
    if not items:
        raise InputError(f"{data}: no image matches {', '.join(patterns)}; give patterns of source/name.")
    densities: dict[str, list[float]] = defaultdict(list)
    for item in items if MATCHED in cells else ():
        densities[item.source].append(density(read_labels(item.labels)))
    for index, item in enumerate(items):
        image, labels = read_item(item)
        pixels = read_pixels(item.image, image)
        if not cut_out(pixels, labels):
            continue
        for entry, copy in product(cells, range(each)):
            rng = np.random.default_rng((seed, index, 0 if entry == MATCHED else int(entry), copy))
            matched = entry == MATCHED
            count = round(rng.choice(densities[item.source]) * labels.size) if matched else int(entry)
            yield item.source, f"{item.image.stem}_{entry}_{copy}", *pasted(pixels, labels, max(1, count), rng)


def main(argv: list[str] | None = None) -> int:
    """Write the images; return 0, or 1 after one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m train.simulate.paste", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder for the new images, one folder for each source")
    parser.add_argument("--data", type=Path, required=True, help="labelled images, in any layout of `python -m train`")
    parser.add_argument("--images", nargs="+", default=["*"], metavar="PATTERN", help="source/name (default all)")
    parser.add_argument("--cells", nargs="+", default=list(CELLS), type=_entry, metavar="N", help="numbers, or matched")
    parser.add_argument("--each", type=int, default=1, help="new images for each image and number (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    try:
        for source, name, image, labels in extended(args.data, args.images, args.cells, args.each, args.seed):
            write_sample(args.folder / source, name, image[..., 0] if image.shape[2] == 1 else image, labels)
    except FlowmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _entry(text: str) -> str:
    if text != MATCHED and not (text.isdigit() and 0 < int(text) <= np.iinfo(np.uint16).max):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of cells (at most 65535) nor {MATCHED}")
    return text


if __name__ == "__main__":
    sys.exit(main())
