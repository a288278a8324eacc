"""The lattice covers every axis once and keeps its overlap."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infer.contract import GRAIN
from infer.tiling import MARGIN, lattice


@given(length=st.integers(1, 20_000), tile=st.sampled_from([64, 224, 256]))
def test_the_axis_is_covered_with_its_margin_and_overlap(length, tile):
    axis = lattice(length, tile)
    starts = np.array(axis.starts)
    assert axis.tile <= tile
    assert axis.tile % GRAIN == 0
    assert starts[0] <= -MARGIN
    assert starts[-1] + axis.tile >= length + MARGIN
    if len(starts) > 1:
        assert axis.tile == tile
        assert (axis.tile - np.diff(starts) >= 0.1 * tile).all()


@given(length=st.integers(1, 5_000))
def test_the_number_of_tiles_is_the_least_that_a_tenth_of_overlap_allows(length):
    axis = lattice(length, 224)
    padded = axis.starts[-1] + axis.tile - axis.starts[0]
    assert len(axis.starts) == 1 or 224 + (len(axis.starts) - 2) * 201 < padded


def test_rows_are_finished_in_order_up_to_the_end():
    axis = lattice(1000, 224)
    ends = [axis.advance(i) for i in range(len(axis.starts))]
    assert ends == sorted(ends)
    assert ends[-1] == 1000
