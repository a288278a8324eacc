"""Blocks and their gathering, apart from any family: keys become ids by first pixel."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmask.families.blocks import gather, label_rows_by_blocks, make_block, rows_to_read
from tests.reference.plans import plan_of
from tests.reference.whole import by_first_pixel


def cut(labels, heights):
    """Return labels (Y, X) in blocks of the heights, in turn, the keys being 1000 minus the ids."""
    blocks, top = [], 0
    for height in heights:
        rows = labels[top : top + height]
        if len(rows):
            blocks.append(make_block((top, top + len(rows)), rows, 1000 - np.arange(1, labels.max() + 1)))
        top += height
    return blocks


labels_and_heights = st.tuples(
    st.integers(1, 20),
    st.integers(1, 9),
    st.integers(0, 12),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 6), max_size=6),
)


def drawn(height, width, cells, seed):
    return np.random.default_rng(seed).integers(0, cells + 1, (height, width)).astype(np.int32)


@settings(deadline=None)
@given(labels_and_heights)
def test_any_labels_in_any_blocks_are_numbered_by_first_pixel(drawing):
    *shape, heights = drawing
    labels = drawn(*shape)
    blocks = cut(labels, [*heights, len(labels)])
    cells = gather(blocks)
    found = np.concatenate([cells.labels(block) for block in blocks])
    np.testing.assert_array_equal(found, by_first_pixel(labels))
    assert found.dtype == np.int32


@settings(deadline=None)
@given(labels_and_heights, st.integers(0, 6))
def test_small_cells_get_no_id(drawing, min_size):
    *shape, heights = drawing
    labels = drawn(*shape)
    blocks = cut(labels, [*heights, len(labels)])
    large_enough = np.bincount(labels.ravel(), minlength=labels.max() + 1) >= min_size
    large_enough[0] = False
    cells = gather(blocks, min_size)
    found = np.concatenate([cells.labels(block) for block in blocks])
    np.testing.assert_array_equal(found, by_first_pixel(np.where(large_enough[labels], labels, 0)))


def test_a_block_knows_what_lies_in_it():
    labels = np.array([[0, 3, 3, 1], [0, 0, 1, 1], [4, 0, 0, 1]], np.int32)
    block = make_block((10, 13), labels, np.array([70, 80, 90, 60]))
    np.testing.assert_array_equal(block.keys, [70, 90, 60])
    np.testing.assert_array_equal(block.first, [43, 41, 48])
    np.testing.assert_array_equal(block.areas, [4, 2, 1])
    np.testing.assert_array_equal(block.labels, [[0, 2, 2, 1], [0, 0, 1, 1], [3, 0, 0, 1]])
    np.testing.assert_array_equal(block.edges, [[-1, 90, 90, 70], [60, -1, -1, 70]])
    again = pickle.loads(pickle.dumps(block))
    np.testing.assert_array_equal(again.labels, block.labels)


@pytest.mark.parametrize("labels", [[[1, 1], [2, 2]], [[2, 2], [1, 1]]])
def test_a_block_without_background(labels):
    block = make_block((0, 2), np.array(labels, np.int32), np.array([5, 3]))
    np.testing.assert_array_equal(block.labels, labels)
    np.testing.assert_array_equal(gather([block]).labels(block), [[1, 1], [2, 2]])


def test_a_block_without_cells():
    block = make_block((0, 2), np.zeros((2, 3), np.int32), np.zeros(0, np.int64))
    assert len(gather([block]).keys) == 0
    assert not gather([block], join=True).labels(block).any()
    assert (block.edges == -1).all()


def test_joining_looks_at_neighbours_alone():
    """The first and the third block do not touch, though their cells have the same columns."""
    rows = [np.array([[1, 0]], np.int32), np.array([[0, 1]], np.int32), np.array([[1, 0]], np.int32)]
    blocks = [make_block((top, top + 1), row, np.array([10 + top])) for top, row in enumerate(rows)]
    cells = gather(blocks, join=True)
    np.testing.assert_array_equal(np.concatenate([cells.labels(b) for b in blocks]), [[1, 0], [0, 2], [3, 0]])
    assert gather(blocks[::-1], join=True).ids.tolist() == cells.ids.tolist()


@pytest.mark.parametrize(("network", "image"), [(100, 100), (57, 131), (231, 100)])
@pytest.mark.parametrize("halo", [0, 3, 500])
def test_the_rows_to_read_hold_all_that_is_interpolated_between(network, image, halo):
    plan = plan_of((network, 10), (image, 10))
    for first in range(0, image, 9):
        for last in range(first + 1, image + 1, 7):
            low, high = rows_to_read(plan, (first, last), halo)
            at = (np.arange(first, last) + 0.5) * network / image - 0.5
            assert 0 <= low <= max(0, np.floor(at[0]) - halo)
            assert min(network, np.floor(at[-1]) + 2 + halo) <= high <= network


@pytest.mark.parametrize("height", [1, 3, 10, 64])
@pytest.mark.parametrize("rows", [1, 4, 7, 1000])
def test_blocks_get_the_rows_that_they_ask_for(height, rows):
    """Each block gets its rows, halo and all, whatever the parts that the maps come in."""
    maps = np.arange(50 * 3, dtype=np.float32).reshape(1, 50, 3)
    plan, seen = plan_of((50, 3), (40, 3)), []

    def label_block(given, plan, core, read):
        np.testing.assert_array_equal(given, maps[:, read[0] : read[1]])
        assert read == rows_to_read(plan, core, 5)
        seen.append(core)
        return make_block(core, np.zeros((core[1] - core[0], 3), np.int32), np.zeros(0, np.int64))

    parts = (maps[:, top : top + rows] for top in range(0, 50, rows))
    labels = np.concatenate(list(label_rows_by_blocks(parts, plan, label_block, 5, height)))
    assert labels.shape == (40, 3)
    assert seen == [(first, min(40, first + height)) for first in range(0, 40, height)]
    assert next(parts, None) is None
