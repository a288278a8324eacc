"""Foreground to cells: the connected components of SciPy, whole or in blocks of any height."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

import flowmask
from flowmask.errors import SettingsError
from flowmask.families import family_of
from flowmask.families.blocks import gather, label_rows_by_blocks, rows_to_read
from flowmask.families.semantic.family import FAMILY
from flowmask.families.semantic.foreground import HALO, foreground, label_block
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.options import Segmentation
from flowmask.tiles.rescale import positions
from tests.reference.plans import SEMANTIC, plan_of
from tests.reference.whole import by_first_pixel

HEIGHTS = (1, 7, 64, 100, 1000)


def smooth_logits(shape, seed=0, sigma=2.0):
    """Return maps (1, Y, X) whose foreground has components of any shape and size."""
    noise = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return (4 * smooth / (smooth.std() or 1))[None]


def semantic_plan(network_shape, shape, options=Segmentation()):  # noqa: B008 (frozen)
    return plan_of(network_shape, shape, options, SEMANTIC)


def components(mask, min_size=0):
    """The 4-connected components of SciPy of at least ``min_size`` pixels, numbered by first pixel."""
    labels, _ = ndimage.label(mask)
    small = np.bincount(labels.ravel()) < min_size
    small[0] = True
    return by_first_pixel(np.where(small[labels], 0, labels))


def in_parts(maps, rows):
    return (maps[:, top : top + rows] for top in range(0, maps.shape[1], rows))


def in_blocks(maps, plan, height, rows=50):
    parts = list(label_rows_by_blocks(in_parts(maps, rows), plan, label_block, HALO, height))
    assert [len(part) for part in parts[:-1]] == [height] * (len(parts) - 1)
    return np.concatenate(parts)


CASES = {
    "scale 1": ((310, 121), (310, 121), Segmentation(min_size=0)),
    "odd, smaller for the network": ((203, 131), (331, 213), Segmentation(cellprob_threshold=1.0)),
    "odd, larger for the network": ((351, 97), (207, 57), Segmentation(min_size=30)),
    "other scales along the axes": ((255, 64), (133, 117), Segmentation(cellprob_threshold=-2.0, min_size=5)),
    "one row": ((1, 90), (1, 90), Segmentation(min_size=2)),
    "one column": ((90, 1), (90, 1), Segmentation(min_size=2)),
    "one pixel": ((1, 1), (1, 1), Segmentation(min_size=0, cellprob_threshold=-20)),
}


SLOW = ("scale 1", "odd, smaller for the network")


@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.slow] if c in SLOW else []) for c in CASES])
def test_blocks_of_any_height_give_the_components_of_the_whole(case):
    network_shape, shape, options = CASES[case]
    maps, plan = smooth_logits(network_shape, 5), semantic_plan(network_shape, shape, options)
    mask = foreground(maps, plan, (0, shape[0]), (0, network_shape[0]))
    expected = components(mask, options.min_size)
    assert expected.max() > 8 or min(shape) == 1
    assert expected.any()
    for height in HEIGHTS:
        for rows in (13, 1000):
            found = in_blocks(maps, plan, height, rows)
            assert found.dtype == np.int32
            np.testing.assert_array_equal(found, expected, err_msg=f"{height} rows, maps in {rows}")
    np.testing.assert_array_equal(
        np.concatenate(list(FAMILY.label_rows(in_parts(maps, 50), plan, CellTableBuilder()))), expected
    )


@pytest.mark.parametrize("case", CASES)
def test_the_foreground_is_that_of_the_interpolated_logits(case):
    network_shape, shape, options = CASES[case]
    maps, plan = smooth_logits(network_shape, 5), semantic_plan(network_shape, shape, options)
    mask = foreground(maps, plan, (0, shape[0]), (0, network_shape[0]))
    at = [positions(0, n, n, m) for n, m in zip(shape, network_shape, strict=True)]
    grid = np.meshgrid(*at, indexing="ij")
    logits = ndimage.map_coordinates(maps[0].astype(np.float64), grid, order=1, mode="nearest")
    clear = np.abs(logits - options.cellprob_threshold) > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(mask[clear], (logits > options.cellprob_threshold)[clear])
    for first, last in ((0, 1), (shape[0] // 3, shape[0] // 2 + 1), (shape[0] - 1, shape[0])):
        read = rows_to_read(plan, (first, last), HALO)
        rows = foreground(maps[:, read[0] : read[1]], plan, (first, last), read)
        np.testing.assert_array_equal(rows, mask[first:last])


def drawn(*rows):
    """Return maps of a picture of # and spaces, each pixel its own network pixel."""
    mask = np.array([[character == "#" for character in row] for row in rows])
    return np.where(mask, 3, -3).astype(np.float32)[None]


U = drawn("#.#.#", "#.#.#", "#.#.#", "#.#.#", "###.#", "....#", "#.###", "#....", "#####")
DIAGONAL = drawn("##....", "##....", "..##..", "..##..", "....##", "....##")
RING = drawn("#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######")
SPIRAL = drawn("########", "#......#", "#.####.#", "#.#..#.#", "#.##.#.#", "#....#.#", "######.#", "......##")


@pytest.mark.parametrize(("maps", "cells"), [(U, 3), (DIAGONAL, 3), (RING, 2), (SPIRAL, 1)])
@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 1000])
def test_arms_of_one_component_in_several_blocks_are_joined(maps, cells, height):
    plan = semantic_plan(maps.shape[1:], maps.shape[1:], Segmentation(min_size=0))
    expected = components(maps[0] > 0)
    assert expected.max() == cells
    np.testing.assert_array_equal(in_blocks(maps, plan, height, 2), expected)


@pytest.mark.parametrize("height", [1, 2, 3, 1000])
@pytest.mark.parametrize(("min_size", "cells"), [(0, 3), (4, 3), (5, 2), (6, 1), (99, 0)])
def test_the_size_of_a_component_is_that_of_all_its_parts(height, min_size, cells):
    maps = drawn("##..#...", "##..#..#", "....#..#", "....#..#", ".......#", ".......#", ".......#")
    maps[0, 4, 4] = 3
    plan = semantic_plan(maps.shape[1:], maps.shape[1:], Segmentation(min_size=min_size))
    found = in_blocks(maps, plan, height)
    np.testing.assert_array_equal(found, components(maps[0] > 0, min_size))
    assert found.max() == cells


def test_the_key_of_a_component_is_its_first_pixel_in_the_block():
    maps = smooth_logits((60, 40), 2)
    plan = semantic_plan((60, 40), (60, 40))
    core, read = (20, 45), rows_to_read(plan, (20, 45), HALO)
    one = label_block(maps[:, read[0] : read[1]], plan, core, read)
    assert len(one.keys) == 3
    np.testing.assert_array_equal(one.keys, one.first)
    assert one.areas.sum() == np.count_nonzero(maps[0, 20:45] > 0)


def test_blocks_in_any_order_give_the_same_ids():
    maps = smooth_logits((200, 60), 4)
    plan = semantic_plan((200, 60), (200, 60))
    blocks = []
    for first in range(0, 200, 30):
        core = first, min(200, first + 30)
        read = rows_to_read(plan, core, HALO)
        blocks.append(label_block(maps[:, read[0] : read[1]], plan, core, read))
    expected = components(maps[0] > 0, 15)
    for order in (blocks, blocks[::-1], blocks[1::2] + blocks[::2]):
        cells = gather(order, 15, join=True)
        np.testing.assert_array_equal(np.concatenate([cells.labels(one) for one in blocks]), expected)


class Threshold:
    """A network of the semantic family that sees the first channel."""

    contract = SEMANTIC
    gpu_memory = None
    count = 1

    def maps(self, tiles):
        return 10 * tiles[:, :1] - 5


def discs(shape, pitch=40, diameter=24):
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.hypot(y % pitch - pitch / 2, x % pitch - pitch / 2) < diameter / 2
    return (200 * inside).astype(np.uint8), components(inside)


@pytest.mark.parametrize("shape", [(80, 120), (601, 163)])
def test_an_image_from_pixels_to_cells(shape):
    image, expected = discs(shape)
    result = flowmask.segment(image, Threshold(), diameter=30)
    np.testing.assert_array_equal(result.labels, components(image > 0, 15))
    assert len(result.cells) == result.labels.max() > 5
    assert len(result.cells) <= expected.max()
    larger = flowmask.segment(image, Threshold(), min_size=800)
    assert len(larger.cells) == 0
    assert larger.diameter == SEMANTIC.train_diameter == 25


@pytest.mark.parametrize("options", [{"flow_threshold": 0.2}, {"flow_threshold": 0}])
def test_an_option_of_another_family_is_refused(options):
    image, _ = discs((80, 120))
    with pytest.raises(SettingsError, match="`flow_threshold` has no effect on a network of the semantic family"):
        flowmask.segment(image, Threshold(), **options)
    found = flowmask.segment(image, Threshold(), flow_threshold=0.4, cellprob_threshold=1.0, augment=True)
    assert len(found.cells) == 6


def test_the_table_gives_this_family():
    assert family_of(SEMANTIC) is FAMILY
    assert FAMILY.options == {"cellprob_threshold", "min_size"}
