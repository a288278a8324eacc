"""Changes of a crop that depend on its cells or colours."""

import numpy as np
import pytest

from train.data.staining import BRIGHT_BACKGROUND, LEAST_CONTRAST, dim_cells, empty_channels, mix_colours, punch_holes


@pytest.fixture
def cells():
    """Forty bright squares of 12 px on a background of 0.2, as image (Y, X, 3) and labels."""
    labels = np.zeros((100, 160), np.int32)
    for number in range(40):
        top, left = 4 + 20 * (number // 8), 4 + 20 * (number % 8)
        labels[top : top + 12, left : left + 12] = number + 1
    return np.repeat(np.where(labels > 0, 0.8, 0.2)[..., None], 3, axis=-1).astype(np.float32), labels


def test_about_half_of_the_cells_lose_contrast_and_the_background_stays(cells):
    image, labels = cells
    changed = dim_cells(image, labels, np.random.default_rng(0))
    contrast = np.array([changed[labels == number].max() - 0.2 for number in range(1, 41)]) / 0.6
    assert 12 <= (contrast > 0.999).sum() <= 28
    assert contrast.min() >= LEAST_CONTRAST - 0.001
    assert contrast.min() < 0.75
    np.testing.assert_allclose(changed[99], 0.2, atol=1e-6)
    np.testing.assert_array_equal(dim_cells(image, np.ones_like(labels), np.random.default_rng(0)), image)


def test_holes_are_white_and_leave_the_cells():
    image = np.full((200, 200, 3), (0.85, 0.55, 0.7), np.float32)
    labels = np.zeros((200, 200), np.int32)
    labels[60:90, 60:90] = 1
    changed = punch_holes(image, labels, np.random.default_rng(1))
    hole = np.abs(changed - image).max(axis=-1) > 0.1
    assert hole.sum() > 100
    assert not hole[64:86, 64:86].any()
    assert changed[hole].min() > image[hole].min()


def test_only_colour_images_of_transmitted_light_get_holes(cells):
    image, labels = cells
    np.testing.assert_array_equal(punch_holes(image, labels, np.random.default_rng(1)), image)
    dark = image * np.float32([1, 0.5, 0.2])
    assert np.median(dark[labels == 0]) < BRIGHT_BACKGROUND
    np.testing.assert_array_equal(punch_holes(dark, labels, np.random.default_rng(1)), dark)


def test_mixed_colours_keep_black_grey_and_white():
    grey = np.repeat(np.linspace(0, 1, 9, dtype=np.float32)[None, :, None], 3, axis=-1)
    np.testing.assert_allclose(mix_colours(grey, np.random.default_rng(3)), grey, atol=1e-6)
    red = np.zeros((1, 1, 3), np.float32)
    red[..., 0] = 1
    assert np.abs(mix_colours(red, np.random.default_rng(3)) - red).max() > 0.05


def test_mixed_colours_stay_near_the_range():
    colours = np.stack(np.meshgrid(*3 * [np.float32([0, 1])]), axis=-1).reshape(1, 8, 3)  # all corners of the range
    largest = max(np.abs(mix_colours(colours, np.random.default_rng(seed)) - 0.5).max() for seed in range(20_000))
    assert largest < 1.5


def test_at_least_one_channel_is_left_and_one_is_empty(cells):
    image, _ = cells
    kinds = set()
    for seed in range(40):
        changed = empty_channels(image, np.random.default_rng(seed))
        unchanged = [bool((changed[..., channel] == image[..., channel]).all()) for channel in range(3)]
        assert 1 <= sum(unchanged) <= 2
        kinds.update("zero" if not changed[..., c].any() else "noise" for c in range(3) if not unchanged[c])
    assert kinds == {"zero", "noise"}
