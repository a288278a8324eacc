"""Scale bars that were drawn into an image are found, and nothing else is taken for one."""

import csv
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import flowmask
from flowmask.images.image import as_image
from flowmask.options import Segmentation
from flowmask.tiles import inputs
from flowmask.tiles.scale_bar import _within, find_scale_bars
from tests.conftest import DATA, needs_data, needs_network
from train.simulate import simulate

SAMPLE = simulate("fluorescence_nuclei", (300, 330), 5, 26).image
BAR = [(280, 200, 285, 290)]


def drawn(value, pixels=SAMPLE):
    picture = np.dstack([pixels] * 3)
    for top, left, bottom, right in BAR:
        picture[top:bottom, left:right] = value
    return picture


@pytest.mark.parametrize("value", [255, 0])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_bar_is_found_where_it_is(value, channels):
    picture = drawn(value, np.clip(SAMPLE.astype(int) // 2 + 100, 0, 254).astype(np.uint8))[..., :channels]
    np.testing.assert_array_equal(find_scale_bars(as_image(picture), 100.0), BAR)


@pytest.mark.parametrize("hue", [(1, 1, 1), (0, 0, 1), (0, 1, 0)])
@pytest.mark.parametrize("quality", [60, 75, 85, 95])
def test_a_bar_in_a_coloured_jpeg_is_told(quality, hue):
    random = np.random.default_rng(0)
    grey = (40 + random.normal(0, 4, (256, 256))).clip(0, 255)
    grey[60:90, 60:90] = 140
    picture = np.dstack([grey * part for part in hue[::-1]]).astype(np.uint8)
    picture[230:236, 180:240] = 255
    decoded = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    contract = SimpleNamespace(channels="rgb", percentiles=(1.0, 99.0))
    warnings = inputs.find_inputs(as_image(np.ascontiguousarray(decoded[..., ::-1])), contract, Segmentation()).warnings
    assert "A scale bar is drawn into the image (row 231, column 181)" in " ".join(warnings)


def test_what_is_no_bar():
    bright = np.full((300, 330), 90, np.uint8)
    for place in (np.s_[:, :5], np.s_[-6:, 20:300], np.s_[20:60, 20:60]):  # two at the border, and a square
        bright[place] = 255
    cv2.ellipse(bright, (200, 200), (60, 10), 0, 0, 360, 255, -1)
    soft = drawn(195)
    soft[281:284, 201:289] = 230
    soft[282, 202:288] = 255  # a rectangle with soft edges
    for pixels in (bright, soft, drawn(255).astype(np.uint16), drawn((255, 255, 0)), SAMPLE):
        assert len(find_scale_bars(as_image(pixels), 100.0)) == 0


def test_a_level_that_no_pixel_has_in_all_channels_is_not_searched(monkeypatch):
    searched = []

    def watched(image, span, values):
        searched.append(values)
        return find_scale_bars(image, span, values)

    monkeypatch.setattr(inputs, "find_scale_bars", watched)
    picture = np.clip(np.dstack([SAMPLE] * 3), 50, 200)
    picture[40:44, 10:90] = 0, 0, 90  # black in two channels
    without = picture[:50]
    picture[60:64, 10:90] = 255
    contract = SimpleNamespace(channels="rgb", percentiles=(1.0, 99.0))
    warnings = [
        inputs.find_inputs(as_image(pixels), contract, Segmentation(channels=(1, 2, 3))).warnings
        for pixels in (picture, without)
    ]
    assert searched == [[255], []]
    assert ["scale bar" in " ".join(texts) for texts in warnings] == [True, False]


@pytest.mark.parametrize("shape", [(20, 3), (3, 20), (19, 3)])
def test_the_shortest_bars(shape):
    picture = np.full((400, 300), 100, np.uint8)
    picture[30 : 30 + shape[0], 50 : 50 + shape[1]] = 255
    assert len(find_scale_bars(as_image(picture), 100.0)) == (max(shape) >= 20)


@needs_data
@pytest.mark.slow
def test_no_labelled_image_has_a_bar():
    for row in csv.DictReader((DATA / "manifest.csv").open()):
        pixels = cv2.imread(str(DATA / row["image"]), cv2.IMREAD_UNCHANGED)
        span = float(np.ptp(np.percentile(pixels, (1, 99))))
        assert len(find_scale_bars(as_image(pixels), span)) == 0, row["image"]


@needs_network
def test_a_bar_is_a_warning(network):
    result = flowmask.segment(drawn(255), network, diameter=26)
    warning = "A scale bar is drawn into the image (row 281, column 201); check the cells on it and on text beside it."
    assert warning in result.warnings
    assert not flowmask.segment(SAMPLE, network, diameter=26).warnings


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(("value", "close"), [(0, 0), (0, 40), (255, 0), (255, 40)])
def test_pixels_near_a_level_in_all_channels(channels, value, close):
    by_pixel = np.random.default_rng(8).choice([0, 3, 40, 41, 90, 214, 215, 255], (50, 60, channels)).astype(np.uint8)
    rows = by_pixel.transpose(2, 0, 1)
    expected = (np.abs(rows.astype(int) - value) <= close).all(axis=0)
    assert expected.any()
    for layout in (rows, np.ascontiguousarray(rows)):
        np.testing.assert_array_equal(_within(layout, value - close, value + close), expected)
