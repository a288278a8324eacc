"""Random detections for tests of the boxes family, and their labels from the definition."""

import numpy as np
from scipy.ndimage import map_coordinates

from flowmask.families.boxes.detections import to_maps
from flowmask.options import Segmentation
from tests.reference.plans import BOXES, plan_of
from tests.reference.whole import by_first_pixel


def numbers_of(network_shape, seed, density=0.3, largest=40):
    """Return the numbers (Y / 8, X / 8, 832) float32 of detections: blobs of many sizes that overlap a lot."""
    rng = np.random.default_rng(seed)
    squares = tuple(-(-length // 8) for length in network_shape)
    numbers = np.zeros((*squares, 832), np.float32)
    for y, x in zip(*np.nonzero(rng.random(squares) < density), strict=True):
        centre, half = rng.uniform(0, 8, 2), rng.uniform(4, largest / 2, 2) * rng.uniform(0.7, 1, 2)
        numbers[y, x, :2] = np.sort(rng.uniform(0.05, 1, 2))[::-1].round(2)  # many are equal
        numbers[y, x, 2:6] = *(centre - half), *(centre + half)
        v, u = (np.mgrid[:28, :28] + 0.5) / 14 - 1
        angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.5, 1)
        a, b = v * np.cos(angle) + u * np.sin(angle), u * np.cos(angle) - v * np.sin(angle)
        numbers[y, x, 6:790] = 1 / (1 + np.exp(8 * (a**2 + (b / ratio) ** 2 - 0.8).ravel()))
    return numbers


def boxes_plan(network_shape, shape, options=Segmentation()):  # noqa: B008 (frozen)
    return plan_of(network_shape, shape, options, BOXES)


def iou(a, b):
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(height, 0) * max(width, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def nms_by_definition(boxes, order, threshold):
    """Return the boxes that stay, one after the other."""
    selected = []
    for cell in order:
        if all(iou(boxes[cell], boxes[other]) <= threshold for other in selected):
            selected.append(cell)
    return sorted(selected)


def mask_by_scipy(box, mask, shape):
    """Return the mask (28, 28) stretched to its box in px, (Y, X), by SciPy's interpolation."""
    at = [
        (np.arange(length) + 0.5 - box[axis]) / (box[axis + 2] - box[axis]) * 28 - 0.5
        for axis, length in enumerate(shape)
    ]
    grid = np.meshgrid(*at, indexing="ij")
    values = map_coordinates(mask.astype(float), grid, order=1, mode="grid-constant", cval=0)
    rows, columns = ((axis >= -0.5) & (axis < 27.5) for axis in at)
    return values * rows[:, None] * columns


def labels_by_definition(numbers, shape, factors, options):
    """Return the labels (Y, X) of detections: NMS, then masks in the order of their scores."""
    y, x = np.nonzero(numbers[..., 0] > 0)
    values = numbers[y, x].astype(float)
    boxes = values[:, 2:6] + np.stack([y, x, y, x], axis=1) * 8
    order = sorted(range(len(y)), key=lambda n: (-values[n, 0], n))
    selected = [n for n in nms_by_definition(boxes, order, 0.6) if values[n, 1] >= options.score_threshold]
    labels = np.zeros(shape, np.int64)
    probability = 1 / (1 + np.exp(-options.cellprob_threshold))
    for n in sorted(selected, key=lambda n: (-values[n, 1], n), reverse=True):
        mask = np.rint(values[n, 6:790].reshape(28, 28) * 255)
        labels[mask_by_scipy(boxes[n] * [*factors, *factors], mask, shape) >= 255 * probability] = n + 1
    small = np.bincount(labels.ravel()) < options.min_size
    return by_first_pixel(np.where(small[labels], 0, labels))


__all__ = ["boxes_plan", "labels_by_definition", "mask_by_scipy", "nms_by_definition", "numbers_of", "to_maps"]
