"""The marker-controlled watershed, one connected component of the foreground after the other.

No path of the watershed leaves a component, so each one is flooded on its own. Of equal values, the pixel that was
reached first is flooded first; of markers of equal value, the first one in raster order. Method:
``skimage.segmentation.watershed``, in which the internal order of a heap decides between equal markers.

The pixels that have been reached wait in buckets of similar values. Only the pixels of the highest bucket are in a
heap, which therefore stays small. Those of each other bucket are in a list without order, and move to the heap when it
is empty.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import kernel, part
from ...labels.labels import Labels
from .maxima import Index
from .smooth import Map

Entries = npt.NDArray[np.int64]
"""(n, 2) int64: key and pixel of each entry of the heap, or of the lists."""
BUCKETS, SHIFT = 2048, 13
"""Number of buckets, and the logarithm of the number of float32 values in each one. The buckets reach from 0.25 to 1;
the first one holds lower values too, and the last one higher values."""
CHUNK = 32
"""A list is a chain of chunks of this many rows. The first row of a chunk has the last row of the chunk before, or -1
if there is none."""
TWO, AGE_BITS = 128 << 23, 33
"""The bits of 2.0, and the bits of an age."""


@part
def _key(level: int, age: int) -> int:
    """Return a number that is greatest for the pixel to flood first: the highest level, then the lowest age.

    level: the bits of a value, a positive float32; they are in the order of the values. age: less than 2^33.
    """
    key: int = ((level - TWO) << AGE_BITS) + (2**AGE_BITS - 1 - age)
    return key


@part
def _bucket(key: int) -> int:
    return min(max(BUCKETS + (((key >> AGE_BITS) + 2**23) >> SHIFT), 0), BUCKETS - 1)


@part
def _longer(entries: Entries) -> Entries:
    longer = np.empty((2 * len(entries), entries.shape[1]), np.int64)
    longer[: len(entries)] = entries
    return longer


@part
def _push(heap: Entries, size: int, key: int, pixel: int) -> Entries:
    """Add an entry to the heap of ``size`` entries, and return the heap, which is longer if it was full."""
    if size == len(heap):
        heap = _longer(heap)
    at = size
    while at > 0 and heap[(at - 1) // 2, 0] < key:
        above = (at - 1) // 2
        heap[at, 0], heap[at, 1] = heap[above, 0], heap[above, 1]
        at = above
    heap[at, 0], heap[at, 1] = key, pixel
    return heap


@part
def _pop(heap: Entries, size: int) -> int:
    """Remove the first of ``size`` entries of the heap and return its pixel."""
    pixel: int = heap[0, 1]
    size -= 1
    key, moved = heap[size, 0], heap[size, 1]
    at, child = 0, 1
    while child < size:
        if child + 1 < size and heap[child + 1, 0] > heap[child, 0]:
            child += 1
        if heap[child, 0] <= key:
            break
        heap[at, 0], heap[at, 1] = heap[child, 0], heap[child, 1]
        at, child = child, 2 * child + 1
    heap[at, 0], heap[at, 1] = key, moved
    return pixel


@part
def _store(lists: Entries, ends: Index, key: int, pixel: int) -> Entries:
    """Add an entry to the list of its bucket, and return the lists, which are longer if they were full.

    ends: (`BUCKETS` + 1,) the row of the last entry of each list, or -1; then the first free chunk, or -1. A free chunk
    has the next one in its first row.
    """
    bucket = _bucket(key)
    end = ends[bucket] + 1
    if end % CHUNK == 0:
        if ends[BUCKETS] < 0:
            ends[BUCKETS] = len(lists)
            lists = _longer(lists)
            for free in range(ends[BUCKETS], len(lists), CHUNK):
                lists[free, 0] = free + CHUNK if free + CHUNK < len(lists) else -1
        end = ends[BUCKETS] + 1
        ends[BUCKETS], lists[end - 1, 0] = lists[end - 1, 0], ends[bucket]
    lists[end, 0], lists[end, 1] = key, pixel
    ends[bucket] = end
    return lists


@part
def _is_front(labels: Labels, pixel: int) -> bool:
    """Return whether a neighbour of a pixel is to be flooded."""
    height, width = labels.shape
    flat = labels.reshape(-1)
    y = pixel // width
    x = pixel - y * width
    above = y > 0 and flat[pixel - width] < 0
    below = y + 1 < height and flat[pixel + width] < 0
    left = x > 0 and flat[pixel - 1] < 0
    right = x + 1 < width and flat[pixel + 1] < 0
    return bool(above or below or left or right)


@part
def _take(labels: Labels, lists: Entries, ends: Index, bucket: int, heap: Entries) -> tuple[Entries, int]:
    """Move the list of a bucket to the empty heap, and return the heap and the number of its entries.

    Pixels that have no neighbour to flood any more are left out.
    """
    size, at = 0, ends[bucket]
    while at >= 0:
        if at % CHUNK == 0:
            following = lists[at, 0]
            lists[at, 0], ends[BUCKETS] = ends[BUCKETS], at
            at = following
            continue
        if _is_front(labels, lists[at, 1]):
            heap = _push(heap, size, lists[at, 0], lists[at, 1])
            size += 1
        at -= 1
    ends[bucket] = -1
    return heap, size


@part
def _unrolled(ring: Index, first: int) -> Index:
    """Return a ring of twice the length, which starts with the entries of a full ring from the index ``first`` on."""
    longer = np.empty(2 * len(ring), np.int64)
    for k in range(len(ring)):
        longer[k] = ring[(first + k) & (len(ring) - 1)]
    return longer


@part
def _gather(
    values: Map,
    labels: Labels,
    markers: Index,
    seen: npt.NDArray[np.bool_],
    start: int,
    lowest: np.float32,
    lists: Entries,
    ends: Index,
    waiting: Index,
    sides: Entries,
) -> tuple[Entries, Index]:
    """Find the component of the marker ``start``: give its pixels minus their levels as labels, and store its markers.

    seen: (n,) the markers that have been stored; waiting: (2^k,) a ring of pixels whose neighbours have not been
    visited. Returns the lists and the ring, which are longer if they were full.
    """
    height, width = labels.shape
    flat, flat_values = labels.reshape(-1), values.reshape(-1)
    levels = flat_values.view(np.int32)
    waiting[0], seen[start] = markers[start], True
    lists = _store(lists, ends, _key(levels[markers[start]], start), markers[start])
    first, last = 0, 1
    while first < last:
        pixel = waiting[first & (len(waiting) - 1)]
        first += 1
        y = pixel // width
        x = pixel - y * width
        for k in range(len(sides)):
            v, u = y + sides[k, 0], x + sides[k, 1]
            at = v * width + u
            if not (0 <= v < height and 0 <= u < width) or flat[at] < 0 or not flat_values[at] > lowest:
                continue
            if flat[at] > 0:
                number = np.searchsorted(markers, at)
                if seen[number]:
                    continue
                seen[number] = True
                lists = _store(lists, ends, _key(levels[at], number), at)
            else:
                flat[at] = -levels[at]
            if last - first == len(waiting):
                waiting, first, last = _unrolled(waiting, first), 0, len(waiting)
            waiting[last & (len(waiting) - 1)] = at
            last += 1
    return lists, waiting


@part
def _spread(
    labels: Labels, age: int, heap: Entries, lists: Entries, ends: Index, sides: Entries
) -> tuple[Entries, Entries]:
    """Flood the pixels with negative labels from the markers in the lists, and return the heap and the lists.

    age: that of the first of these pixels.
    """
    height, width = labels.shape
    flat = labels.reshape(-1)
    size, bucket = 0, BUCKETS
    while True:
        while size == 0 and bucket > 0:
            bucket -= 1
            heap, size = _take(labels, lists, ends, bucket, heap)
        if size == 0:
            return heap, lists
        pixel = _pop(heap, size)
        size -= 1
        y = pixel // width
        x = pixel - y * width
        for k in range(len(sides)):
            v, u = y + sides[k, 0], x + sides[k, 1]
            at = v * width + u
            if not (0 <= v < height and 0 <= u < width) or flat[at] >= 0:
                continue
            key = _key(-flat[at], age)
            if _bucket(key) >= bucket:
                heap = _push(heap, size, key, at)
                size += 1
            else:
                lists = _store(lists, ends, key, at)
            flat[at] = flat[pixel]
            age += 1


@kernel("void(f4[:,::1], i4[:,::1], i8[::1], f8, i8[:,::1])")
def flood(interior: Map, labels: Labels, markers: Index, threshold: float, sides: Entries) -> None:
    """Flood the components of the foreground ``interior`` > ``threshold`` >= 0 from their markers, in place.

    labels: (Y, X) int32, the numbers 1, 2, ... of the markers, and 0 elsewhere; markers: (n,) their pixels, sorted, in
    the foreground. Afterwards each pixel of a component with a marker has the number of its cell. sides: `SIDES`.

    >>> labels = np.array([[1, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 0]], np.int32)
    >>> interior = np.array([[0.9, 0.8, 0.5, 0.7, 0.8, 0.9], [0, 0, 0, 0, 0, 0.6]], np.float32)
    >>> flood(interior, labels, np.array([0, 5]), 0.4, SIDES)
    >>> labels
    array([[1, 1, 1, 2, 2, 2],
           [0, 0, 0, 0, 0, 2]], dtype=int32)
    """
    lowest, seen = np.float32(threshold), np.zeros(len(markers), np.bool_)
    heap, waiting = np.empty((1024, 2), np.int64), np.empty(1024, np.int64)
    lists, ends = np.full((CHUNK, 2), -1), np.full(BUCKETS + 1, -1)
    ends[BUCKETS] = 0
    for start in range(len(markers)):
        if not seen[start]:
            lists, waiting = _gather(interior, labels, markers, seen, start, lowest, lists, ends, waiting, sides)
            heap, lists = _spread(labels, len(markers), heap, lists, ends, sides)


SIDES = np.array([(-1, 0), (0, -1), (0, 1), (1, 0)])
"""(4, 2): the neighbours of a pixel that share a side with it, in the order in which they are flooded."""
