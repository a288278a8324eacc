"""Read the detections of the network from rows of maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import IO

import numpy as np
import numpy.typing as npt

from ...system.rolling import Rolling
from ..blocks import Maps, summable
from .constants import BOX, CELL_SCORE, CHANNELS, LARGEST, MASK, PIXELS, SCORE, SQUARE
from .paste import Masks
from .suppress import Boxes

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Detections:
    """Detected cells, in the order of their squares."""

    boxes: Boxes
    """(n, 4) float64: top, left, bottom and right in network pixels of the whole image."""
    scores: Values
    """(n,) score of the box."""
    cell_scores: Values
    """(n,) the same times the expected IoU of the mask, a multiple of 2^-24 so that sums of it are exact."""
    keys: npt.NDArray[np.int64]
    """(n,) number of the square, counted along the rows of squares of the whole image: the owner key of the cell."""

    def order(self) -> npt.NDArray[np.int64]:
        """Return the detections by falling score of the box; of equal ones, the first one first.

        >>> nothing = np.zeros((3, 4))
        >>> Detections(nothing, np.array([0.2, 0.7, 0.2]), nothing[:, 0], np.arange(3)).order()
        array([1, 0, 2])
        """
        return np.lexsort((self.keys, -self.scores)).astype(np.int64)

    def subset(self, chosen: npt.NDArray[np.int64]) -> Detections:
        """Return these detections alone."""
        return Detections(self.boxes[chosen], self.scores[chosen], self.cell_scores[chosen], self.keys[chosen])


def join(parts: list[Detections]) -> Detections:
    """Return the detections of all parts together.

    >>> one = Detections(np.zeros((1, 4)), np.ones(1), np.ones(1), np.array([5]))
    >>> len(join([one, one]).keys), len(join([]).keys)
    (2, 0)
    """
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    every = [nothing, *parts]
    names = [field.name for field in fields(Detections)]
    return Detections(*(np.concatenate([getattr(part, name) for part in every]) for name in names))


def detections_in(maps: Maps, top: int) -> tuple[Detections, Masks]:
    """Return the detections in rows of maps and their masks (n, 28, 28) uint8.

    maps: (13, n, X) float32, n and X multiples of 8; top: the network row of the first row, a multiple of 8. A box that
    is larger than `LARGEST` or has no area is left out.

    >>> numbers = np.zeros((1, 2, 832), np.float32)
    >>> numbers[0, 1, :6] = 0.75, 0.5, -4, -2, 12, 10
    >>> found, masks = detections_in(to_maps(numbers), top=8)
    >>> found.boxes.tolist(), found.cell_scores.tolist(), found.keys.tolist(), masks.shape
    ([[4.0, 6.0, 20.0, 18.0]], [0.5], [3], (1, 28, 28))
    """
    channels, height, width = maps.shape
    rows, columns = height // SQUARE, width // SQUARE
    squares = maps.reshape(channels, rows, SQUARE, columns, SQUARE)
    y, x = np.nonzero(squares[0, :, 0, :, 0] > 0)
    numbers = squares[:, y, :, x].reshape(len(y), channels * SQUARE**2)  # n, channel, row, column
    boxes = numbers[:, BOX].astype(np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    valid = ((sides > 0) & (sides <= LARGEST)).all(axis=1)
    y, x, numbers, boxes = y[valid], x[valid], numbers[valid], boxes[valid]
    corners = np.stack([y, x, y, x], axis=1) * SQUARE + np.array([top, 0, top, 0])
    cell_scores = summable(numbers[:, CELL_SCORE])
    keys = (y + top // SQUARE) * columns + x
    masks = np.rint(numbers[:, PIXELS] * 255).astype(np.uint8).reshape(-1, MASK, MASK)
    return Detections(boxes + corners, numbers[:, SCORE].astype(np.float64), cell_scores, keys.astype(np.int64)), masks


def to_maps(numbers: npt.NDArray[np.float32]) -> Maps:
    """Return the maps (13, 8 Y, 8 X) float32 that hold these numbers (Y, X, 832), as a network writes them.

    >>> to_maps(np.zeros((2, 3, 832), np.float32)).shape
    (13, 16, 24)
    """
    rows, columns, _ = numbers.shape
    squares = numbers.reshape(rows, columns, CHANNELS, SQUARE, SQUARE).transpose(2, 0, 3, 1, 4)
    return np.ascontiguousarray(squares).reshape(CHANNELS, rows * SQUARE, columns * SQUARE)


def collect(parts: Iterable[Maps], file: IO[bytes]) -> Detections:
    """Return the detections in all rows of maps; write their masks to ``file``, in the same order.

    parts: (13, n, X) float32 from the top down, with any n; X is a multiple of 8.

    >>> from io import BytesIO
    >>> numbers, file = np.zeros((1, 2, 832), np.float32), BytesIO()
    >>> numbers[0, 1, :6] = 0.75, 0.5, -4, -2, 12, 10
    >>> maps = to_maps(numbers)
    >>> collect([maps[:, :3], maps[:, 3:]], file).boxes.tolist(), len(file.getvalue())
    ([[-4.0, 6.0, 12.0, 18.0]], 784)
    """
    found = []
    for top, maps in _whole_squares(parts):
        detections, masks = detections_in(maps, top)
        file.write(masks.tobytes())
        found.append(detections)
    return join(found)


def _whole_squares(parts: Iterable[Maps]) -> Iterator[tuple[int, Maps]]:
    """Yield (top, maps) with whole squares."""
    rows: Rolling[np.float32] | None = None
    for part in parts:
        if rows is None:
            rows = Rolling(part.shape[2], np.float32, part.shape[0])
        rows.append(part.transpose(1, 0, 2))
        bottom = rows.bottom // SQUARE * SQUARE
        if bottom > rows.top:
            yield rows.top, rows.rows(rows.top, bottom).transpose(1, 0, 2)
            rows.drop(bottom)
