"""Rescaling against OpenCV, and a window of the resized image against the resized window."""

import cv2
import numpy as np
import pytest

from flowmask.images.image import ArrayImage
from flowmask.tiles.normalise import mix, normalise
from flowmask.tiles.rescale import NormalisedView, network_length, positions

RNG = np.random.default_rng(5)
PLAN = ((0,), (1,))
LEVEL = np.array([[0, 255], [10, 200]], np.float32)


def view_of(shape, scale):
    pixels = RNG.integers(0, 256, (2, *shape)).astype(np.uint8)
    return pixels, NormalisedView(ArrayImage(pixels), PLAN, LEVEL, scale)


@pytest.mark.parametrize("scale", [0.31, 0.5, 1.0, 1.37, 3.0])
@pytest.mark.parametrize("shape", [(97, 61), (1, 40), (33, 1)])
def test_the_whole_view_is_what_opencv_resizes(shape, scale):
    pixels, view = view_of(shape, scale)
    expected = [
        cv2.resize((p.astype(np.float32) - low) / span, view.shape[::-1], interpolation=cv2.INTER_LINEAR)
        for p, (low, span) in zip(pixels, LEVEL, strict=True)
    ]
    np.testing.assert_allclose(view.read(0, 0, *view.shape), np.stack(expected).reshape(2, *view.shape), atol=2e-5)


@pytest.mark.parametrize("scale", [0.31, 1.0, 1.37])
def test_a_window_of_the_view_is_the_same_bits(scale):
    _, view = view_of((97, 61), scale)
    whole = view.read(0, 0, *view.shape)
    height, width = view.shape
    for top, left in ((0, 0), (height // 3, width // 2), (height - 4, width - 5)):
        window = view.read(top, left, top + 4, left + 5)
        np.testing.assert_array_equal(window, whole[:, top : top + 4, left : left + 5])


@pytest.mark.parametrize("channels", [((1,), (0,)), ((1,), ()), ((0, 1), (1,))])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_values_are_those_of_normalise_bit_for_bit(channels, dtype):
    pixels = RNG.integers(0, 256, (2, 30, 40)).astype(dtype)
    ranges = np.array([[7.3, 201.7], [0.0, 0.0] if () in channels else [3.1, 99.9]])
    read = NormalisedView(ArrayImage(pixels), channels, ranges, 1.0).read(0, 0, 30, 40)
    np.testing.assert_array_equal(read, normalise(mix(pixels, channels), ranges))


def test_outside_the_image_the_view_is_empty():
    _, view = view_of((20, 20), 1.0)
    window = view.read(-8, -8, 28, 28)
    np.testing.assert_array_equal(window[:, 8:28, 8:28], view.read(0, 0, 20, 20))
    window[:, 8:28, 8:28] = 0
    assert not window.any()
    assert not view.read(40, 40, 50, 50).any()


def test_lengths_are_truncated_but_never_empty():
    assert network_length(101, 0.5) == 50
    assert network_length(3, 0.1) == 1


def test_positions_are_the_inverse_map():
    np.testing.assert_allclose(positions(0, 4, 4, 2), [0, 0.25, 0.75, 1])
    np.testing.assert_array_equal(positions(0, 5, 5, 5), np.arange(5))
