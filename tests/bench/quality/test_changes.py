"""The changes of `bench.quality.changes`: the labels still fit the image."""

import numpy as np
import pytest

pytest.importorskip("torch")

from bench.quality.changes import CHANGES, changed  # noqa: E402
from flowmask.images.image import ArrayImage  # noqa: E402


@pytest.fixture
def field():
    """Four bright square cells of different size on a dark noisy ground, in three channels, and their labels."""
    labels = np.zeros((90, 120), np.int32)
    for cell, (top, left, side) in enumerate([(5, 5, 20), (40, 10, 24), (10, 60, 28), (50, 70, 32)], 1):
        labels[top : top + side, left : left + side] = cell
    pixels = np.random.default_rng(0).integers(20, 30, (3, *labels.shape))
    return ArrayImage((pixels + 100 * (labels > 0)).astype(np.uint8)), labels


@pytest.mark.parametrize("change", CHANGES)
def test_cells_are_still_what_is_bright(field, change):
    image, labels = changed(*field, change, 0)
    pixels = image.read(0, 0, *image.shape[1:])
    assert image.dtype == np.uint8
    assert labels.dtype == np.int32
    assert pixels.shape == (3, *labels.shape)
    low, high = (np.median(pixels[:, inside]) for inside in (labels == 0, labels > 0))
    assert high > 1.5 * low
    assert np.mean((pixels[0] > (low + high) / 2) == (labels > 0)) > 0.9


@pytest.mark.parametrize("change", [name for name in CHANGES if name != "as they are"])
def test_every_change_changes_the_pixels_the_same_way_for_the_same_seed(field, change):
    image, labels = field
    one, two = (changed(image, labels, change, 3)[0] for _ in range(2))
    pixels = one.read(0, 0, *one.shape[1:])
    np.testing.assert_array_equal(pixels, two.read(0, 0, *two.shape[1:]))
    assert not np.array_equal(pixels, image.read(0, 0, *image.shape[1:]))


def test_a_lonely_cell_is_the_one_of_median_area_in_the_middle_of_noise(field):
    image, labels = changed(*field, "one cell on a wide ground", 0)
    assert labels.shape == (180, 240)
    assert np.count_nonzero(labels) == 28**2
    assert labels[45 + 10 + 14, 60 + 60 + 14] == 1
    assert image.read(0, 0, 180, 240)[:, labels == 0].max() < 30


def test_cells_keep_their_number_and_shape_when_resized(field):
    for change, factor in (("enlarged twice", 2), ("reduced by half", 0.5)):
        labels = changed(*field, change, 0)[1]
        np.testing.assert_allclose(np.bincount(labels.ravel())[1:], factor**2 * np.array([20, 24, 28, 32]) ** 2)
