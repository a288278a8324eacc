"""The lattice covers every axis once and keeps its overlap."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowmask.network.contract import GRAIN
from flowmask.tiles.grid import MARGIN, TileGrid, tile_grid


@given(length=st.integers(1, 20_000), tile=st.sampled_from([64, 224, 256]))
def test_the_axis_is_covered_with_its_margin_and_overlap(length, tile):
    axis = tile_grid(length, tile)
    starts = np.array(axis.starts)
    assert axis.tile <= 1.5 * tile
    assert axis.tile % GRAIN == 0
    assert starts[0] <= -MARGIN
    assert starts[-1] + axis.tile >= length + MARGIN
    if len(starts) > 1:
        assert axis.tile >= tile
        assert (axis.tile - np.diff(starts) >= 0.1 * axis.tile).all()


@given(length=st.integers(330, 5_000))
def test_no_other_side_needs_fewer_pixels(length):
    axis = tile_grid(length, 224)
    padded = axis.starts[-1] + axis.tile - axis.starts[0]
    for side in range(224, min(337, padded), 16):
        fewest = 1 + -(-(padded - side) // int(side * 0.9))
        assert len(axis.starts) * axis.tile <= fewest * side


def test_an_image_a_little_larger_than_a_tile_is_one_tile():
    assert tile_grid(256, 224) == TileGrid(256, 272, (-8,))


def test_rows_are_finished_in_order_up_to_the_end():
    axis = tile_grid(1000, 224)
    ends = [axis.advance(i) for i in range(len(axis.starts))]
    assert ends == sorted(ends)
    assert ends[-1] == 1000


@given(length=st.integers(1, 20_000), record=st.sampled_from([1, 8, 16]))
def test_each_record_has_one_tile_that_shows_what_is_around_it(length, record):
    axis = tile_grid(length, 224, 32, record)
    assert axis.length == -(-length // record) * record
    cores = axis.cores(record)
    assert cores[0][0] == axis.starts[0] <= -MARGIN
    assert cores[-1][1] == axis.starts[-1] + axis.tile >= length + MARGIN
    assert all(first[1] == second[0] for first, second in zip(cores, cores[1:], strict=False))
    assert all(position % record == 0 for position in (*axis.starts, *(end for core in cores for end in core)))
    least = (0.1 if record == 1 else 0.25) * axis.tile / 2 - record
    for start, (_, end) in zip(axis.starts, cores[:-1], strict=False):
        assert start + axis.tile - end >= least
    for start, (first, _) in zip(axis.starts[1:], cores[1:], strict=True):
        assert first - start >= least
