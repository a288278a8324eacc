"""Images without a range: constant, noise of few grey levels, JPEG's pattern of noise; and dim cells that must stay."""

import cv2
import numpy as np
import pytest

import flowmask
from flowmask.images.image import ArrayImage
from flowmask.tiles.contrast import is_noise
from flowmask.tiles.survey import survey
from tests.conftest import needs_network
from tests.tiles.test_signal import inputs_of
from train.simulate import simulate


def jpeg(grey, quality):
    return cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def dark_field(seed, quality, levels=5, side=512):
    noise = np.random.default_rng(seed).integers(0, levels, (side, side)).astype(np.uint8)
    return noise if quality is None else jpeg(noise, quality)


def field(seed, noise, dtype, side=256):
    """(Y, X) float: read noise on a dark ground."""
    random = np.random.default_rng(seed)
    ground = 100 if dtype == np.uint16 else random.uniform(5, 15)
    return (ground + random.normal(0, noise, (side, side))).clip(0)


def shows_noise(pixels):
    image = ArrayImage(pixels[None])
    return is_noise(image, 0, survey(image, [0], (1.0, 99.0))[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("noise", [1.0, 2.0, 4.0])
def test_read_noise_is_noise(noise, dtype):
    found = [shows_noise(field(seed, noise, dtype).round().astype(dtype)) for seed in range(8)]
    assert sum(found) >= 7


def test_uneven_light_is_no_object():
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    found = [shows_noise((field(seed, 1.0, np.uint16) - 6 * (x**2 + y)).round().astype(np.uint16)) for seed in range(8)]
    assert sum(found) >= 7


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "contrast", [3, pytest.param(5, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("noise", [1.0, pytest.param(2.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "diameter", [6, pytest.param(12, marks=pytest.mark.slow), pytest.param(24, marks=pytest.mark.slow), 60]
)
@pytest.mark.parametrize("count", [1, 5])
def test_dim_cells_are_no_noise(count, diameter, noise, contrast, dtype):
    y, x = np.mgrid[:256, :256]
    for seed in range(5):
        pixels = field(seed, noise, dtype)
        for cy, cx in np.random.default_rng(seed).integers(diameter // 2 + 2, 254 - diameter // 2, (count, 2)):
            pixels += contrast * (np.hypot(y - cy, x - cx) <= diameter / 2)
        assert not shows_noise(pixels.round().clip(0).astype(dtype))


@pytest.mark.slow
@pytest.mark.parametrize("contrast", [3, 5, 10])
@pytest.mark.parametrize("diameter", [5, 12])
def test_many_dim_cells_are_no_noise(diameter, contrast):
    y, x = np.mgrid[:256, :256]
    for seed in range(5):
        pixels = field(seed, 1.5, np.uint8)
        for cy, cx in np.random.default_rng(seed).integers(0, 256, (200, 2)):
            pixels += contrast * (np.hypot(y - cy, x - cx) <= diameter / 2)
        assert not shows_noise(pixels.round().clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("contrast", [8, 20, 40])
def test_single_pixels_that_exceed_the_noise_are_no_noise(contrast):
    for seed in range(5):
        pixels = field(seed, 1.0, np.uint8)
        pixels[tuple(np.random.default_rng(seed).integers(0, 256, (2, 3)))] += contrast
        assert not shows_noise(pixels.round().clip(0).astype(np.uint8))


@pytest.mark.parametrize("quality", [60, 75, 90])
@pytest.mark.parametrize("diameter", [24, 40])
def test_dim_cells_in_a_jpeg_are_no_noise(diameter, quality):
    y, x = np.mgrid[:256, :256]
    for seed in range(5):
        pixels = field(seed, 1.0, np.uint8)
        cy, cx = np.random.default_rng(seed).integers(diameter, 256 - diameter, 2)
        pixels += 6 * (np.hypot(y - cy, x - cx) <= diameter / 2)
        assert not shows_noise(jpeg(pixels.round().astype(np.uint8), quality))


def blank(seed, noise, quality, channels=1, mean=100, side=256):
    """(Y, X) or (Y, X, 3) uint8: noise of the camera, stored as JPEG with halved colours; blue alone for -1."""
    random = np.random.default_rng(seed)
    pixels = random.normal(mean, noise, (side, side, abs(channels))).round().clip(0, 255).astype(np.uint8)
    if channels == -1:
        pixels = np.concatenate([pixels, np.zeros_like(pixels), np.zeros_like(pixels)], axis=2)
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("channels", [1, 3, -1])
@pytest.mark.parametrize("quality", [50, 75, 85, 95])
def test_compressed_noise_shows_nothing(quality, channels):
    empty = []
    for seed, noise in enumerate((1.5, 2, 4, 8, 16)):
        pixels = blank(seed, noise, quality, channels)
        inputs = inputs_of(np.ascontiguousarray(pixels[..., ::-1]) if channels != 1 else pixels)
        empty.append(not inputs.ranges[:, 1].any() and "shows no contrast" in inputs.warnings[0])
    assert sum(empty) >= 4, empty


@pytest.mark.parametrize("hue", [(1, 1, 1), (0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize("quality", [50, 75, 95])
def test_dim_noisy_cells_in_a_jpeg_are_kept(quality, hue):
    y, x = np.mgrid[:256, :256]
    for seed, noise in enumerate((4, 8)):
        random = np.random.default_rng(seed)
        cells = np.zeros((256, 256))
        for cy, cx in random.integers(15, 240, (25, 2)):
            cells = np.maximum(cells, np.hypot(y - cy, x - cx) <= 9)
        grey = (30 + noise * (3 * cells + random.normal(0, 1, cells.shape))).round().clip(0, 255).astype(np.uint8)
        rgb = np.dstack([grey * part for part in hue[::-1]]).astype(np.uint8)
        decoded = cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        assert inputs_of(np.ascontiguousarray(decoded[..., ::-1])).ranges[:, 1].any()


@needs_network
@pytest.mark.parametrize(("channels", "noise", "quality"), [(1, 2, 85), (1, 2, 50), (-1, 2, 85)])
def test_a_blank_jpeg_has_no_cells_and_is_not_good(network, channels, noise, quality):
    pixels = blank(0, noise, quality, channels)
    result = flowmask.segment(np.ascontiguousarray(pixels[..., ::-1]) if channels != 1 else pixels, network)
    assert (len(result.cells), result.verdict.level) == (0, "check")
    assert "The image shows no contrast" in result.warnings[0]


def test_the_check_for_noise_can_be_skipped():
    for channels in (1, -1):
        pixels = np.ascontiguousarray(blank(0, 2, 85, channels)[..., ::-1])
        assert not inputs_of(pixels).ranges[:, 1].any()
        inputs = inputs_of(pixels, skip_noise_check=True)
        assert inputs.ranges[:, 1].any()
        assert inputs.warnings[0] == "The image seems to show only noise; check whether the cells are real."


@needs_network
@pytest.mark.parametrize(
    ("seed", "quality"),
    [
        (0, 40),
        pytest.param(1, 40, marks=pytest.mark.slow),
        pytest.param(2, 40, marks=pytest.mark.slow),
        pytest.param(3, None, marks=pytest.mark.slow),
    ],
)
def test_a_dark_field_has_no_cells_and_a_warning(network, seed, quality):
    result = flowmask.segment(dark_field(seed, quality), network)
    assert len(result.cells) == 0
    assert not result.labels.any()
    assert "The image shows no contrast: its" in result.warnings[0]


@pytest.mark.parametrize("quality", [None, 90])
@pytest.mark.parametrize("seed", [1_000_000, 1_000_003])
def test_a_dense_layer_of_cells_that_are_all_alike_is_no_noise(seed, quality):
    """Neighbouring blocks of it are related no more than those of noise."""
    sample = simulate("confluent", (384, 384), seed)
    grey = sample.image if quality is None else jpeg(sample.image, quality)
    assert sample.labels.max() > 400
    assert inputs_of(grey).ranges[0, 1] > 10


@pytest.mark.parametrize(
    ("kind", "seed", "diameter", "quality"),
    [
        ("filaments", 1_000_000, 8, None), ("confluent", 1_000_001, 8, 90), ("spread_brightfield", 1_000_000, 8, 30),
        ("branched_transmitted", 1_000_002, 8, 30), ("branched_fluorescence", 1_000_002, 8, 30),
        ("tissue_section", 1_000_001, 8, 90), ("cytology_smear", 1_000_002, 8, None),
        ("branched_stained", 1_000_003, 10, 60),
    ],
)  # fmt: skip
def test_small_cells_close_together_are_no_noise(kind, seed, diameter, quality):
    pixels = simulate(kind, (256, 256), seed, diameter).image
    if quality is not None:
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert inputs_of(pixels).ranges[:, 1].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.bool_])
@pytest.mark.parametrize("value", [0, 1])
def test_a_constant_image_has_no_range_and_a_warning(dtype, value):
    inputs = inputs_of(np.full((80, 80), value, dtype))
    assert not inputs.ranges[:, 1].any()
    other = ", or are NaN or infinite" if dtype is np.float32 else ""
    assert inputs.warnings == (f"The image shows no contrast: all its pixels have one value{other}.",)


def test_few_levels_that_show_something_are_used_with_a_warning():
    pixels = np.zeros((128, 128), np.uint8)
    pixels[40:60, 40:60] = 4
    inputs = inputs_of(pixels)
    assert inputs.ranges[0].tolist() == [0, 4]
    assert inputs.warnings == ("The grey levels have a range of only 5; check whether the cells are real.",)


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [(np.uint16, 0), (np.uint16, 65535), (np.int16, -9999), (np.float32, -9999), (np.float32, 1e20), (np.float64, 0)],
)
def test_missing_pixels_do_not_count(dtype, fill):
    y, x = np.mgrid[:200, :200]
    pixels = (5000 + 900 * (np.hypot(y % 50 - 25, x % 50 - 25) < 12)).astype(dtype)
    pixels += np.random.default_rng(0).integers(0, 20, pixels.shape).astype(dtype)
    expected = inputs_of(pixels[:, 50:])
    pixels[:, :50] = fill
    inputs = inputs_of(pixels)
    assert inputs.fills == (float(dtype(fill)),)
    np.testing.assert_array_equal(inputs.ranges, expected.ranges)
    assert inputs.warnings[0].startswith(f"In channel 1, 25% of the pixels have the value {fill:g}, far outside")


@pytest.mark.parametrize(("dtype", "offset"), [("i2", -30_000), ("i4", -1000), ("f4", -500.5), ("f4", -30_000)])
def test_dark_ground_far_from_zero_is_not_missing(dtype, offset):
    """As in ImageJ's signed 16-bit images. Floats and large integers are counted in bins of almost one percent."""
    pixels = np.full((100, 200), offset, np.float64)
    pixels[20:60, 20:60] += np.random.default_rng(0).integers(1, 0.0075 * abs(offset), (40, 40))
    assert inputs_of(pixels.astype(dtype)).fills == (None,)


@needs_network
def test_cells_beside_missing_pixels_are_found(network):
    y, x = np.mgrid[:200, :200]
    pixels = (100 + 1000 * (np.hypot(y % 50 - 25, x % 50 - 25) < 12)).astype(np.float32)
    pixels += np.random.default_rng(0).normal(0, 5, pixels.shape).astype(np.float32)
    pixels[:, :50] = -99999
    result = flowmask.segment(pixels, network, diameter=24)
    assert len(result.cells) == 12
    assert not result.labels[:, :50].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_dark_ground_and_saturated_cells_are_not_missing(dtype):
    random = np.random.default_rng(0)
    y, x = np.mgrid[:200, :200]
    cells = np.hypot(y % 50 - 25, x % 50 - 25) < 12
    ground = random.integers(0, 30, cells.shape)
    soft = cv2.GaussianBlur(np.where(cells, 400.0, ground), (0, 0), 1.5)
    for pixels in (np.where(cells, ground + 100, 0), soft.clip(0, 255), np.where(cells, 255, 0)):
        assert inputs_of(pixels.astype(dtype)).fills == (None,)
    if dtype == np.uint8:
        assert inputs_of(np.where(cells, 255, ground).astype(dtype)).fills == (None,)
