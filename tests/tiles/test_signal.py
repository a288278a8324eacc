"""Channels without signal, pictures of one hue, and the colours and dim stains that must stay."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from flowmask.images.image import ArrayImage, as_image
from flowmask.network.contract import CHANNEL_POLICIES
from flowmask.options import Segmentation
from flowmask.tiles.channels import channel_map
from flowmask.tiles.inputs import GREY, find_inputs
from flowmask.tiles.normalise import intensity_ranges
from flowmask.tiles.signal import find_signal
from flowmask.tiles.survey import survey
from tests.conftest import DATA, needs_data
from tests.reference.plans import FLOW

HUES = {
    "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "cyan": (0, 1, 1), "magenta": (1, 0, 1),
    "yellow": (1, 1, 0), "orange": (1, 0.5, 0), "azure": (0, 0.5, 1),
}  # fmt: skip
COLOURED = ("dsb2018_brightfield_stained_nuclei_rgb", "multiplex_cells_codex_murphy", "brightfield_neuron_pfc")


@cache
def stain(seed, side=256, cells=40):
    """(Y, X) uint8: smooth cells of diameter 18 px and of brightness 60 to 220 on a dark ground, with read noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    picture = np.zeros((side, side))
    for cy, cx in random.integers(10, side - 10, (cells, 2)):
        picture = np.maximum(picture, random.uniform(60, 220) / (1 + np.exp(np.hypot(y - cy, x - cx) - 9)))
    picture = (picture + random.normal(0, 1.5, picture.shape)).clip(0, 255).astype(np.uint8)
    picture.setflags(write=False)  # several tests get the same array
    return picture


def coloured(grey, hue):
    return np.dstack([(grey * part).astype(np.uint8) for part in hue])


def jpeg(rgb, quality):
    encoded = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]


def inputs_of(pixels, contract=FLOW, **options):
    image = pixels if hasattr(pixels, "read") else as_image(pixels)
    return find_inputs(image, contract, Segmentation(**options))


@pytest.mark.parametrize(
    "quality", [None, 60, pytest.param(75, marks=pytest.mark.slow), pytest.param(95, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("hue", HUES)
def test_a_picture_of_one_hue_is_a_grey_picture(hue, quality):
    picture = coloured(stain(1), HUES[hue])
    picture = picture if quality is None else jpeg(picture, quality)
    inputs = inputs_of(picture)
    assert inputs.channels == (GREY,) * 3
    assert inputs.notes == ("The image has one hue and was used as a grey image.",)
    mean = picture @ np.array([0.25, 0.5, 0.25])
    np.testing.assert_allclose(inputs.ranges[0], [np.percentile(mean, 1), np.ptp(np.percentile(mean, (1, 99)))], atol=1)
    chosen = inputs_of(picture, channels=(1, 2, 3))
    assert (chosen.channels, chosen.notes) == (((0,), (1,), (2,)), ())


@pytest.mark.parametrize("policy", CHANNEL_POLICIES)
@pytest.mark.parametrize("hue", ["red", "blue"])
def test_one_hue_for_every_policy(policy, hue):
    inputs = inputs_of(coloured(stain(1), HUES[hue]), replace(FLOW, channels=policy))
    sources = (0, 1, 2) if policy == "cellpose" else GREY
    assert inputs.channels == tuple(sources if used else () for used in channel_map(policy, 1))
    assert inputs.unused is None


@pytest.mark.parametrize(
    "quality", [None, 60, pytest.param(75, marks=pytest.mark.slow), pytest.param(95, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "strength", [0.2, pytest.param(0.5, marks=pytest.mark.slow), pytest.param(1.0, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("cells", [40, 1])
def test_a_second_stain_that_is_dim_stays(quality, strength, cells):
    picture = np.dstack([stain(1), (stain(2, cells=cells) * strength).astype(np.uint8), np.zeros((256, 256), np.uint8)])
    inputs = inputs_of(picture if quality is None else jpeg(picture, quality))
    assert inputs.channels == ((0,), (1,), ())
    assert inputs.notes == ("Channel 3 has no signal of its own and was not used; choose others with `channels`.",)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_channel_of_a_few_per_cent_is_not_stretched(dtype):
    random = np.random.default_rng(4)
    first, second = stain(1) * 40.0 + 100, stain(2) * 4.0 + 100
    noise = random.normal(120, 25, first.shape)
    inputs = inputs_of(ArrayImage(np.stack([first, second, noise]).astype(dtype)))
    assert inputs.channels == ((0,), (1,), ())
    alone = inputs_of(ArrayImage(np.stack([noise, first]).astype(dtype)))
    assert alone.channels == ((1,),) * 3
    assert alone.notes == ("Channel 1 has no signal of its own and only channel 2 was used, as a grey image.",)


def test_an_exact_dim_copy_of_a_channel_is_no_second_stain_but_a_dim_spot_is():
    first = stain(1)
    copy = first // 5
    assert inputs_of(np.dstack([first, copy, 0 * copy])).channels == (GREY,) * 3
    copy[100:104, 100:104] += 20
    assert inputs_of(np.dstack([first, copy, 0 * copy])).channels == ((0,), (1,), ())


@pytest.mark.parametrize("quality", [None, 60, 95])
def test_bright_ground_keeps_its_colours(quality):
    tissue = 255 - coloured(stain(1), (0.3, 0.9, 0.5))
    inputs = inputs_of(tissue if quality is None else jpeg(tissue, quality))
    assert inputs.channels == ((0,), (1,), (2,))
    assert not inputs.notes


def test_grey_stored_as_colour_is_as_before():
    inputs = inputs_of(coloured(stain(1), (1, 1, 1)))
    assert inputs.channels == ((0,), (1,), (2,))
    assert len(np.unique(inputs.ranges, axis=0)) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_ranges_are_those_of_the_percentiles(dtype):
    pixels = np.stack([stain(1), stain(2)]).astype(dtype)
    image = ArrayImage(pixels)
    inputs = inputs_of(image)
    np.testing.assert_array_equal(inputs.ranges, intensity_ranges(image, ((0,), (1,), ()), (1.0, 99.0)))
    assert (inputs.notes, inputs.warnings, inputs.unused) == ((), (), None)


@needs_data
@pytest.mark.parametrize("source", COLOURED)
def test_real_colours_stay(source):
    paths = [path for path in sorted((DATA / source).glob("*.png")) if not path.stem.endswith("_label")]
    assert paths
    for path in paths[:: 1 + len(paths) // 40]:
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1].transpose(2, 0, 1)
        levels = survey(ArrayImage(pixels), range(3), (1.0, 99.0))
        signal = find_signal(ArrayImage(pixels), levels)
        assert not signal.one_hue, path
        assert all(levels[channel].minimum == levels[channel].maximum for channel in signal.empty), path


@pytest.mark.parametrize("hue", ["red", "blue", "magenta"])
@pytest.mark.parametrize("quality", [75, 95])
def test_lettering_in_white_does_not_give_a_one_hue_picture_two_stains(hue, quality):
    rgb = coloured(stain(1), HUES[hue])
    rgb[-14:-10, -60:-10] = 255
    inputs = inputs_of(jpeg(rgb, quality))
    assert inputs.channels == (GREY,) * 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("stained", [0, 2])
def test_the_noise_of_a_camera_is_no_stain(dtype, stained):
    """One channel with cells and two that hold an offset and noise, a tenth as wide as the stain."""
    random = np.random.default_rng(2)
    noisy = [30 + random.normal(0, 4, (256, 256)) for _ in range(3)]
    noisy[stained] += 0.8 * stain(1)
    inputs = inputs_of(np.stack(noisy).clip(0, 255).astype(dtype))
    assert inputs.channels == ((stained,),) * 3
    assert "have no signal of their own" in inputs.notes[0]


def test_a_dim_stain_in_the_noise_of_a_camera_stays():
    random = np.random.default_rng(3)
    noisy = [100 + random.normal(0, 10, (256, 256)) for _ in range(3)]
    noisy[0] += 4.0 * stain(1)
    noisy[1] += 0.4 * stain(2, cells=8)
    assert inputs_of(np.stack(noisy).astype(np.uint16)).channels == ((0,), (1,), ())


def test_an_unused_channel_is_named_once():
    """Of four channels the first is empty and the fourth is more than the network takes."""
    pixels = np.zeros((4, 256, 256), np.uint8)
    pixels[1], pixels[2], pixels[3] = stain(1), stain(2), 255 - stain(3)
    inputs = inputs_of(pixels)
    assert inputs.notes == ("Channel 1 has no signal of its own and was not used; choose others with `channels`.",)
    assert inputs.unused == "Channels 2 and 3 were used and channel 4 was ignored; choose others with `channels`."
