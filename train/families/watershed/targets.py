"""The targets of watershed networks: inner and outer distance, and the classes interior, border and background."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from train.data.augment import Array


def inner_distance(labels: npt.NDArray[np.int32], beta: float, squared: bool) -> Array:
    """Return the inner distance (Y, X) float32: 1 at the centre of a cell, less towards its border, 0 outside cells.

    It is 1 / (1 + beta r / sqrt(A)), where r is the distance from the centre of the cell in px and A its area in px.
    This is the formula of the papers, Greenwald et al. 2022, doi:10.1038/s41587-021-01094-0. ``squared``: r squared
    instead of r, as in their software (``inner_distance_transform_2d`` of deepcell). The centre is the mean position of
    the pixels of the cell, weighted by their distance from the background.

    >>> inner_distance(np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]], np.int32), 1.0, True)[1].round(3)
    array([0.   , 0.634, 1.   , 0.634, 0.   ], dtype=float32)
    """
    cells = labels > 0
    ids, weights = labels[cells], ndimage.distance_transform_edt(cells)[cells]
    if cells.all():  # no background: all pixels count the same
        weights = np.ones(len(ids))
    positions = np.nonzero(cells)
    totals, areas = np.bincount(ids, weights), np.bincount(ids)
    away = np.zeros(len(ids))
    for axis in positions:
        centres = np.bincount(ids, weights * axis) / np.maximum(totals, 1e-9)
        away += (axis - centres[ids]) ** 2
    reach = away if squared else np.sqrt(away)
    distance = np.zeros(labels.shape, np.float32)
    distance[cells] = 1 / (1 + beta * reach / np.sqrt(areas[ids]))
    return distance


def pixelwise(labels: npt.NDArray[np.int32]) -> Array:
    """Return the classes (3, Y, X) float32, 1 where a pixel is interior, border or background, otherwise 0.

    A pixel of a cell is border if one of its four neighbours is not of the cell. Method: ``find_boundaries`` of
    scikit-image with the mode "inner", as in deepcell.

    >>> pixelwise(np.array([[0, 1, 1, 1, 2, 2]], np.int32)).astype(int).tolist()
    [[[0, 0, 1, 0, 0, 1]], [[0, 1, 0, 1, 1, 0]], [[1, 0, 0, 0, 0, 0]]]
    """
    padded = np.pad(labels, 1, "edge")
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    border = (labels > 0) & np.any([other != labels for other in around], axis=0)
    return np.stack([(labels > 0) & ~border, border, labels == 0]).astype(np.float32)


def outer_distance(labels: npt.NDArray[np.int32]) -> Array:
    """Return the outer distance (Y, X) float32: 1 where a cell is deepest, less towards the background, 0 outside.

    It is the distance from the background, divided by its largest value in the cell. Method:
    ``outer_distance_transform_2d`` of deepcell, without its erosion.

    >>> outer_distance(np.array([[0, 1, 1, 1, 2, 0]], np.int32))[0]
    array([0. , 0.5, 1. , 1. , 1. , 0. ], dtype=float32)
    """
    cells = labels > 0
    if cells.all():
        return np.ones(labels.shape, np.float32)  # no background: its distance is not known
    depth = ndimage.distance_transform_edt(cells)
    deepest = np.zeros(int(labels.max()) + 1)
    np.maximum.at(deepest, labels, depth)
    return np.where(cells, depth / np.maximum(deepest[labels], 1), 0).astype(np.float32)
