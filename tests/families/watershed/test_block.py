"""One block equals these rows of the whole image, or says that it cannot be labelled alone."""

import numpy as np
import pytest

from flowmask.errors import RunError
from flowmask.families.blocks import gather, rows_to_read
from flowmask.families.watershed.block import label_block
from flowmask.families.watershed.decode import label_rows
from flowmask.options import Segmentation
from tests.reference.watershed_maps import maps_of, watershed_plan


def whole(maps, plan):
    return np.concatenate(list(label_rows([maps], plan)))


def cells_apart(shape, seed):
    """Return maps of groups of cells with background between them."""
    maps = maps_of(shape, seed, sparse=True, sigma=1.0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    maps[:2] *= ((y % 40 > 7) & (x % 30 > 5)).astype(np.float32)
    return maps


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 0.7, 1.6])
@pytest.mark.parametrize("height", [1, 7, 64, 100, 1000])
def test_blocks_are_the_rows_of_the_whole(height, scale):
    network_shape, shape = (170, 75), (int(170 * scale), int(75 * scale))
    maps, plan = cells_apart(network_shape, 3), watershed_plan(network_shape, shape, Segmentation(min_size=4))
    expected = whole(maps, plan)
    assert expected.max() > 5
    blocks = []
    for first in range(0, shape[0], height):
        core = first, min(shape[0], first + height)
        read = rows_to_read(plan, core, halo=70)
        blocks.append(label_block(maps[:, slice(*read)], plan, core, read))
    gathered = gather(blocks[::-1])
    np.testing.assert_array_equal(np.concatenate([gathered.labels(block) for block in blocks]), expected)


def test_a_block_that_needs_more_rows_says_so():
    maps, plan = maps_of((200, 60), 2), watershed_plan((200, 60), (200, 60))
    for core in ((0, 20), (90, 110), (180, 200)):
        read = rows_to_read(plan, core, halo=30)
        with pytest.raises(RunError, match="extends beyond the rows read for this block"):
            label_block(maps[:, slice(*read)], plan, core, read)


def test_a_marker_that_other_rows_can_refute_is_not_trusted():
    """The cell in the block is complete, but a ridge leads from its marker to a higher maximum far below."""
    maps = np.zeros((4, 100, 40), np.float32)
    maps[1, 10:25, 10:30] = 1
    maps[0, 17:90, 20] = 0.5
    maps[0, 17, 20], maps[0, 90, 20] = 0.55, 0.9
    plan = watershed_plan((100, 40), (100, 40))
    assert whole(maps, plan).max() == 0
    with pytest.raises(RunError, match="extends beyond the rows read"):
        label_block(maps[:, :60], plan, (0, 40), (0, 60))
    maps[0, 40:43] = 0
    core, read = (0, 40), (0, 60)
    assert len(label_block(maps[:, :60], plan, core, read).keys) == whole(maps, plan).max() == 1
