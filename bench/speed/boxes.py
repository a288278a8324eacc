"""Speed and memory of the decoder of the boxes family (detections to labels) as images grow.

    python -m bench.speed.boxes [--large]

The detections are made from simulated labels: the true boxes and masks, and for each a second one beside it, which NMS
must drop. With --large, the same maps are repeated to 10,000 x 10,000 px. The memory is the peak of this process, with
Python, Numba and the maps that wait.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from bench.images import mosaic
from bench.record import table, write_record
from flowmask.families.blocks import Maps
from flowmask.families.boxes.constants import MASK, PIXELS, SQUARE
from flowmask.families.boxes.decode import label_rows
from flowmask.families.boxes.detections import to_maps
from flowmask.labels.labels import Labels
from flowmask.labels.measure import label_boxes
from flowmask.options import Segmentation
from flowmask.tiles.blend import ROWS

DIAMETER, TEMPLATE, LARGE = 30, 1000, 10_000
HEADER = ("side, px", "detections", "cells", "CPU seconds", "ns per px", "peak memory, MB")


def detections_like(labels: Labels) -> Maps:
    """Return maps (13, Y, X) float32 with two detections for each cell of labels (Y, X) int32, multiples of 8."""
    squares = labels.shape[0] // SQUARE, labels.shape[1] // SQUARE
    numbers = np.zeros((*squares, 832), np.float32)
    for cell, (top, left, bottom, right) in enumerate(label_boxes(labels, int(labels.max())), 1):
        mask = (labels[top:bottom, left:right] == cell).astype(np.float32)
        pixels = cv2.resize(mask, (MASK, MASK), interpolation=cv2.INTER_AREA).ravel()
        y, x = int(top + bottom) // 2 // SQUARE, int(left + right) // 2 // SQUARE
        box = np.array([top, left, bottom, right])
        for column, score in ((x, 0.9), (min(x + 1, squares[1] - 1), 0.6)):
            if numbers[y, column, 0] < score:
                corner = SQUARE * np.array([y, column, y, column])
                numbers[y, column, :2] = score
                numbers[y, column, 2:6] = box - corner
                numbers[y, column, PIXELS] = pixels
    return to_maps(numbers)


def in_parts(template: Maps, side: int) -> Iterator[Maps]:
    """Yield the template, repeated to ``side`` x ``side`` px, in rows from the top down."""
    for first in range(0, side, template.shape[1]):
        height = min(template.shape[1], side - first)
        for top in range(0, height, ROWS):
            yield np.tile(template[:, top : min(top + ROWS, height)], (1, 1, side // template.shape[2]))


def timed(template: Maps, side: int) -> tuple[object, ...]:
    """Return one row of the table."""
    plan: Any = SimpleNamespace(shape=(side, side), network_shape=(side, side), scale=1.0, options=Segmentation())
    found = np.count_nonzero(template[0, ::SQUARE, ::SQUARE]) * (side // TEMPLATE) ** 2
    begun = time.process_time()
    cells = max(int(rows.max(initial=0)) for rows in label_rows(in_parts(template, side), plan))
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return side, int(found), cells, seconds, 1e9 * seconds / side**2, peak


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 10,000 x 10,000 px")
    large = parser.parse_args().large
    template = detections_like(mosaic(TEMPLATE, TEMPLATE, DIAMETER)[1])
    rows = [timed(template, side) for side in (TEMPLATE, 2 * TEMPLATE, *((LARGE,) if large else ()))]
    print(table(HEADER, rows))
    print(write_record("boxes", {"runs": [dict(zip(HEADER, row, strict=True)) for row in rows]}))


if __name__ == "__main__":
    main()
