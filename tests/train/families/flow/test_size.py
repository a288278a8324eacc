"""The windows that the size regression is fitted to: what they show, how large, and which are left out."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import clear_border

torch = pytest.importorskip("torch")

from flowmask.labels.labels import median_diameter  # noqa: E402

from train.config import Config, load_config  # noqa: E402
from train.data import Prepared  # noqa: E402
from train.size import GRAIN, MODELS, _window, fit_size  # noqa: E402

CONFIG = Config("tiny", "rgb", (4, 4, 8, 8), steps=6, licence="BSD-3-Clause", data="simulated")


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
def test_cells_have_the_diameter_asked_for(diameter, side):
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


def test_windows_are_left_out_that_show_no_cell_and_no_others():
    image = discs()
    labels = np.where((np.arange(192) < 90) & (np.arange(128) < 60)[:, None], image.labels, 0)
    image.image[..., 2] = labels > 0
    some, every = (dataclasses.replace(image, labels=kept) for kept in (labels, np.ones_like(labels)))
    kept = 0
    for seed in range(80):
        drawn = _window(every, 20, 48, np.random.default_rng(seed))
        window = _window(some, 20, 48, np.random.default_rng(seed))
        assert (window is not None) == drawn[..., 2].any()
        if window is not None:
            np.testing.assert_array_equal(window, drawn)
            kept += 1
    assert 10 < kept < 70


class Ruler:
    """In place of a network: its style is the logarithm of the diameter of the cells that it is shown."""

    ones = torch.ones(1)

    def encode(self, windows):
        return None, torch.tensor([[np.log(diameter_in(window.permute(1, 2, 0).numpy()))] for window in windows])


@pytest.mark.parametrize("model", ["perceptron", "ridge"])
def test_a_style_is_fitted_to_the_diameter_in_its_window(monkeypatch, model):
    draw, _ = MODELS[model]
    monkeypatch.setattr("train.size.DRAWS", 40)
    monkeypatch.setitem(MODELS, model, (draw, lambda styles, targets, seed: np.column_stack([styles, targets])))
    images = [discs((160, 192)), discs((192, 192), "another")]
    config = dataclasses.replace(CONFIG, size_model=model, augmentation=load_config("seed").augmentation)
    measured, told = fit_size(Ruler(), images, config).T
    assert len(told) == (40 if model == "perceptron" else 20)
    assert np.abs(measured - told).mean() < 0.08
    low, high = (np.log(CONFIG.mean_diameter / 5), np.log(4 * 20)) if model == "perceptron" else np.log((10, 30))
    assert low <= told.min() < low + 0.3
    assert high - 0.3 < told.max() <= high


def test_windows_change_in_value_as_in_training_but_for_specks_and_missed_percentiles(monkeypatch):
    seen = []

    class Witness(Ruler):
        def encode(self, windows):
            seen.extend(windows.numpy())
            return None, torch.zeros(len(windows), 2)

    monkeypatch.setattr("train.size.DRAWS", 40)
    monkeypatch.setitem(MODELS, "perceptron", (MODELS["perceptron"][0], lambda *fitted: None))
    options = dataclasses.replace(load_config("seed").augmentation, invert=1, misfit=1, specks=1)
    fit_size(Witness(), [discs()], dataclasses.replace(CONFIG, augmentation=options))
    assert len(seen) == 40
    assert all(window.max() <= 1 and window[0].min() < -20 for window in seen)
