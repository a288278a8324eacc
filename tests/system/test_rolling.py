"""Rows that come and go are those of the whole array."""

import numpy as np
import pytest

from flowmask.system.rolling import SPARE, Rolling


@pytest.mark.parametrize("rows", [0, 60, 500])
@pytest.mark.parametrize("leading", [(), (3,)])
def test_what_is_held_is_what_came(leading, rows):
    rng = np.random.default_rng(4)
    whole = rng.integers(0, 1000, (500, *leading, 7)).astype(np.int32)
    rolling = Rolling(7, np.int32, *leading, rows=rows)
    while rolling.bottom < 500:
        rolling.append(whole[rolling.bottom : rolling.bottom + int(rng.integers(1, 40))])
        rolling.drop(int(rng.integers(0, rolling.bottom + 1)))
        held = rolling.rows(rolling.top, rolling.bottom)
        np.testing.assert_array_equal(held, whole[rolling.top : rolling.bottom])
        assert held.flags.c_contiguous
    with pytest.raises(IndexError, match="are not in memory"):
        rolling.rows(rolling.top - 1, rolling.bottom)


def test_little_more_is_taken_than_is_held():
    rolling = Rolling(5, np.int32)
    for _ in range(100):
        rolling.append(np.zeros((20, 5), np.int32))
        rolling.drop(rolling.bottom - 70)
    assert len(rolling._data) <= 90 + 20 + SPARE
