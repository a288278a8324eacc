"""The windows to which the size regression is fitted: what they show, their size, and which are left out."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import clear_border

torch = pytest.importorskip("torch")

from flowmask.labels.labels import median_diameter  # noqa: E402
from train.data.augment import UNCHANGED  # noqa: E402
from train.data.prepared import Prepared  # noqa: E402
from train.families.flow import size  # noqa: E402
from train.families.flow.network import FlowNetwork  # noqa: E402
from train.families.flow.size import GRAIN, _window, fit_size, perceptron  # noqa: E402
from train.recipes.template import RECIPE  # noqa: E402

STAGE = dataclasses.replace(RECIPE.stages[0], augmentation=UNCHANGED)


def discs(shape=(128, 192), source="lab"):
    """Discs 20 px wide in a grid of 32 px; the channels show the row, the column and the discs."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    labels, _ = ndimage.label((y % 32 - 15.5) ** 2 + (x % 32 - 15.5) ** 2 < 100)
    image = np.stack([y, x, labels > 0], -1).astype(np.float16)
    return Prepared(source, image, labels.astype(np.int32), np.zeros((*shape, 2), np.float16), 20.0)


def diameter_in(window):
    """The median diameter of the whole discs in a window (Y, X, C)."""
    pieces = clear_border(ndimage.label(window[..., 2] > 0.5)[0])
    return median_diameter(pieces.astype(np.int32))


@pytest.mark.parametrize("diameter", [10, 20, 40, 60])
@pytest.mark.parametrize("side", [192, 1000])
def test_cells_have_the_given_diameter(diameter, side):
    zoom = diameter / 20
    for seed in range(4):
        window = _window(discs(), diameter, side, np.random.default_rng(seed))
        sides = sorted(min(side, zoom * length) for length in (128, 192))
        assert sorted(window.shape[:2]) == pytest.approx(sides, abs=GRAIN / 2)
        assert diameter_in(window) == pytest.approx(diameter, rel=0.08)


def test_a_window_is_a_part_of_the_image_turned_by_a_multiple_of_90_degrees():
    image, found = discs(), set()
    for seed in range(60):
        window = _window(image, 20, 64, np.random.default_rng(seed))
        assert window.shape == (64, 64, 3)
        top, left = window[..., :2].min((0, 1)).astype(int)
        part = image.image[top : top + 64, left : left + 64]
        turns = [turn for turn in range(4) if (np.rot90(part, turn) == window).all()]
        assert len(turns) == 1
        found.add((*turns, top // 33, left // 65))
    assert {turn for turn, *_ in found} == {0, 1, 2, 3}
    assert {(top, left) for _, top, left in found} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_only_windows_without_cells_are_left_out():
    image = discs()
    labels = np.where((np.arange(192) < 90) & (np.arange(128) < 60)[:, None], image.labels, 0)
    image.image[..., 2] = labels > 0
    some, every = (dataclasses.replace(image, labels=given) for given in (labels, np.ones_like(labels)))
    count = 0
    for seed in range(80):
        drawn = _window(every, 20, 48, np.random.default_rng(seed))
        window = _window(some, 20, 48, np.random.default_rng(seed))
        assert (window is not None) == drawn[..., 2].any()
        if window is not None:
            np.testing.assert_array_equal(window, drawn)
            count += 1
    assert 10 < count < 70


class Ruler:
    """A stand-in for a network: its style is the logarithm of the diameter of the cells in the window."""

    multiple = 8

    def encode(self, windows):
        return None, torch.tensor([[np.log(diameter_in(window.permute(1, 2, 0).numpy()))] for window in windows])


def test_a_style_is_fitted_to_the_diameter_in_its_window(monkeypatch):
    monkeypatch.setattr(size, "DRAWS", 40)
    monkeypatch.setattr(size, "perceptron", lambda styles, targets, seed: np.column_stack([styles, targets]))
    images = [discs((160, 192)), discs((192, 192), "another")]
    measured, given = fit_size(Ruler(), images, STAGE, 30.0, "cpu").T
    assert len(given) == 40
    assert np.abs(measured - given).mean() < 0.08
    low, high = np.log(30 / 5), np.log(4 * 20)
    assert low <= given.min() < low + 0.3
    assert high - 0.3 < given.max() <= high


@pytest.mark.parametrize(("multiple", "sides"), [(8, 16), (32, 32)])
def test_the_sides_of_windows_fit_the_network(monkeypatch, multiple, sides):
    seen = []

    class Witness(Ruler):
        def encode(self, windows):
            seen.append(windows.shape[2:])
            return None, torch.zeros(len(windows), 2)

    Witness.multiple = multiple
    monkeypatch.setattr(size, "DRAWS", 20)
    monkeypatch.setattr(size, "perceptron", lambda *fitted: {})
    fit_size(Witness(), [discs((128, 80))], STAGE, 30.0, "cpu")
    assert len(seen) > 15
    assert np.gcd.reduce(np.array(seen).ravel()) == sides


def test_the_values_of_windows_change_as_in_training_except_for_specks_and_missed_percentiles(monkeypatch):
    seen = []

    class Witness(Ruler):
        def encode(self, windows):
            seen.extend(windows.numpy())
            return None, torch.zeros(len(windows), 2)

    monkeypatch.setattr(size, "DRAWS", 40)
    monkeypatch.setattr(size, "perceptron", lambda *fitted: {})
    options = dataclasses.replace(UNCHANGED, invert=1, misfit=1, specks=1)
    fit_size(Witness(), [discs()], dataclasses.replace(STAGE, augmentation=options), 30.0, "cpu")
    assert len(seen) == 40
    assert all(window.max() <= 1 and window[0].min() < -20 for window in seen)


def test_the_size_regression_has_the_networks_style(monkeypatch):
    monkeypatch.setattr(size, "DRAWS", 12)
    found = fit_size(FlowNetwork(3, (4, 4, 8, 8)).eval(), [discs(), discs(source="b")], STAGE, 30.0, "cpu")
    assert found["style"].shape == (8,)
    assert len(found["layers"]) == 2
    assert found["layers"][0][0].shape[1] == 8
    assert found["layers"][-1][0].shape[0] == 1
    assert 6 < np.exp(found["layers"][-1][1].item()) < 150


def test_a_size_regression_finds_a_function_of_the_styles():
    rng = np.random.default_rng(0)
    styles, weights = rng.normal(0, 0.3, (600, 8)), rng.normal(0, 1, 8)
    found = perceptron(styles, styles @ weights + 3.4, 0)
    fresh = rng.normal(0, 0.3, (100, 8))
    hidden = torch.from_numpy(fresh) - found["style"]
    for number, (inner, offsets) in enumerate(found["layers"]):
        hidden = (hidden.relu() if number else hidden) @ inner.double().T + offsets.double()
    assert np.abs(hidden[:, 0].numpy() - (fresh @ weights + 3.4)).mean() < 0.1
