"""From flows to sinks: each cell pixel of the image follows the flow field to the end of its path.

The maps stay at network resolution. The path of a source pixel starts at its fractional position in the network image
and takes Euler steps through the bilinearly interpolated field. The constants are those of Stringer et al. 2021: 200
steps of flow / 5, and no flow outside cells. The paths of a cell end near one point, its sink.

All positions count from the first row of the whole network image. ``top`` is the row of the whole network image that
the first row of an array belongs to.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import inlined, kernel, part
from ...system.parallel import in_parallel
from .constants import FLOW_SCALE, LONGEST, STEPS

Maps = npt.NDArray[np.float32]
"""Rows of network maps (n, 3, X) (dy, dx, logit)."""
Field = npt.NDArray[np.float32]
"""Rows of the flow field (n, X, 2) (dy, dx). The two values of a pixel are next to each other, because each step of a
path needs both of four pixels."""
Traps = npt.NDArray[np.bool_]
"""(n, X): the pixels that no path leaves; see `trapping`."""
Ends = npt.NDArray[np.int32]
"""Path ends (rows, X) of source pixels; see `follow`."""
Positions = npt.NDArray[np.float64]
"""Fractional positions in network pixels along one axis."""
Scratch = tuple[npt.NDArray[np.int32], Positions, npt.NDArray[np.float32]]
"""Of each path, between the loops of `_advance`: the pixel (2 * `LANES`,) that it is in, the rows first, its fractional
position in there (2 * `LANES`,), and the flows (dy, dx) at the four corners (8 * `LANES`,)."""

CHECK = 8
"""Steps between two checks whether a path has arrived; `STEPS` is a multiple of it."""
LANES = 64
"""Paths that are followed at the same time. 64 was the fastest of 16, 32 and 64 on the machine tested."""
ARRIVED = 1e-2
"""A path has arrived if `CHECK` steps move it by less than this many network pixels along each axis.

Compared with always taking all `STEPS` steps, 0 to 0.8 % of the paths of six real and simulated images end in another
pixel. Paths that end in a pixel that traps them (`trapping`) end there in any case.
"""
BAND = 16
"""Source rows that a thread processes at a time."""
NOWHERE = -(2**31)
"""The end of a pixel that belongs to no cell."""


@inlined
def sample(field: npt.NDArray[np.float32], y: float, x: float, top: int, height: int) -> float:
    """Return the value of a field (n, X), interpolated bilinearly at a position in [0, height - 1] x [0, X - 1].

    The first row of the field is row ``top`` of a network image of ``height`` rows.

    >>> float(sample(np.array([[0, 4], [8, 12]], np.float32), 0.5, 0.25, 0, 2))
    5.0
    """
    y0, x0 = int(y), int(x)
    y1, x1, fy, fx = min(y0 + 1, height - 1) - top, min(x0 + 1, field.shape[1] - 1), y - y0, x - x0
    y0 -= top
    if fy == 0 and fx == 0:  # as at scale 1
        return field[y0, x0]  # type: ignore[no-any-return]
    upper = field[y0, x0] * (1 - fx) + field[y0, x1] * fx
    lower = field[y1, x0] * (1 - fx) + field[y1, x1] * fx
    return upper * (1 - fy) + lower * fy  # type: ignore[no-any-return]


@kernel("f4[:,:,::1](f4[:,:,::1], f8)")
def inner_field(maps: Maps, threshold: float) -> Field:
    """Return the flow field (n, X, 2) float32 (dy, dx) in network pixels per step: flow / 5 inside cells, 0 outside.

    maps: (n, 3, X) float32 (dy, dx, logit). A pixel is inside a cell if its logit exceeds ``threshold``. Steps are
    limited to `LONGEST` along each axis, because very bright specks can have flows of any length.

    >>> inner_field(np.array([[[5, 50], [-5, 0], [1, 1]], [[5, 5], [5, 5], [-1, 0]]], np.float32), 0.0)[0]
    array([[ 1. , -1. ],
           [ 1.2,  0. ]], dtype=float32)
    """
    scale, longest, least = np.float32(FLOW_SCALE), np.float32(LONGEST), np.float32(threshold)
    field: Field = np.empty((maps.shape[0], maps.shape[2], 2), np.float32)
    for y in range(maps.shape[0]):
        dy, dx, logit, flow = maps[y, 0], maps[y, 1], maps[y, 2], field[y]
        for x in range(maps.shape[2]):
            inside = np.float32(logit[x] > least)
            flow[x, 0] = min(max(dy[x] / scale, -longest), longest) * inside
            flow[x, 1] = min(max(dx[x] / scale, -longest), longest) * inside
    return field


@kernel("b1[:,::1](f4[:,:,::1])")
def trapping(field: Field) -> Traps:
    """Return the pixels (n, X) bool that no path leaves; the last row and column of the field are left out.

    field: (n, X, 2) float32 from `inner_field`. From a pixel that traps paths, one step from each of its four corners
    ends inside it. The field between the corners is interpolated bilinearly, so one step from anywhere in the pixel
    ends in the convex hull of these four ends.

    >>> field = np.zeros((2, 3, 2), np.float32)
    >>> field[0, :, 0], field[1, :, 0] = 0.5, -0.5  # dy: the two rows point to each other
    >>> field[:, :, 1] = 0.5, -0.5, -1.5  # dx: columns 0 and 1 point to each other, column 2 beyond column 1
    >>> trapping(field).tolist()
    [[True, False, False], [False, False, False]]
    """
    traps = np.zeros((field.shape[0], field.shape[1]), np.bool_)
    for y in range(field.shape[0] - 1):
        for x in range(field.shape[1] - 1):
            inside = True
            for i in range(2):
                for j in range(2):
                    v, u = i + field[y + i, x + j, 0], j + field[y + i, x + j, 1]
                    inside = inside and 0 <= v < 1 and 0 <= u < 1
            traps[y, x] = inside
    return traps


@part
def _advance(field: Field, ys: Positions, xs: Positions, top: int, height: int, scratch: Scratch) -> None:
    """Advance all paths, at positions ys and xs (`LANES`,), by `CHECK` steps through the field (n, X, 2), in place.

    The first and the last of the three loops over the lanes have neither branches nor indirect access, so that the
    compiler turns them into vector instructions. Only the loop between them reads the field.

    The positions are float64. With float32 the interpolation weights do not add up to 1, and the paths of small
    symmetric cells drift away.
    """
    pixels, fractions, corners = scratch
    flows, copies = field.reshape(field.size).view(np.int64), corners.view(np.int64)  # (dy, dx) as one value
    width = field.shape[1]
    lowest, rightmost = height - 1.0, width - 1.0
    for _ in range(CHECK):
        for lane in range(LANES):
            y, x = np.int32(ys[lane]), np.int32(xs[lane])
            pixels[lane], pixels[LANES + lane] = y, x
            fractions[lane], fractions[LANES + lane] = ys[lane] - y, xs[lane] - x
        for lane in range(LANES):
            y0, x0 = pixels[lane], pixels[LANES + lane]
            x1 = min(x0 + 1, width - 1)
            upper, lower = (y0 - top) * width, (min(y0 + 1, height - 1) - top) * width
            copies[lane] = flows[np.uint64(upper + x0)]  # unsigned: no check whether it counts from the end
            copies[LANES + lane] = flows[np.uint64(upper + x1)]
            copies[2 * LANES + lane] = flows[np.uint64(lower + x0)]
            copies[3 * LANES + lane] = flows[np.uint64(lower + x1)]
        for lane in range(LANES):
            fy, fx = fractions[lane], fractions[LANES + lane]
            a, b, c, d = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
            i, j, k, n = 2 * lane, 2 * (LANES + lane), 2 * (2 * LANES + lane), 2 * (3 * LANES + lane)
            dy = a * corners[i] + b * corners[j] + c * corners[k] + d * corners[n]
            dx = a * corners[i + 1] + b * corners[j + 1] + c * corners[k + 1] + d * corners[n + 1]
            ys[lane] = min(max(ys[lane] + dy, 0.0), lowest)
            xs[lane] = min(max(xs[lane] + dx, 0.0), rightmost)


@part
def _cell_pixels(
    maps: Maps, top: int, height: int, rows: Positions, columns: Positions, threshold: float
) -> npt.NDArray[np.int32]:
    """Return the source pixels (n, 2) int32 (index in rows, index in columns) of cells; see `follow`."""
    logits = maps[:, 2]
    pixels = np.empty((len(rows) * len(columns), 2), np.int32)
    count = 0
    for i in range(len(rows)):
        for j in range(len(columns)):
            pixels[count, 0], pixels[count, 1] = i, j
            count += sample(logits, rows[i], columns[j], top, height) > threshold
    return pixels[:count]


@kernel("void(f4[:,:,::1], f4[:,:,::1], b1[:,::1], i8, i8, f8[::1], f8[::1], f8, i4[:,::1])")
def _follow(
    maps: Maps,
    field: Field,
    traps: Traps,
    top: int,
    height: int,
    rows: Positions,
    columns: Positions,
    threshold: float,
    ends: Ends,
) -> None:
    """Fill ``ends`` (len(rows), len(columns)); see `follow`.

    `LANES` paths advance together. When a path has arrived, its lane takes the next cell pixel. A path has arrived in a
    pixel that no path leaves, or where it hardly moves any more.
    """
    pixels = _cell_pixels(maps, top, height, rows, columns, threshold)
    ys, xs, before_y, before_x = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    scratch = np.empty(2 * LANES, np.int32), np.empty(2 * LANES), np.empty(8 * LANES, np.float32)
    path, steps = np.full(LANES, -1), np.full(LANES, STEPS)  # index in pixels, -1 if the lane is empty
    started, arrived = 0, 0
    while True:
        for lane in range(LANES):
            if steps[lane] >= STEPS:
                if path[lane] >= 0:
                    i, j = pixels[path[lane]]
                    ends[i, j] = (int(ys[lane]) - int(rows[i])) * maps.shape[2] + int(xs[lane])
                    arrived += 1
                ys[lane], xs[lane], path[lane] = rows[0], columns[0], -1
                if started < len(pixels):
                    i, j = pixels[started]
                    ys[lane], xs[lane], path[lane], steps[lane] = rows[i], columns[j], started, 0
                    started += 1
        if arrived == len(pixels):
            return
        before_y[:], before_x[:] = ys, xs
        _advance(field, ys, xs, top, height, scratch)
        for lane in range(LANES):
            steps[lane] += CHECK
            is_still = abs(ys[lane] - before_y[lane]) < ARRIVED and abs(xs[lane] - before_x[lane]) < ARRIVED
            if is_still or traps[int(ys[lane]) - top, int(xs[lane])]:
                steps[lane] = STEPS


def follow(
    maps: Maps,
    field: Field,
    traps: Traps,
    top: int,
    height: int,
    rows: Positions,
    columns: Positions,
    threshold: float,
    threads: int = 1,
) -> Ends:
    """Return the path ends (len(rows), len(columns)) int32 of the source pixels.

    maps: (n, 3, X) float32 (dy, dx, logit), field: (n, X, 2) float32 from `inner_field` and traps: (n, X) bool from
    `trapping`, all from row ``top`` on of a network image of ``height`` rows. rows, columns: float64, network positions
    of the source pixels.

    A path that starts in network row int(row) and ends in pixel (y, x) has the end (y - int(row)) * X + x. A pixel
    whose interpolated logit does not exceed ``threshold`` belongs to no cell and gets `NOWHERE`.

    >>> maps = np.zeros((1, 3, 4), np.float32)
    >>> maps[0, 1] = 5, 5, 0, 0  # dx: one pixel per step to the right, up to column 2
    >>> maps[0, 2] = 1, 1, 1, -1  # logit: column 3 is background
    >>> field = inner_field(maps, 0.0)
    >>> follow(maps, field, trapping(field), 0, 1, np.zeros(1), np.arange(4.0), 0.0).tolist()
    [[2, 2, 2, -2147483648]]
    """
    ends = np.full((len(rows), len(columns)), NOWHERE, np.int32)

    def work(first: int, last: int) -> None:
        _follow(maps, field, traps, top, height, rows[first:last], columns, threshold, ends[first:last])

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
    """Add path ends to the sink histogram, in place.

    ends: (rows, X) from `follow`, from source row ``first`` on; bases: (rows,) the network row int(row) in which the
    paths of each source row start. histogram: (n, X) int32 from network row ``top`` on. lowest: (height,) int32,
    updated in place: for each row of the network image, the last source row with a path that ends in it. Source rows
    must come from the top down.

    >>> histogram, lowest = np.zeros((1, 4), np.int32), np.full(1, -1, np.int32)
    >>> count_ends(np.array([[2, 2, 2, NOWHERE]], np.int32), np.zeros(1, np.int64), 7, histogram, 0, lowest)
    >>> histogram, lowest
    (array([[0, 0, 3, 0]], dtype=int32), array([7], dtype=int32))
    """
    width = histogram.shape[1]
    for i in range(ends.shape[0]):
        for j in range(ends.shape[1]):
            end = ends[i, j]
            if end != NOWHERE:
                row = bases[i] + end // width
                histogram[row - top, end % width] += 1
                lowest[row] = first + i
