"""The dynamics of a whole image at once, with SciPy: slow, and sharing no more with the engine than path following."""

import numpy as np
from scipy import ndimage

from flowmask.families.flow.follow import NOWHERE, follow, inner_field, trapping
from flowmask.families.flow.masks import GROWTH, PEAK, SEED_PIXELS, SPREAD_PIXELS
from flowmask.families.flow.targets import labels_to_flows
from flowmask.tiles.rescale import positions


def whole_labels(maps, shape, options):
    """Return the labels (Y, X) int32 of maps (3, y, x) for an image of ``shape``, numbered by first pixel."""
    height, width = maps.shape[1:]
    rows, columns = positions(0, shape[0], shape[0], height), positions(0, shape[1], shape[1], width)
    threshold, by_row = options.cellprob_threshold, np.ascontiguousarray(maps.transpose(1, 0, 2))
    field = inner_field(by_row, threshold)
    ends = follow(by_row, field, trapping(field), 0, height, rows, columns, threshold).astype(np.int64)
    inside = ends != NOWHERE
    ends = ends + rows.astype(np.int64)[:, None] * width
    pile = np.bincount(ends[inside], minlength=height * width).reshape(height, width)
    area = height * width / (shape[0] * shape[1])
    basin_of = basins(pile, SEED_PIXELS / area, SPREAD_PIXELS / area)
    labels = np.zeros(shape, np.int32)
    labels[inside] = basin_of.ravel()[ends[inside]]
    labels = _without(labels, np.bincount(labels.ravel()) < options.min_size)
    if options.flow_threshold:
        grid = np.meshgrid(rows, columns, indexing="ij")
        seen = [ndimage.map_coordinates(m.astype(np.float64), grid, order=1) / 5 for m in maps[:2]]
        apart = sum((true - found) ** 2 for true, found in zip(labels_to_flows(labels), seen, strict=True))
        present = np.unique(labels)
        errors = np.zeros(labels.max() + 1)
        errors[present] = ndimage.mean(apart, labels, present)
        labels = _without(labels, errors > options.flow_threshold)
    return _filled(by_first_pixel(labels))


def basins(pile, least_seed, least):
    rank = np.lexsort((-np.arange(pile.size), pile.ravel())).argsort().reshape(pile.shape) + 1
    highest = ndimage.maximum_filter(rank, 2 * PEAK + 1, mode="constant") == rank
    seeds = np.argwhere(highest & (pile > least_seed))
    basins = np.zeros(pile.shape, np.int32)
    order = np.argsort(pile[tuple(seeds.T)], kind="stable")
    for number, (y, x) in enumerate(seeds[order], 1):
        near = np.s_[max(0, y - GROWTH) : y + GROWTH + 1, max(0, x - GROWTH) : x + GROWTH + 1]
        seed = np.zeros(pile.shape, bool)
        seed[y, x] = True
        grown = ndimage.binary_dilation(seed[near], np.ones((3, 3)), GROWTH, mask=pile[near] > least)
        basins[near][grown] = number
    return basins


def _without(labels, dropped):
    dropped = np.resize(dropped, labels.max() + 1)
    dropped[0] = False
    return np.where(dropped[labels], 0, labels)


def by_first_pixel(labels):
    ids, first = np.unique(labels, return_index=True)
    ids, first = ids[ids > 0], first[ids > 0]
    numbers = np.zeros(labels.max() + 1, np.int32)
    numbers[ids[np.argsort(first)]] = np.arange(1, len(ids) + 1)
    return numbers[labels]


def _filled(labels):
    for number in range(1, labels.max() + 1):
        hole = ndimage.binary_fill_holes(labels == number) & (labels == 0)
        labels[hole] = number
    return labels
