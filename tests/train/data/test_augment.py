"""What a training crop undergoes: the target turns with the image, and each option does what its docstring says."""

import dataclasses
import io
from types import SimpleNamespace

import cv2
import numpy as np
import PIL.Image
import pytest
from scipy import ndimage
from skimage.data import immunohistochemistry

torch = pytest.importorskip("torch")

from flowmask.families.flow.targets import labels_to_flows  # noqa: E402
from train.data.augment import UNCHANGED, affine, augmented, photometric, warp  # noqa: E402
from train.families.flow.targets import flow_field, flow_target, turned_flows  # noqa: E402

NOTHING = dataclasses.replace(UNCHANGED, scale=(0.75, 1.25))


def pair(image, labels, flows, zoom, options, rng):
    """A crop and the target of the flow family."""
    crop, turned, matrix = augmented(image, labels, zoom, options, rng)
    return crop, flow_target(turned, SimpleNamespace(field=flows), matrix)


def changed(image, seed, **options):
    return photometric(image, dataclasses.replace(NOTHING, **options), np.random.default_rng(seed))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.9])
def test_vectors_turn_with_the_image(angle, flip):
    labels = np.zeros((120, 120), np.int32)
    labels[30:90, 40:75] = 1
    labels[60:90, 75:95] = 1
    matrix = affine(labels.shape, 160, 1.2, angle, flip, np.random.default_rng(0))
    _, turned = warp(np.zeros((120, 120, 3), np.float32), labels, matrix, 160)
    field = turned_flows(np.ascontiguousarray(flow_field(labels)), matrix, turned)
    expected = flow_field(turned)
    inner = cv2.erode((turned > 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert (field[inner] * expected[inner]).sum(-1).mean() > 0.97
    assert not field[turned == 0].any()


def only(values):
    """The one value of an array that holds no other."""
    assert np.ptp(values) < 1e-4
    return float(np.mean(values))


@pytest.fixture
def image():
    """Values below 0 and above 1 too, but none where a quotient or a logarithm is imprecise."""
    image = np.random.default_rng(3).normal(0.5, 0.4, (40, 50, 3))
    image[np.abs(image) < 0.05] += 0.2
    image[np.abs(np.abs(image) - 1) < 0.05] *= 1.2
    return image.astype(np.float32)


@pytest.fixture
def cells():
    """Labels of two cells apart, without symmetry, and the image that shows them and nothing else."""
    labels = np.zeros((120, 120), np.int32)
    labels[25:55, 20:95] = 1
    labels[25:40, 20:50] = 0
    labels[65:100, 70:90] = 2
    labels[65:80, 50:90] = 2
    flows = np.ascontiguousarray(flow_field(labels))
    return np.repeat((labels > 0)[..., None], 3, -1).astype(np.float32), labels, flows


def test_the_target_is_cell_dy_dx_and_the_crop_is_seen_through_photometric(monkeypatch, cells):
    monkeypatch.setattr("train.data.augment.affine", lambda *_: np.eye(2, 3, dtype=np.float32))
    _, labels, flows = cells
    image = np.random.default_rng(0).random((120, 120, 3), np.float32)
    options = dataclasses.replace(NOTHING, crop=120, invert=1)
    crop, target = pair(image, labels, flows, 1, options, np.random.default_rng(0))
    assert crop.dtype == target.dtype == np.float32
    np.testing.assert_allclose(crop, 1 - image.transpose(2, 0, 1), atol=1e-6)
    np.testing.assert_array_equal(target[0], labels > 0)
    np.testing.assert_allclose(target[1:], labels_to_flows(labels), atol=1e-5)


@pytest.mark.parametrize("zoom", [1.0, 0.8, 1.3])
@pytest.mark.parametrize("seed", range(6))
def test_the_target_is_that_of_the_labels_in_the_crop(cells, seed, zoom):
    image, labels, flows = cells
    options = dataclasses.replace(NOTHING, crop=220, scale=(1, 1))
    crop, target = pair(image, labels, flows, zoom, options, np.random.default_rng(seed))
    turned, count = ndimage.label(target[0])
    assert count == 2
    assert target[0].sum() == pytest.approx(zoom**2 * np.count_nonzero(labels), rel=0.03)
    far = np.abs(crop - 0.5) > 0.4
    assert far.mean() > 0.95
    np.testing.assert_array_equal((crop > 0.5)[far], np.broadcast_to(target[0] > 0, crop.shape)[far])
    inner = cv2.erode(target[0], np.ones((5, 5))) > 0
    assert (target[1:] * labels_to_flows(turned.astype(np.int32)))[:, inner].sum(0).mean() > 0.97


def test_scale_is_drawn_evenly_in_its_logarithm_on_top_of_the_zoom(cells):
    image, labels, flows = cells
    options = dataclasses.replace(NOTHING, crop=120, scale=(0.5, 2))
    areas = [pair(image, labels, flows, 0.4, options, np.random.default_rng(s))[1][0].sum() for s in range(400)]
    factors = np.log2(np.sqrt(np.array(areas) / np.count_nonzero(labels)) / 0.4)
    assert np.abs(factors).max() < 1.05
    np.testing.assert_allclose(np.quantile(factors, (0.1, 0.25, 0.5, 0.75, 0.9)), (-0.8, -0.5, 0, 0.5, 0.8), atol=0.15)


def test_without_changes_every_value_stays(image):
    for seed in range(20):
        np.testing.assert_array_equal(changed(image, seed), image)


def test_inverted_is_one_less_the_image(image):
    np.testing.assert_array_equal(changed(image, 0, invert=1), 1 - image)


def test_dropped_colour_is_the_mean_of_the_channels(image):
    np.testing.assert_allclose(changed(image, 0, drop=1), np.stack([image.mean(-1)] * 3, -1), rtol=1e-6)


def test_shuffled_channels_take_every_order(image):
    orders = set()
    for seed in range(60):
        shuffled = changed(image, seed, shuffle=1)
        order = tuple(
            int(np.argmin(np.abs(image - channel[..., None]).sum((0, 1)))) for channel in shuffled.T.swapaxes(1, 2)
        )
        np.testing.assert_array_equal(shuffled, image[..., order])
        orders.add(order)
    assert len(orders) == 6


def gain(image, result):
    return result / image


def offset(image, result):
    return result - image


def gamma(image, result):
    np.testing.assert_array_equal(np.sign(image), np.sign(result))
    return np.log(np.abs(result)) / np.log(np.abs(image))


EXPOSURES = [("gain", (0.7, 1.3), gain), ("offset", 0.15, offset), ("gamma", (0.6, 1.6), gamma)]


@pytest.mark.parametrize(("option", "value", "measured"), EXPOSURES)
def test_an_exposure_is_one_number_for_the_whole_crop(image, option, value, measured):
    drawn = np.array([only(measured(image, changed(image, seed, **{option: value}))) for seed in range(150)])
    if option == "offset":
        assert drawn.mean() == pytest.approx(0, abs=0.04)
        assert drawn.std() == pytest.approx(value, rel=0.2)
    else:
        low, high = value
        assert low - 1e-3 < drawn.min() < low + 0.05
        assert high - 0.08 < drawn.max() < high + 1e-3


@pytest.mark.parametrize(("option", "value", "measured"), EXPOSURES)
def test_by_channel_it_is_one_number_for_each(image, option, value, measured):
    for seed in range(10):
        result = measured(image, changed(image, seed, **{option: value}, by_channel=1))
        drawn = [only(channel) for channel in np.moveaxis(result, -1, 0)]
        assert np.diff(sorted(drawn)).min() > 1e-4


def test_illumination_is_a_smooth_factor_alike_in_all_channels(image):
    for seed in range(10):
        field = changed(image, seed, illumination=1) / image
        np.testing.assert_allclose(field[..., 1:], field[..., :1].repeat(2, -1), atol=1e-4)
        assert 0.4 < field.min() < field.max() < 1.6
        assert np.ptp(field) > 0.1
        assert max(np.abs(np.diff(field, axis=axis)).max() for axis in (0, 1)) < 0.12


def test_blur_spreads_each_channel_by_a_gaussian():
    point = np.zeros((31, 31, 3), np.float32)
    point[15, 15, 1] = 1
    sigmas = []
    for seed in range(60):
        blurred = changed(point, seed, blur=1)
        assert not blurred[..., [0, 2]].any()
        assert blurred.sum() == pytest.approx(1, abs=1e-4)
        ratio = blurred[15, 16, 1] / blurred[15, 15, 1]
        sigmas.append(np.sqrt(-0.5 / np.log(ratio)))
        np.testing.assert_allclose(blurred[..., 1], ndimage.gaussian_filter(point[..., 1], sigmas[-1]), atol=2e-3)
    assert 0.3 - 1e-3 < min(sigmas) < 0.4
    assert 1.4 < max(sigmas) < 1.5 + 1e-3


def test_noise_is_normal_with_a_deviation_up_to_the_option_in_all_channels_alike_or_in_each(image):
    noises = [changed(image, seed, noise=0.08) - image for seed in range(80)]
    deviations = [float(noise.std()) for noise in noises]
    assert min(deviations) < 0.01
    assert 0.07 < max(deviations) < 0.083
    alike = 0
    for noise, deviation in zip(noises, deviations, strict=True):
        unit = noise[..., 0] / deviation
        assert abs(unit.mean()) < 0.12
        assert np.mean(np.abs(unit) < 1) == pytest.approx(0.683, abs=0.05)
        assert abs(np.corrcoef(unit[:, 1:].ravel(), unit[:, :-1].ravel())[0, 1]) < 0.1
        alike += bool(np.ptp(noise, axis=-1).max() < 1e-5)
    assert 20 < alike < 60


def test_where_the_percentiles_miss_the_cells_values_are_a_tenth_to_twenty_times_as_far_from_each_other():
    steps = np.linspace(0, 1, 3000, dtype=np.float32).reshape(50, 60, 1).repeat(3, -1)
    factors = []
    for seed in range(150):
        result = changed(steps, seed, misfit=1)
        slope, ground = np.polyfit(steps.ravel(), result.ravel(), 1)
        rest = result - slope * steps - ground
        factors.append(slope)
        if slope < 0.98:
            assert np.abs(rest).max() < 1e-5
            assert ground == pytest.approx(0, abs=1e-5)
        elif slope > 1.02:
            assert rest.std() < 0.26
            assert ground + slope / 2 == pytest.approx(0.5, abs=0.05)
    assert np.quantile(np.log(factors), (0, 0.5, 1)) == pytest.approx(np.log((0.1, 2**0.5, 20)), abs=0.4)


def test_noise_spans_up_to_the_whole_range_where_the_percentiles_see_nothing_else():
    ground = np.full((60, 60, 3), 0.2, np.float32)
    deviations = [float(changed(ground, seed, misfit=1).std()) for seed in range(100)]
    assert 0.2 < max(deviations) < 0.26


def test_specks_are_bright_and_few_and_stay_as_bright_where_they_are_wide():
    ground = np.zeros((100, 100, 3), np.float32)
    results = [changed(ground, seed, specks=1) for seed in range(100)]
    shares = [float((result[..., 0] > 0.5).mean()) for result in results]
    narrow = [result for result in results if not ((result > 0) & (result < 0.99)).any()]
    assert min(min(float(result.min()) for result in results), 0) > -1e-4
    assert 20 < len(narrow) < 50
    assert max((result[..., 0] > 0).mean() for result in narrow) < 0.012
    assert max(shares) < 0.2
    assert 25 < max(float(result.max()) for result in narrow) <= 30.01
    assert 25 < np.median([result.max() for result in results if np.count_nonzero(result)]) < 60
    alike = sum(not np.ptp(result, axis=-1).any() for result in results)
    assert 30 < alike < 70


@pytest.mark.parametrize("channels", [1, 2])
def test_channels_that_make_no_colour_picture_are_kept_each_by_itself(monkeypatch, channels):
    monkeypatch.setattr("train.data.jpeg.QUALITY", (30, 31))
    tissue = immunohistochemistry()[:96, :96].astype(np.float32)
    tissue = tissue[..., :1] if channels == 1 else np.stack([tissue[..., 0], 255 - tissue[..., 0]], -1)
    result = changed(tissue, 0, jpeg=1)
    for before, after in zip(tissue.T, result.T, strict=True):
        assert 2 < np.abs(after - before).mean() < 10


def test_a_crop_kept_in_a_jpeg_file_is_what_pillow_reads_of_one(monkeypatch):
    monkeypatch.setattr("train.data.jpeg.ZOOM", (1.0, 1.0))
    monkeypatch.setattr("train.data.jpeg.QUALITY", (30, 31))
    tissue = cv2.normalize(immunohistochemistry()[:96, :96], None, 0, 255, cv2.NORM_MINMAX)
    assert (tissue.min(), tissue.max()) == (0, 255)
    file = io.BytesIO()
    PIL.Image.fromarray(tissue[..., ::-1]).save(file, "JPEG", quality=30)
    reference = np.asarray(PIL.Image.open(file))[..., ::-1].astype(float)
    result = (changed((tissue / 51 - 2).astype(np.float32), 0, jpeg=1) + 2) * 51
    assert np.abs(result - reference).mean() < 1 < 5 < np.abs(tissue - reference).mean()


def test_a_jpeg_file_of_any_sampling_keeps_places_and_values_and_the_better_the_less_it_changes():
    y, x = np.mgrid[:80, :60]
    blob = 7 * np.exp(-((y - 33) ** 2 + (x - 21) ** 2) / 2 / 5**2) - 2
    crop = blob[..., None].repeat(3, -1).astype(np.float32)
    errors, centres = [], []
    for seed in range(60):
        result = changed(crop, seed, jpeg=1)
        weight = np.where(result > 0, result + 2, 0).mean(-1)
        centres.append([float((weight * axis).sum() / weight.sum()) for axis in (y, x)])
        errors.append(float(np.abs(result - crop).mean()))
    assert np.abs(np.subtract(centres, (33, 21))).max() < 0.4
    assert np.mean(centres, axis=0) == pytest.approx((33, 21), abs=0.05)
    assert 0 < min(errors) < 0.03 < max(errors) < 0.3


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_jpeg_file_of_one_value_keeps_it(channels):
    ground = np.full((20, 30, channels), 0.3, np.float32)
    np.testing.assert_allclose(changed(ground, 0, jpeg=1), ground, atol=1e-6)


@pytest.mark.parametrize("option", ["drop", "shuffle", "invert", "blur", "illumination", "misfit", "jpeg"])
def test_probabilities_are_per_crop(image, option):
    small = image[:8, :8]
    share = np.mean([(changed(small, seed, **{option: 0.4}) != small).any() for seed in range(400)])
    assert share == pytest.approx(0.4 * (5 / 6 if option == "shuffle" else 1), abs=0.08)


def test_the_probability_of_by_channel_is_per_crop(image):
    grey = image[:8, :8, :1].repeat(3, -1)
    results = [changed(grey, seed, gain=(0.5, 2), by_channel=0.4) for seed in range(400)]
    assert np.mean([np.ptp(result, axis=-1).any() for result in results]) == pytest.approx(0.4, abs=0.08)
