"""The equalised image against scikit-image on whole images, and windows of it against the whole."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.exposure import equalize_adapthist

from flowmask.errors import SettingsError
from flowmask.images.image import ArrayImage
from flowmask.images.metadata import ImageInfo
from flowmask.network.contract import Clahe
from flowmask.options import Runtime, Segmentation
from flowmask.pipeline import plan_image, run_tiles
from flowmask.tiles import equalised
from flowmask.tiles.rescale import NormalisedView
from flowmask.tiles.view import Equalisation, equalisation_bytes, find_equalisations, network_view
from tests.reference.mesmer import preprocessed
from tests.reference.plans import SEMANTIC

ORIGINAL = np.array([[0.0, 1.0]])
MESMER = replace(
    SEMANTIC, channels="green-blue", mean_diameter=30.0, train_diameter=30.0, clahe=Clahe(), pixel_size=0.5
)


def cells(shape, seed=0, dtype=np.uint16):
    """Return one channel (Y, X): bright spots of very different heights on a ground of zeros and noise."""
    rng = np.random.default_rng(seed)
    spots = gaussian_filter((rng.random(shape) > 0.99) * rng.random(shape) ** 4, 3)
    values = 50000 * spots / max(spots.max(), 1e-9) + 300 * rng.random(shape)
    values[rng.random(shape) < 0.2] = 0
    return values.astype(dtype)


def view_of(image, clahe=Clahe(), scale=1.0):  # noqa: B008 (frozen)
    """Return the equalised view of the first channel."""
    found = find_equalisations(image, ((0,),), ORIGINAL, scale, clahe)
    return network_view(image, ((0,),), ORIGINAL, scale, found)


@pytest.mark.parametrize("side", [128, 33])
@pytest.mark.parametrize("shape", [(300, 421), (256, 128), (40, 50), (1, 700), (129, 2)])
def test_a_whole_image_has_the_values_of_scikit_image_bit_for_bit(shape, side):
    values = cells(shape)
    view = view_of(ArrayImage(values[None]), Clahe(kernel=side))
    np.testing.assert_array_equal(view.read(0, 0, *shape)[0], preprocessed(values, kernel=side))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_every_type_of_image(dtype):
    values = cells((150, 140), 1, np.float64)
    values = (values / 400 - (30 if np.dtype(dtype).kind in "if" else 0)).astype(dtype)
    view = view_of(ArrayImage(values[None]))
    np.testing.assert_array_equal(view.read(0, 0, *values.shape)[0], preprocessed(values))


def test_without_clipping_it_is_scikit_images_clahe():
    values = cells((200, 260), 2).astype(np.float32) / 2**16
    view = view_of(ArrayImage(values[None]), Clahe(percentile=100, kernel=64))
    np.testing.assert_array_equal(
        view.read(0, 0, *values.shape)[0], equalize_adapthist((values - values.min()) / np.ptp(values), kernel_size=64)
    )


@pytest.mark.parametrize("scale", [0.4, 1.7])
def test_the_image_is_rescaled_first(scale):
    values = cells((260, 300), 3)
    image = ArrayImage(values[None])
    resized = NormalisedView(image, ((0,),), ORIGINAL, scale)
    expected = preprocessed(resized.read(0, 0, *resized.shape)[0])
    np.testing.assert_array_equal(view_of(image, scale=scale).read(0, 0, *resized.shape)[0], expected)


class Counting(ArrayImage):
    """An image that records the largest window that was read."""

    largest = 0

    def read(self, top, left, bottom, right):
        self.largest = max(self.largest, (bottom - top) * (right - left))
        return super().read(top, left, bottom, right)


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_windows_have_the_bits_of_the_whole_and_the_image_is_never_read_whole(monkeypatch, scale):
    values = cells((500, 610), 4)
    whole = view_of(ArrayImage(values[None]), Clahe(kernel=32), scale)
    expected = whole.read(0, 0, *whole.shape)
    monkeypatch.setattr(equalised, "WINDOW", (60, 97))
    image = Counting(values[None])
    view = view_of(image, Clahe(kernel=32), scale)
    assert image.largest < values.size / 10
    height, width = view.shape
    for top, left in ((0, 0), (height // 3, width // 2), (height - 40, width - 50)):
        window = view.read(top, left, top + 40, left + 50)
        np.testing.assert_array_equal(window, expected[:, top : top + 40, left : left + 50])


def test_outside_the_image_the_view_is_0():
    view = view_of(ArrayImage(cells((100, 90), 5)[None]))
    window = view.read(-8, -9, 110, 95)
    np.testing.assert_array_equal(window[:, 8:108, 9:99], view.read(0, 0, 100, 90))
    window[:, 8:108, 9:99] = 0
    assert not window.any()
    assert not view.read(100, 0, 120, 20).any()


def test_empty_and_constant_inputs_are_0_and_equal_inputs_are_equal():
    image = ArrayImage(np.stack([cells((80, 90), 6), np.full((80, 90), 7, np.uint16)]))
    channels = ((0,), (), (1,), (0,))
    found = find_equalisations(image, channels, np.array([[0.0, 1.0]] * 4), 1.0, Clahe())
    assert [type(one) for one in found] == [Equalisation, type(None), type(None)]
    inputs = network_view(image, channels, np.array([[0.0, 1.0]] * 4), 1.0, found).read(0, 0, 80, 90)
    np.testing.assert_array_equal(inputs[0], preprocessed(image.read(0, 0, 80, 90)[0]))
    np.testing.assert_array_equal(inputs[3], inputs[0])
    assert not inputs[1:3].any()
    assert find_equalisations(image, ((0,),), np.array([[0.0, 0.0]]), 1.0, Clahe()) == (None,)


def test_values_that_are_not_finite_count_as_0():
    values = cells((90, 100), 7, np.float32)
    broken = values.copy()
    broken[10:20, 10:30], broken[40, 40], broken[50, 50] = np.nan, np.inf, -np.inf
    values[broken != values] = 0
    one, other = (view_of(ArrayImage(each[None])).read(0, 0, 90, 100) for each in (values, broken))
    np.testing.assert_array_equal(one, other)


def test_the_memory_of_the_mappings_is_what_the_plan_reserves():
    image = ArrayImage(cells((300, 421), 8)[None])
    (found,) = find_equalisations(image, ((0,),), ORIGINAL, 1.0, Clahe())
    assert found.mappings.nbytes == equalisation_bytes((300, 421), 1, Clahe())
    assert equalisation_bytes((300, 421), 1, None) == 0


class Recording:
    """A network that keeps its tiles and returns the mean of its inputs as the foreground."""

    gpu_memory, count = None, 1

    def __init__(self, contract=MESMER):
        self.contract, self.tiles = contract, []

    def maps(self, tiles):
        self.tiles.append(tiles)
        return tiles.mean(axis=1, keepdims=True)


class WithPixelSize(ArrayImage):
    def __init__(self, pixels, size):
        super().__init__(pixels)
        self._size = size

    @property
    def info(self):
        return ImageInfo("array", pixel_size_um=self._size)


def test_the_network_gets_both_channels_equalised():
    pixels = np.stack([cells((200, 180), seed) for seed in (9, 10)])
    image, network = ArrayImage(pixels), Recording()
    plan = plan_image(image, network, Segmentation(), Runtime())
    maps = np.concatenate(list(run_tiles(image, network, plan)), axis=1)
    expected = np.stack([preprocessed(channel) for channel in pixels])
    (tile,) = network.tiles[0]
    top, left = -plan.rows.starts[0], -plan.columns.starts[0]
    np.testing.assert_array_equal(tile[:, top : top + 200, left : left + 180], expected)
    np.testing.assert_allclose(maps[0], expected.mean(axis=0), atol=1e-6)


def test_maps_are_the_same_in_any_range_of_rows_and_in_another_process():
    image, network = ArrayImage(np.stack([cells((700, 300), seed) for seed in (9, 10)])), Recording()
    plan = plan_image(image, network, Segmentation(), Runtime(batch=2))
    whole = np.concatenate(list(run_tiles(image, network, plan)), axis=1)
    again = pickle.loads(pickle.dumps(plan))
    for found in again.equalisations:
        found.mappings.setflags(write=False)  # as Dask gives arrays to another process
    for first, last in ((0, 5), (340, 600), (699, 700)):
        part = np.concatenate(list(run_tiles(image, network, replace(again, batch=1), (first, last))), axis=1)
        np.testing.assert_array_equal(part, whole[:, first:last])


@pytest.mark.parametrize(
    ("size", "options", "scale"),
    [
        (0.25, {}, 0.5),
        (0.5, {}, 1.0),
        (None, {"pixel_size": 1.0}, 2.0),
        (0.25, {"pixel_size": 1.0}, 2.0),
        (0.25, {"diameter": 30}, 1.0),
        (0.25, {"diameter": "30um"}, 0.25),
        (None, {}, 1.0),
    ],
)
def test_the_pixel_size_decides_about_the_scale_unless_a_diameter_is_given(size, options, scale):
    image = WithPixelSize(np.stack([cells((60, 80), seed) for seed in (9, 10)]), size)
    plan = plan_image(image, Recording(), Segmentation(**options), Runtime())
    assert plan.scale == scale
    assert plan.network_shape == (60 * scale, 80 * scale)
    warned = [text for text in plan.warnings if "made for 0.5 micrometres per px" in text]
    assert len(warned) == (size is None and not options)


def test_a_pixel_size_that_makes_the_diameter_too_large_is_refused():
    with pytest.raises(SettingsError, match="the diameter 15um is 150000 px"):
        plan_image(WithPixelSize(cells((60, 80))[None], 1e-4), Recording(), Segmentation(), Runtime())
