"""Detections to labels: the definition, whole or in rows of any number, and tiles of a network."""

import cv2
import numpy as np
import pytest

import flowmask
from flowmask.errors import RunError, SettingsError
from flowmask.families.blocks import gather, rows_to_read
from flowmask.families.boxes.block import label_block
from flowmask.families.boxes.decode import label_rows
from flowmask.families.boxes.family import FAMILY, HALO
from flowmask.families.boxes.paste import paste
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.options import Runtime, Segmentation
from flowmask.tiles.rescale import network_length
from tests.reference.detections import boxes_plan, labels_by_definition, mask_by_scipy, numbers_of, to_maps
from tests.reference.plans import BOXES
from tests.reference.whole import by_first_pixel

HEIGHTS = (1, 7, 64, 100, 1000)
CASES = {
    "scale 1": ((160, 96), (160, 96), Segmentation(min_size=0)),
    "larger for the network": ((160, 96), (100, 60), Segmentation(min_size=20, score_threshold=0.5)),
    "smaller for the network": ((96, 64), (150, 100), Segmentation(min_size=40, cellprob_threshold=1.0)),
    "not a multiple of 8": ((93, 61), (93, 61), Segmentation(score_threshold=0.0, cellprob_threshold=-1.0)),
}


def in_parts(maps, rows):
    return (maps[:, top : top + rows] for top in range(0, maps.shape[1], rows))


def whole(maps, plan, table=None):
    return np.concatenate(list(label_rows([maps], plan, table)))


@pytest.mark.parametrize("case", CASES)
def test_labels_are_those_of_the_definition(case):
    network_shape, shape, options = CASES[case]
    numbers, plan = numbers_of(network_shape, 4), boxes_plan(network_shape, shape, options)
    factors = [length / network_length(length, plan.scale) for length in shape]
    expected = labels_by_definition(numbers, shape, factors, options)
    assert expected.max() > 8
    np.testing.assert_array_equal(whole(to_maps(numbers), plan), expected)


@pytest.mark.parametrize("case", CASES)
def test_rows_in_parts_of_any_height_give_the_labels_of_the_whole(case):
    network_shape, shape, options = CASES[case]
    maps, plan = to_maps(numbers_of(network_shape, 5)), boxes_plan(network_shape, shape, options)
    table = CellTableBuilder()
    expected = whole(maps, plan, table)
    assert expected.max() > 8
    assert table.candidates == expected.max() + table.too_small
    for height in HEIGHTS:
        other = CellTableBuilder()
        parts = list(label_rows(in_parts(maps, height), plan, other, height))
        assert [len(part) for part in parts[:-1]] == [height] * (len(parts) - 1)
        np.testing.assert_array_equal(np.concatenate(parts), expected, err_msg=f"{height} rows")
        for name, values in table.table().columns().items():
            np.testing.assert_array_equal(other.table().columns()[name], values, err_msg=name)
    rows = FAMILY.label_rows(in_parts(maps, 50), plan, CellTableBuilder())
    np.testing.assert_array_equal(np.concatenate(list(rows)), expected)


@pytest.mark.parametrize("height", HEIGHTS)
def test_blocks_are_the_rows_of_the_whole(height):
    """The boxes lie in groups, so that no group reaches from a block to rows that are not read."""
    network_shape, shape = (400, 64), (360, 58)
    numbers = numbers_of(network_shape, 3, largest=20)
    numbers[::4] = 0
    maps, plan = to_maps(numbers), boxes_plan(network_shape, shape, Segmentation(min_size=4))
    expected = whole(maps, plan)
    assert expected.max() > 30
    blocks = []
    for first in range(0, shape[0], height):
        core = first, min(shape[0], first + height)
        read = rows_to_read(plan, core, halo=70)
        blocks.append(label_block(maps[:, slice(*read)], plan, core, read))
    gathered = gather(blocks[::-1], min_size=4)
    np.testing.assert_array_equal(np.concatenate([gathered.labels(block) for block in blocks]), expected)


def test_a_block_that_other_rows_can_change_is_an_error():
    """A chain of boxes, each of which overlaps the next one of a lower score, over all rows."""
    numbers = np.zeros((100, 4, 832), np.float32)
    for row in range(100):
        numbers[row, 1, :6] = 0.99 - 0.005 * row, 0.99 - 0.005 * row, -16, -16, 24, 24
        numbers[row, 1, 6:] = 1
    plan = boxes_plan((800, 32), (800, 32))
    assert whole(to_maps(numbers), plan).max() > 20
    read = rows_to_read(plan, (500, 520), HALO)
    with pytest.raises(RunError, match="extends beyond the rows read for this block"):
        label_block(to_maps(numbers)[:, slice(*read)], plan, (500, 520), read)


def test_masks_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for number in range(20):
        box = np.array([*rng.uniform(-5, 20, 2), *rng.uniform(22, 45, 2)])
        mask = cv2.GaussianBlur(rng.integers(0, 256, (28, 28)).astype(np.uint8), (0, 0), 2)
        labels = np.zeros((30, 40), np.int32)
        paste(labels, 7, box[None], mask[None], np.array([3], np.int32), 127.5)
        expected = mask_by_scipy(box, mask, (37, 40))[7:]
        clear = np.abs(expected - 127.5) > 1e-6
        np.testing.assert_array_equal((labels == 3)[clear], (expected > 127.5)[clear], err_msg=str(number))
        assert labels.any()


def test_the_cell_of_the_higher_score_is_in_front():
    numbers = np.zeros((4, 4, 832), np.float32)
    numbers[1, 1, :6], numbers[1, 2, :6] = (0.9, 0.5, -4, -4, 12, 12), (0.8, 0.7, -4, -4, 12, 12)
    numbers[..., 6:] = 1
    plan = boxes_plan((32, 32), (32, 32), Segmentation(min_size=0))
    table = CellTableBuilder()
    labels = whole(to_maps(numbers), plan, table)
    assert labels[10].tolist() == [0] * 4 + [1] * 8 + [2] * 16 + [0] * 4
    np.testing.assert_allclose(table.table().probability, [0.5, 0.7], atol=1e-6)
    for options, cells in (({"score_threshold": 0.6}, 1), ({"min_size": 129}, 1), ({"min_size": 257}, 0)):
        plan = boxes_plan((32, 32), (32, 32), Segmentation(**{"min_size": 0} | options))
        assert whole(to_maps(numbers), plan).max() == cells


def test_maps_without_detections_have_no_cells():
    plan = boxes_plan((40, 30), (40, 30))
    assert whole(np.zeros((13, 40, 32), np.float32), plan).max() == 0


class Discs:
    """A network of the boxes family for images of bright discs: it finds what is bright in each tile."""

    contract = BOXES
    gpu_memory = None
    count = 1

    def maps(self, tiles):
        return np.stack([self._maps(tile[0]) for tile in tiles])

    def _maps(self, tile):
        numbers = np.zeros((tile.shape[0] // 8, tile.shape[1] // 8, 832), np.float32)
        count, components, boxes, _ = cv2.connectedComponentsWithStats((tile > 0.5).astype(np.uint8))
        for cell in range(1, count):
            left, top, width, height, _ = boxes[cell]
            y, x = (top + height / 2) // 8, (left + width / 2) // 8
            box = np.array([top, left, top + height, left + width]) - 8 * np.array([y, x, y, x])
            mask = cv2.resize(np.float32(components == cell)[top : top + height, left : left + width], (28, 28))
            numbers[int(y), int(x), :790] = 0.9, 0.8, *box, *mask.ravel()
        return to_maps(numbers)


@pytest.mark.parametrize("shape", [(150, 100), (500, 611)])
def test_an_image_from_pixels_to_cells_over_the_borders_of_tiles(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    discs = np.hypot(y % 40 - 20, x % 40 - 20) < 13
    _, truth = cv2.connectedComponents(discs.astype(np.uint8))
    image = (250 * discs).astype(np.uint8)
    result = flowmask.segment(image, Discs(), diameter=30)
    expected = by_first_pixel(truth)
    assert result.labels.max() == expected.max()
    assert (result.labels == expected).mean() > 0.98  # the masks are resized
    in_threes = flowmask.segment(image, Discs(), diameter=30, runtime=Runtime(batch=3)).labels
    np.testing.assert_array_equal(in_threes, result.labels)
    assert len(flowmask.segment(image, Discs(), diameter=15).cells) == expected.max()
    with pytest.raises(SettingsError, match="`augment` has no effect on a network of the boxes family"):
        flowmask.segment(image, Discs(), augment=True)
