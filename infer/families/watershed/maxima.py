"""The h-maxima of the inner distance in nearly linear time, from rows that arrive from the top down.

Method. Every pixel belongs to the basin of the peak that it reaches by steepest ascent. Two basins that touch are
joined by an edge, whose saddle is the highest level at which a path leads from one to the other there. Two pixels lie
in one connected part of the image above a level exactly if edges with higher saddles connect their peaks. So the edges
decide which peaks are h-maxima, and of the edges only a maximum spanning forest is needed. The definition is that of
``skimage.morphology.h_maxima``, with its roundings: a pixel of value I is an h-maximum if no path leads from it to a
pixel that is higher (by more than 2e-6 of it) on which all values are higher than I - h. No value is negative.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import kernel, part
from ...system.rolling import Rolling
from .constants import REACH
from .smooth import Map

Index = npt.NDArray[np.int64]
"""(n,): pixels, as row * X + column in the whole image."""
Nodes = npt.NDArray[np.int32]
"""Numbers of basins."""
TOLERANCE = 2e-6
"""Relative difference up to which two values count as equal: twice NumPy's resolution of float32."""
LEAST = 0.9
"""A pixel below this fraction of h is never an h-maximum: the whole image would be lower than h above its minimum."""
FORWARD = np.array([(0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)])
BACKWARD = -FORWARD[::-1]
DISK = np.concatenate([BACKWARD, FORWARD])
"""(12, 2): the neighbours of a pixel within the distance `REACH`, in raster order."""


@part
def _lowered(value: np.float32, h: np.float32) -> np.float32:
    """Return what scikit-image reconstructs from: the value minus h and minus the tolerance."""
    return np.float32(np.float32(value - h) - np.float32(np.float32(TOLERANCE) * abs(value)))


@part
def _parents(values: Map, first: int, last: int, disk: Index) -> Index:
    """Return for each pixel of the rows first..last-1 its highest neighbour, or itself: (n * X,) in ``values``.

    Of equal values the first one counts as the highest. Pixels of value 0 get -1.
    """
    height, width = values.shape
    parents = np.full((last - first) * width, -1, np.int64)
    for y in range(first, last):
        for x in range(width):
            best = values[y, x]
            if best <= 0:
                continue
            at = y * width + x
            for k in range(len(disk)):
                v, u = y + disk[k, 0], x + disk[k, 1]
                if 0 <= v < height and 0 <= u < width:
                    value = values[v, u]
                    if value > best or (value == best and v * width + u < at):
                        best, at = value, v * width + u
            parents[(y - first) * width + x] = at
    return parents


@kernel("i8[:,::1](f4[:,::1], i4[:,::1], i8, i8, i8[:,::1], f8)")
def candidates(values: Map, nodes: Nodes, first: int, last: int, disk: Index, h: float) -> Index:
    """Return the pixels of the rows first..last-1 that may be h-maxima: (n, 2) index in ``values``, node.

    No neighbour is higher than such a pixel by more than the tolerance.

    >>> nodes = np.array([[0, 0, 1, -1, 1]], np.int32)
    >>> candidates(np.array([[0.5, 0.9, 0.2, 0.0, 0.7]], np.float32), nodes, 0, 1, DISK, 0.1)
    array([[1, 0],
           [4, 1]])
    """
    height, width = values.shape
    depth = np.float32(h)
    found = []
    for y in range(first, last):
        for x in range(width):
            value = values[y, x]
            if nodes[y, x] < 0 or value < np.float32(LEAST) * depth:
                continue
            best = value
            for k in range(len(disk)):
                v, u = y + disk[k, 0], x + disk[k, 1]
                if 0 <= v < height and 0 <= u < width:
                    best = max(best, values[v, u])
            if np.float32(value - _lowered(best, depth)) >= depth:
                found.append((y * width + x, nodes[y, x]))
    pixels = np.empty((len(found), 2), np.int64)
    for number, (pixel, node) in enumerate(found):
        pixels[number, 0], pixels[number, 1] = pixel, node
    return pixels


@kernel("f4[::1](f4[:,::1], i4[:,::1], i8, i8, i8[:,::1], i8, i8[::1])")
def climb(values: Map, nodes: Nodes, first: int, last: int, disk: Index, count: int, alias: Index) -> Map:
    """Find the basin of every pixel in the rows first..last-1; fill these rows of ``nodes``.

    values, nodes: (n, X); nodes are known above ``first``, and below where another pixel has climbed there; elsewhere
    they are -1. A path that leaves the rows at the bottom ends in a preliminary basin; when its end is known, ``alias``
    (for all nodes) tells the number of the true one. count: nodes so far. Returns the peak of every new node; 0 if it
    is preliminary.

    >>> nodes = np.full((1, 5), -1, np.int32)
    >>> values = np.array([[0.5, 0.9, 0.2, 0.0, 0.7]], np.float32)
    >>> climb(values, nodes, 0, 1, DISK, 0, np.zeros(0, np.int64)), nodes
    (array([0.9, 0.7], dtype=float32), array([[ 0,  0,  0, -1,  1]], dtype=int32))
    """
    width = values.shape[1]
    parents = _parents(values, first, last, disk)
    start, end = first * width, last * width
    flat, flat_values = nodes.reshape(-1), values.reshape(-1)
    peaks = np.zeros(len(parents) + 2 * width, np.float32)
    before = count
    resolved = np.zeros(len(parents), np.bool_)
    path = np.empty(len(parents), np.int64)
    for begin in range(start, end):
        if parents[begin - start] < 0 or resolved[begin - start]:
            continue
        length, at = 0, begin
        while start <= at < end and not resolved[at - start] and parents[at - start] != at:
            path[length] = at
            length += 1
            at = parents[at - start]
        if start <= at < end and not resolved[at - start]:
            path[length] = at
            length += 1
            node = count
            peaks[count - before] = flat_values[at]
            count += 1
        else:
            if flat[at] < 0:
                flat[at] = count
                count += 1
            node = flat[at]
        for step in range(length):
            pixel = path[step]
            if flat[pixel] >= 0:
                alias[flat[pixel]] = node
            flat[pixel] = node
            resolved[pixel - start] = True
    return peaks[: count - before].copy()


@kernel("i8[:,::1](f4[:,::1], i4[:,::1], i8, i8, i8[:,::1])")
def touching(values: Map, nodes: Nodes, first: int, last: int, backward: Index) -> Index:
    """Return the edges (n, 4) from pixels of the rows first..last-1 to earlier neighbours in other basins.

    An edge is a basin, the other basin, and the indices in ``values`` of a pixel of each; the lower of the two pixels
    is the saddle.

    >>> values, nodes = np.array([[0.9, 0.2, 0.3, 0.7]], np.float32), np.array([[0, 0, 1, 1]], np.int32)
    >>> touching(values, nodes, 0, 1, BACKWARD)
    array([[1, 0, 2, 0],
           [1, 0, 3, 1]])
    """
    width = values.shape[1]
    found = []
    for y in range(first, last):
        for x in range(width):
            node, other, best, at = nodes[y, x], -1, np.float32(-1), -1
            for k in range(len(backward)):
                v, u = y + backward[k, 0], x + backward[k, 1]
                if node < 0 or v < 0 or not 0 <= u < width or nodes[v, u] < 0 or nodes[v, u] == node:
                    continue
                if nodes[v, u] != other:
                    if other >= 0:
                        found.append((node, other, y * width + x, at))
                    other, best, at = nodes[v, u], values[v, u], v * width + u
                elif values[v, u] > best:
                    best, at = values[v, u], v * width + u
            if other >= 0:
                found.append((node, other, y * width + x, at))
    edges = np.empty((len(found), 4), np.int64)
    for number, (node, other, pixel, neighbour) in enumerate(found):
        edges[number, 0], edges[number, 1], edges[number, 2], edges[number, 3] = node, other, pixel, neighbour
    return edges


@part
def _root(forest: Nodes, node: int) -> int:
    while forest[node] != node:
        forest[node] = forest[forest[node]]
        node = forest[node]
    return node


@kernel("b1[::1](i4[:,::1], i8[::1], i4[::1])")
def spanning(edges: Nodes, order: Index, forest: Nodes) -> npt.NDArray[np.bool_]:
    """Return which edges (n, 2) belong to the maximum spanning forest; order: the edges by falling saddle.

    forest: (nodes,) int32, used as working memory. Method: Kruskal's algorithm.

    >>> edges = np.array([[0, 1], [1, 2], [0, 2]], np.int32)
    >>> spanning(edges, np.array([2, 0, 1]), np.zeros(3, np.int32))
    array([ True, False,  True])
    """
    in_forest = np.zeros(len(edges), np.bool_)
    for number in range(len(edges)):
        forest[edges[number, 0]], forest[edges[number, 1]] = edges[number, 0], edges[number, 1]
    for number in order:
        a, b = _root(forest, edges[number, 0]), _root(forest, edges[number, 1])
        if a != b:
            forest[b] = a
            in_forest[number] = True
    return in_forest


@kernel("b1[::1](f4[::1], i4[:,::1], f4[::1], f4[::1], i8[::1], f8)")
def decide(peaks: Map, edges: Nodes, levels: Map, values: Map, owners: Index, h: float) -> npt.NDArray[np.bool_]:
    """Return which of the candidates are h-maxima, (n,) bool.

    peaks: (nodes,) float32. edges, levels: (m, 2) and (m,) by falling level. values, owners: (n,) value and node of
    each candidate.

    >>> peaks, edges = np.array([0.9, 0.7], np.float32), np.array([[0, 1]], np.int32)
    >>> for saddle in (0.5, 0.65):
    ...     print(decide(peaks, edges, np.array([saddle], np.float32), peaks, np.array([0, 1]), 0.1))
    [ True  True]
    [ True False]
    """
    depth = np.float32(h)
    accepted = np.ones(len(values), np.bool_)
    head, following = np.full(len(peaks), -1, np.int64), np.full(len(values), -1, np.int64)
    highest = np.float32(0)
    for node in range(len(peaks)):
        highest = max(highest, peaks[node])
    for number in range(len(values)):
        node = owners[number]
        own = min(values[number], _lowered(peaks[node], depth))  # reconstructed from the peak of its basin
        far = min(np.float32(0), _lowered(highest, depth))  # and from the highest pixel, along a path of any values
        if np.float32(values[number] - max(own, far)) < depth:
            accepted[number] = False
        else:
            following[number], head[node] = head[node], number
    forest, top = np.arange(len(peaks)).astype(np.int32), peaks.copy()
    for edge in range(len(edges)):
        low, high = _root(forest, edges[edge, 0]), _root(forest, edges[edge, 1])
        if low == high:
            continue
        if top[low] > top[high]:
            low, high = high, low
        forest[low] = high
        level = min(levels[edge], _lowered(top[high], depth))
        number = head[low]
        while number >= 0:
            rest = following[number]
            if np.float32(values[number] - level) < depth:
                accepted[number] = False
            elif np.float32(values[number] - levels[edge]) < depth:
                following[number], head[high] = head[high], number
            number = rest
    return accepted


@kernel("i4[::1](i8[::1], i8)")
def label_pixels(pixels: Index, width: int) -> Nodes:
    """Return the numbers 1, 2, ... (n,) int32 of the 8-connected groups of sorted pixels, in order of first pixels.

    >>> label_pixels(np.array([0, 2, 4, 5]), 3)  # rows "#.#" and ".##"
    array([1, 1, 1, 1], dtype=int32)
    """
    forest = np.arange(len(pixels)).astype(np.int32)
    for number in range(len(pixels)):
        y, x = pixels[number] // width, pixels[number] % width
        for v, u in ((y - 1, x - 1), (y - 1, x), (y - 1, x + 1), (y, x - 1)):
            if v >= 0 and 0 <= u < width:
                at = np.searchsorted(pixels, v * width + u)
                if pixels[at] == v * width + u:
                    a, b = _root(forest, number), _root(forest, at)
                    forest[max(a, b)] = min(a, b)
    labels = np.zeros(len(pixels), np.int32)
    count = 0
    for number in range(len(pixels)):
        root = _root(forest, number)
        if root == number:
            count += 1
            labels[number] = count
        else:
            labels[number] = labels[root]
    return labels


class Maxima:
    """The h-maxima of a map whose rows are added from the top down.

    >>> maxima = Maxima(5, 0.1)
    >>> maxima.add(np.array([[0.5, 0.9, 0.2, 0.0, 0.7]], np.float32))
    >>> maxima.pixels()
    array([1, 4])
    """

    def __init__(self, width: int, h: float) -> None:
        self.width, self.h = width, h
        self.values = Rolling(width, np.float32)
        self.nodes = Rolling(width, np.int32)
        self.climbed = 0
        """Rows whose basins are known."""
        self.peaks = [np.zeros(0, np.float32)]
        self.alias = np.zeros(0, np.int64)
        """For each node itself, or the node that it turned out to be."""
        self.edges, self.levels = [np.zeros((0, 2), np.int32)], [np.zeros(0, np.float32)]
        self.candidates = [np.zeros(0, np.int64)]
        self.owners, self.heights = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        self.low, self.high = np.float32(np.inf), np.float32(-np.inf)
        """Smallest and largest value."""

    def add(self, rows: Map) -> None:
        """Add the next rows (n, X) float32 of the map; values must not be negative."""
        self.values.append(rows)
        self.nodes.append(np.full(rows.shape, -1, np.int32))
        self.low, self.high = min(self.low, rows.min()), max(self.high, rows.max())
        self._climb(self.values.bottom - REACH)

    def pixels(self) -> Index:
        """Return the h-maxima in raster order, when all rows have been added."""
        self._climb(self.values.bottom)
        if np.float32(self.h) > self.high - self.low:
            return np.zeros(0, np.int64)
        edges, levels = self._true(np.concatenate(self.edges)), np.concatenate(self.levels)
        order = np.argsort(-levels, kind="stable")
        owners = self._true(np.concatenate(self.owners))
        values, peaks = np.concatenate(self.heights), np.concatenate(self.peaks)
        accepted = decide(peaks, edges[order].astype(np.int32), levels[order], values, owners, self.h)
        return np.sort(np.concatenate(self.candidates)[accepted])

    def _climb(self, last: int) -> None:
        """Find the basins of all rows above ``last``, and the edges between them."""
        first = self.climbed
        if last <= first:
            return
        top, bottom = self.values.top, self.values.bottom
        values, nodes = self.values.rows(top, bottom), self.nodes.rows(top, bottom)
        count = len(self.alias)
        self.peaks.append(climb(values, nodes, first - top, last - top, DISK, count, self.alias))
        self.alias = np.concatenate([self.alias, np.arange(count, count + len(self.peaks[-1]))])
        pixels, owners = candidates(values, nodes, first - top, last - top, DISK, self.h).T
        self.candidates.append(pixels + top * self.width)
        self.heights.append(values.reshape(-1)[pixels])
        self.owners.append(owners)
        found = touching(values, nodes, first - top, last - top, BACKWARD)
        edges, levels = found[:, :2].astype(np.int32), values.reshape(-1)[found[:, 2:]].min(axis=1)
        order = np.argsort(-levels, kind="stable")
        in_forest = spanning(edges, order, np.zeros(len(self.alias), np.int32))
        self.edges.append(edges[in_forest])
        self.levels.append(levels[in_forest])
        self.climbed = last
        self.values.drop(last - REACH)
        self.nodes.drop(last - REACH)

    def _true(self, nodes: npt.NDArray[np.int32] | Index) -> Index:
        """Return the true basins of nodes, some of which may be preliminary."""
        alias = self.alias
        while not np.array_equal(alias, alias[alias]):
            alias = alias[alias]
        return alias[nodes]
