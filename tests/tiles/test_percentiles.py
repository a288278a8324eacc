"""Percentiles by histograms against numpy's of the whole."""

import numpy as np
import pytest

from flowmask.tiles import percentiles
from flowmask.tiles.percentiles import histogram, of_floats, of_histogram

WANTED = (0.0, 1.0, 37.5, 50.0, 99.0, 100.0)
RNG = np.random.default_rng(8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("most", [6000, 5999])  # with OpenCV, and above what it counts exactly
def test_a_histogram(dtype, most, monkeypatch):
    monkeypatch.setattr(percentiles, "MOST_EXACT", most)
    pixels = RNG.integers(0, np.iinfo(dtype).max, (60, 100, 3), dtype, endpoint=True)[..., 1]
    np.testing.assert_array_equal(histogram(pixels), np.bincount(pixels.ravel(), minlength=np.iinfo(dtype).max + 1))


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_of_a_histogram(count):
    values = RNG.integers(0, 256, count)
    found = of_histogram(np.bincount(values, minlength=256), WANTED)
    np.testing.assert_allclose(found, np.percentile(values, WANTED))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 1000])
@pytest.mark.parametrize("spread", [1e-30, 1.0, 1e30])
def test_of_floats_of_either_sign(dtype, count, spread):
    values = (RNG.normal(0.3, 1, count) * spread).astype(dtype)
    values[: count // 10] = -0.0
    found = of_floats(lambda: iter(np.array_split(values, 7)), dtype, WANTED)
    np.testing.assert_allclose(found, np.percentile(values.astype(np.float64), WANTED), rtol=1e-12)


def test_of_nothing():
    assert of_histogram(np.zeros(256, np.int64), (1.0, 99.0)) == [0, 0]
    assert of_floats(lambda: iter([np.empty(0, np.float32)]), np.float32, (1.0, 99.0)) == [0, 0]
