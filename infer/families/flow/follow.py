"""Flows to sinks: every cell pixel of the source follows the network's field to where its path ends.

The maps stay at network resolution. A source pixel starts at its own fractional network position and takes Euler
steps through the bilinearly interpolated field, as the reference does (Stringer et al. 2021: 200 steps of flow / 5
inside the cell map); the end points pile up at the cells' sinks. Positions count from the top of the whole image,
and `top` is the row at which the maps that are given begin.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import inlined, kernel, part
from ...system.parallel import in_parallel
from .constants import FLOW_SCALE, LONGEST, STEPS

Maps = npt.NDArray[np.float32]
Ends = npt.NDArray[np.int32]
Positions = npt.NDArray[np.float64]

CHECK = 8
"""Steps between two looks at whether a path has arrived; `STEPS` is a multiple of it."""
MARGIN = math.ceil(CHECK * LONGEST) + 1
"""Network pixels from the border within which a path may come to it in `CHECK` steps."""
LANES = 16
"""Paths that advance together: the fastest of 2, 4, 8, 16 on the machines at hand."""
ARRIVED = 1e-2
"""Network pixels below which a path, seen every `CHECK` steps, no longer moves.

Against all `STEPS` steps it puts 1.4 % of the ends one pixel away, none two, and takes a fifth of the time.
"""
BAND = 16
"""Source rows that a thread follows before it takes others."""
NOWHERE = -(2**31)
"""The end of a pixel that belongs to no cell."""


@inlined
def _corners(y: float, x: float, top: int, height: int, width: int) -> tuple[int, int, int, int, float, float]:
    y0, x0 = int(y), int(x)
    return y0 - top, x0, min(y0 + 1, height - 1) - top, min(x0 + 1, width - 1), y - y0, x - x0


@inlined
def sample(field: npt.NDArray[np.float32], y: float, x: float, top: int, height: int) -> float:
    """Interpolate (Y, X) bilinearly at a position inside [0, height - 1] x [0, X - 1]."""
    y0, x0, y1, x1, fy, fx = _corners(y, x, top, height, field.shape[1])
    upper = field[y0, x0] * (1 - fx) + field[y0, x1] * fx
    lower = field[y1, x0] * (1 - fx) + field[y1, x1] * fx
    return upper * (1 - fy) + lower * fy  # type: ignore[no-any-return]


def inner_field(maps: Maps, threshold: float) -> Maps:
    """Return the field (Y, 2, X) float32 in pixels a step: flow / 5 where the logit exceeds ``threshold``, else 0.

    maps: (Y, 3, X). Steps are cut at `LONGEST` along each axis: far too bright specks have flows of any length.
    """
    field: Maps = maps[:, :2] / np.float32(FLOW_SCALE)
    np.clip(field, -LONGEST, LONGEST, out=field)
    field *= maps[:, 2:] > threshold
    return field


@part
def _advance(field: Maps, ys: Positions, xs: Positions, top: int, height: int) -> None:
    """Take every path (K,) `CHECK` steps further through the field (n, 2, X), in place.

    In float64: float32 weights do not add up to 1, and the paths of small symmetric cells drift away.
    """
    width = field.shape[2]
    if min(ys.min(), xs.min()) > MARGIN and ys.max() < height - 1 - MARGIN and xs.max() < width - 1 - MARGIN:
        _advance_inside(field, ys, xs, top)
        return
    lowest, rightmost = height - 1.0, width - 1.0
    for _ in range(CHECK):
        for lane in range(LANES):
            y0, x0, y1, x1, fy, fx = _corners(ys[lane], xs[lane], top, height, width)
            a, b, c, d = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
            dy = a * field[y0, 0, x0] + b * field[y0, 0, x1] + c * field[y1, 0, x0] + d * field[y1, 0, x1]
            dx = a * field[y0, 1, x0] + b * field[y0, 1, x1] + c * field[y1, 1, x0] + d * field[y1, 1, x1]
            ys[lane] = min(max(ys[lane] + dy, 0.0), lowest)
            xs[lane] = min(max(xs[lane] + dx, 0.0), rightmost)


@inlined
def _advance_inside(field: Maps, ys: Positions, xs: Positions, top: int) -> None:
    """Do what `_advance` does where no path can come to the border of the image: without looking out for it."""
    for _ in range(CHECK):
        for lane in range(LANES):
            y, x = int(ys[lane]), int(xs[lane])
            fy, fx = ys[lane] - y, xs[lane] - x
            y -= top
            a, b, c, d = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
            dy = a * field[y, 0, x] + b * field[y, 0, x + 1] + c * field[y + 1, 0, x] + d * field[y + 1, 0, x + 1]
            dx = a * field[y, 1, x] + b * field[y, 1, x + 1] + c * field[y + 1, 1, x] + d * field[y + 1, 1, x + 1]
            ys[lane] += dy
            xs[lane] += dx


@part
def _follow_row(
    maps: Maps, field: Maps, top: int, height: int, row: float, columns: Positions, threshold: float, ends: Ends
) -> None:
    """Fill in ``ends`` (len(columns),) for one source row; see `follow`.

    `LANES` paths advance together, so that the processor need not wait for one step of one path to end before it
    begins another; a path that has arrived makes room for the row's next pixel.
    """
    ys, xs = np.full(LANES, row), np.zeros(LANES)
    column, steps = np.full(LANES, -1), np.full(LANES, STEPS)
    seen_y, seen_x = np.empty(LANES), np.empty(LANES)
    width, following, busy = len(columns), 0, 0
    while True:
        for lane in range(LANES):
            if steps[lane] >= STEPS:
                if column[lane] >= 0:
                    ends[column[lane]] = (int(ys[lane]) - int(row)) * maps.shape[2] + int(xs[lane])
                    busy -= 1
                while following < width and not sample(maps[:, 2], row, columns[following], top, height) > threshold:
                    following += 1
                ys[lane], xs[lane], column[lane], steps[lane] = row, 0.0, -1, 0
                if following < width:
                    xs[lane], column[lane] = columns[following], following
                    following += 1
                    busy += 1
        if busy == 0:
            return
        seen_y[:], seen_x[:] = ys, xs
        _advance(field, ys, xs, top, height)
        for lane in range(LANES):
            steps[lane] += CHECK
            if abs(ys[lane] - seen_y[lane]) < ARRIVED and abs(xs[lane] - seen_x[lane]) < ARRIVED:
                steps[lane] = STEPS


@kernel("void(f4[:,:,::1], f4[:,:,::1], i8, i8, f8[::1], f8[::1], f8, i4[:,::1])")
def _follow(
    maps: Maps,
    field: Maps,
    top: int,
    height: int,
    rows: Positions,
    columns: Positions,
    threshold: float,
    ends: Ends,
) -> None:
    """Fill in ``ends``; see `follow`."""
    for i in range(len(rows)):
        _follow_row(maps, field, top, height, rows[i], columns, threshold, ends[i])


def follow(
    maps: Maps,
    field: Maps,
    top: int,
    height: int,
    rows: Positions,
    columns: Positions,
    threshold: float,
    threads: int = 1,
) -> Ends:
    """Return (len(rows), len(columns)) int32: where the path of each source pixel ends.

    maps (n, 3, X) and field (n, 2, X) float32: the rows from ``top`` on of a network image of ``height`` rows; rows
    and columns: the network positions of the source pixels. An end is its distance from pixel (int(row), 0), counted
    in raster order; `NOWHERE` for a pixel where the interpolated logit does not exceed ``threshold``.
    """
    ends = np.full((len(rows), len(columns)), NOWHERE, np.int32)

    def work(first: int, last: int) -> None:
        _follow(maps, field, top, height, rows[first:last], columns, threshold, ends[first:last])

    in_parallel(len(rows), BAND, threads, work)
    return ends


@kernel("void(i4[:,::1], i8[::1], i8, i4[:,::1], i8, i4[::1])")
def count_ends(
    ends: Ends,
    bases: npt.NDArray[np.int64],
    first: int,
    histogram: npt.NDArray[np.int32],
    top: int,
    lowest: npt.NDArray[np.int32],
) -> None:
    """Count ends in ``histogram`` (n, X), whose first row is ``top``.

    ``lowest``, of all rows of the network image, takes the last source row of which a path ends in each.
    ends as from `follow`, of the source rows from ``first`` on; bases: int(row) of each.
    """
    width = histogram.shape[1]
    for i in range(ends.shape[0]):
        for j in range(ends.shape[1]):
            end = ends[i, j]
            if end != NOWHERE:
                row = bases[i] + end // width
                histogram[row - top, end % width] += 1
                lowest[row] = first + i
