"""Interior, border and background to cells: scikit-image's watershed and SciPy's components, whole or in blocks."""

from collections import deque

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import watershed

import flowmask
from flowmask.errors import NetworkError, RunError
from flowmask.families import family_of
from flowmask.families.blocks import gather, label_rows_by_blocks, rows_to_read
from flowmask.families.semantic.border import REACH, SLAB, classes, grow, label_block, rows_around, threshold
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.options import Segmentation
from tests.reference.partition import same_partition
from tests.reference.plans import BORDERED, plan_of
from tests.reference.whole import by_first_pixel

HEIGHTS = (1, 7, 33, 64, 1000)


def smooth_classes(shape, seed=0, sigma=2.0):
    """Return probabilities (3, Y, X) of interior, border and background, of any shape and size."""
    noise = np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(one, (0, 0), sigma) for one in noise])
    scores = np.exp(3 * smooth / smooth.std())
    return (scores / scores.sum(axis=0)).astype(np.float32)


def bordered_plan(network_shape, shape, options=Segmentation()):  # noqa: B008 (frozen)
    return plan_of(network_shape, shape, options, BORDERED)


def grown_one_by_one(cells, foreground, reach):
    """The rule of growth with a queue of pixels, one after the other."""
    out, rounds = cells.copy(), np.zeros(cells.shape, int)
    waiting = deque(map(tuple, np.argwhere(cells)))
    while waiting:
        y, x = waiting.popleft()
        if rounds[y, x] == reach:
            continue
        for v, u in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
            inside = 0 <= v < out.shape[0] and 0 <= u < out.shape[1]
            if inside and foreground[v, u] and not out[v, u]:
                out[v, u], rounds[v, u] = out[y, x], rounds[y, x] + 1
                waiting.append((v, u))
    return out


def whole(maps, plan):
    """The cells of the whole image, with SciPy's components and the queue."""
    rows, read = (0, plan.shape[0]), (0, plan.network_shape[0])
    probability, interior = classes(maps, plan, rows, read)
    reach = max(1, REACH * plan.shape[0] // plan.network_shape[0])
    cells = grown_one_by_one(ndimage.label(interior)[0], probability > threshold(plan), reach)
    small = np.bincount(cells.ravel()) < plan.options.min_size
    small[0] = True
    return by_first_pixel(np.where(small[cells], 0, cells))


CASES = {
    "scale 1": ((200, 80), (200, 80), Segmentation(min_size=0)),
    "smaller for the network": ((101, 40), (231, 93), Segmentation(cellprob_threshold=-0.5)),
    "larger for the network": ((251, 97), (107, 47), Segmentation(min_size=30)),
    "much larger for the network": ((400, 100), (16, 9), Segmentation(min_size=0)),
    "one row": ((1, 90), (1, 90), Segmentation(min_size=2)),
    "one column": ((90, 1), (90, 1), Segmentation(min_size=2)),
    "one pixel": ((1, 1), (1, 1), Segmentation(min_size=0, cellprob_threshold=-20)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_blocks_of_any_height_give_the_cells_of_the_whole(case):
    network_shape, shape, options = CASES[case]
    maps, plan = smooth_classes(network_shape, 5), bordered_plan(network_shape, shape, options)
    expected = whole(maps, plan)
    assert expected.max() > 3 or min(shape) < 10
    for height in HEIGHTS:
        parts = (maps[:, top : top + 23] for top in range(0, network_shape[0], 23))
        blocks = label_rows_by_blocks(parts, plan, label_block, rows_around(plan), height)
        np.testing.assert_array_equal(np.concatenate(list(blocks)), expected, err_msg=f"{height} rows")
    table = CellTableBuilder()
    found = np.concatenate(list(family_of(BORDERED).label_rows([maps], plan, table)))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(table.table().area, np.bincount(expected.ravel())[1:])


def test_blocks_in_any_order_give_the_same_ids():
    maps, plan = smooth_classes((200, 60), 4), bordered_plan((200, 60), (200, 60))
    blocks = []
    for first in range(0, 200, 30):
        core = first, min(200, first + 30)
        read = rows_to_read(plan, core, rows_around(plan))
        blocks.append(label_block(maps[:, slice(*read)], plan, core, read))
    expected = whole(maps, plan)
    for order in (blocks, blocks[::-1], blocks[1::2] + blocks[::2]):
        cells = gather(order, 15, join=True)
        np.testing.assert_array_equal(np.concatenate([cells.labels(one) for one in blocks]), expected)


def steps_to(cell, free, reach):
    """Return how many steps over free pixels lead from a cell to each pixel; more than ``reach`` where none do."""
    steps, near = np.where(cell, 0, reach + 1), cell
    for step in range(1, reach + 1):
        wider = ndimage.binary_dilation(near, mask=free | cell)
        steps[wider & ~near] = step
        near = wider
    return steps


def test_cells_grow_as_in_a_watershed_of_scikit_image():
    """Equal distances, where the order decides, apart: there the cell is one of the nearest."""
    maps, plan = smooth_classes((150, 100), 7), bordered_plan((150, 100), (150, 100))
    probability, interior = classes(maps, plan, (0, 150), (0, 150))
    foreground = probability > 0.5
    cells, count = ndimage.label(interior)
    found = grow(cells.astype(np.int32), foreground, REACH)
    steps = np.stack([steps_to(cells == cell, foreground & ~interior, REACH) for cell in range(1, count + 1)])
    nearest = steps.min(axis=0)
    np.testing.assert_array_equal(found > 0, nearest <= REACH)
    own = np.take_along_axis(steps, np.maximum(found - 1, 0)[None].astype(int), axis=0)[0]
    np.testing.assert_array_equal(own[found > 0], nearest[found > 0])
    flooded = watershed(np.zeros(found.shape), cells, mask=found > 0)
    clear = (found > 0) & ((steps == nearest).sum(axis=0) == 1)
    assert np.count_nonzero(clear & ~interior) > 1000
    np.testing.assert_array_equal(found[clear], flooded[clear])


def test_cells_that_touch_are_parted_and_fill_their_foreground():
    """Two squares side by side: one component of the foreground, two of the interior."""
    truth = np.zeros((40, 60), np.int32)
    truth[5:35, 5:30], truth[5:35, 30:55] = 1, 2
    maps = np.zeros((3, 40, 60), np.float32)
    border = (truth > 0) & (np.abs(np.arange(60) - 29.5) < 3)
    maps[0], maps[1], maps[2] = (truth > 0) & ~border, border, truth == 0
    for height in HEIGHTS:
        plan = bordered_plan((40, 60), (40, 60))
        blocks = label_rows_by_blocks([maps], plan, label_block, rows_around(plan), height)
        np.testing.assert_array_equal(np.concatenate(list(blocks)), truth)


def test_foreground_that_no_interior_reaches_is_background():
    maps = np.zeros((3, 30, 60), np.float32)
    maps[1, 10:20, :40] = 0.9
    maps[:, 10:20, :5] = np.array([0.8, 0.1, 0.1])[:, None, None]
    plan = bordered_plan((30, 60), (30, 60), Segmentation(min_size=0))
    read = (0, 30)
    block = label_block(maps, plan, read, read)
    labels = gather([block], join=True).labels(block)
    assert len(block.keys) == 2  # the parts in two slabs
    assert labels.max() == 1
    assert sorted(set(np.nonzero(labels)[1])) == list(range(5 + REACH))


def test_the_key_of_a_part_does_not_depend_on_the_block():
    maps, plan = smooth_classes((120, 50), 2), bordered_plan((120, 50), (120, 50), Segmentation(min_size=0))
    _, interior = classes(maps, plan, (0, 120), (0, 120))
    expected = set()
    for top in range(0, 120, SLAB):
        slab, _ = ndimage.label(interior[top : top + SLAB])
        ids, first = np.unique(slab, return_index=True)
        expected |= set((first[ids > 0] + top * 50).tolist())
    for core in ((0, 120), (13, 14), (50, 91)):
        read = rows_to_read(plan, core, rows_around(plan))
        assert set(label_block(maps[:, slice(*read)], plan, core, read).keys.tolist()) <= expected


def test_a_block_without_the_rows_around_it_is_refused():
    maps, plan = smooth_classes((120, 50), 2), bordered_plan((120, 50), (120, 50))
    with pytest.raises(RunError, match="can extend beyond the rows read for this block"):
        label_block(maps[:, 40:80], plan, (40, 80), (40, 80))


class TwoClasses:
    """A network that sees the first channel: bright is interior, grey is border."""

    contract = BORDERED
    gpu_memory = None
    count = 1

    def maps(self, tiles):
        grey = tiles[:, :1]
        interior, border = (grey > 0.8).astype(np.float32), ((grey > 0.3) & (grey <= 0.8)).astype(np.float32)
        return np.concatenate([interior, border, 1 - interior - border], axis=1)


def test_an_image_from_pixels_to_cells():
    image = np.zeros((90, 130), np.uint8)
    image[20:70, 20:110] = 250
    image[20:70, 63:67] = 125
    result = flowmask.segment(image, TwoClasses())
    assert len(result.cells) == 2
    expected = np.zeros(image.shape, int)
    expected[20:70, 20:65], expected[20:70, 65:110] = 1, 2
    assert same_partition(result.labels, expected)


def test_a_network_with_two_map_channels_is_refused():
    plan = bordered_plan((20, 20), (20, 20))
    with pytest.raises(NetworkError, match="1 or 3 map channels and this one has 2"):
        family_of(BORDERED).label_block(np.zeros((2, 20, 20), np.float32), plan, (0, 20), (0, 20))
