"""The h-maxima of scikit-image, found in rows of any number; the Gaussian filter of SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from skimage.morphology import disk, h_maxima

from flowmask.families.watershed.maxima import Maxima, label_pixels
from flowmask.families.watershed.smooth import gaussian_weights, smooth_rows

STRIPS = (1, 3, 7, 100)


def in_strips(image, h, strip):
    maxima = Maxima(image.shape[1], h)
    for top in range(0, len(image), strip):
        maxima.add(image[top : top + strip])
    found = np.zeros(image.shape, np.uint8)
    found.reshape(-1)[maxima.pixels()] = 1
    return found


def check(image, h):
    expected = h_maxima(image, h, disk(2))
    for strip in STRIPS:
        np.testing.assert_array_equal(in_strips(image, h, strip), expected, err_msg=f"strips of {strip}")
    return expected


def hills(shape, seed, sigma):
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    return (noise - noise.min()) / (np.ptp(noise) or 1)


@pytest.mark.parametrize("sigma", [0, 0.7, 1.5, 4])
@pytest.mark.parametrize("h", [0.1, 0.075, 0.3])
@pytest.mark.parametrize("shape", [(45, 38), (1, 60), (60, 1), (2, 2), (3, 50)])
def test_h_maxima_are_those_of_scikit_image(sigma, h, shape):
    image = hills(shape, hash((shape, sigma)) % 1000, sigma)
    found = check(image.astype(np.float32), h)
    check(np.maximum(image - 0.4, 0).astype(np.float32), h)  # as a network's: 0 around the cells
    check((0.05 + 0.9 * image).astype(np.float32), h)
    if min(shape) > 3 and sigma < 4:
        assert found.sum() > (3 if h < 0.3 else 0)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 8)),
    st.sampled_from([0.125, 0.1, 0.25, 0.3, 0.5]),
)
def test_plateaus_and_equal_peaks_too(levels, h):
    check(levels.astype(np.float32) / 8, h)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.floats(0, 1, width=32)),
    st.sampled_from([0.1, 0.075, 1e-3, 0.5]),
)
def test_any_values(image, h):
    check(image, h)


@pytest.mark.parametrize("near", [1e-7, 1e-6, 3e-6, 1e-5])
def test_peaks_of_nearly_the_same_height(near):
    image = hills((40, 40), 3, 2).astype(np.float32)
    image[image > 0.8] = 0.8
    image *= 1 + np.float32(near) * np.random.default_rng(1).random(image.shape).astype(np.float32)
    assert check(image, 0.1).sum() > 10


def test_two_cells_in_one_image_and_the_saddle_decides():
    y, x = np.mgrid[:21, :41].astype(np.float32)
    left, right = (1 / (1 + np.hypot(y - 10, x - at) / 8) for at in (12, 28))
    image = np.maximum(left, 0.95 * right).astype(np.float32)
    assert check(image, 0.1).sum() == 2
    assert check(image, 0.5).sum() == 1


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_groups_of_markers_are_those_of_scikit_image(mask):
    pixels = np.flatnonzero(mask)
    np.testing.assert_array_equal(label_pixels(pixels, mask.shape[1]), label(mask)[mask])


@pytest.mark.parametrize("shape", [(40, 33), (3, 50), (50, 3), (1, 1), (8, 17)])
def test_the_filter_has_the_values_of_scipy(shape):
    image = np.random.default_rng(5).random(shape).astype(np.float32)
    expected = gaussian_filter(image, 2)
    for first in range(0, shape[0], 13):
        last = min(first + 13, shape[0])
        top, bottom = max(0, first - 8), min(shape[0], last + 8)
        found = smooth_rows(image[top:bottom], gaussian_weights(), top, shape[0], first, last)
        np.testing.assert_array_equal(found, expected[first:last])
