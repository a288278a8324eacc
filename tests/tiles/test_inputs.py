"""What the network gets: empty channels, gaps, noise, names of channels, micrometres."""

import cv2
import numpy as np
import pytest

from flowmask.errors import SettingsError
from flowmask.families import check_options
from flowmask.images.image import ArrayImage, as_image
from flowmask.options import Segmentation
from flowmask.tiles.channels import channel_map
from flowmask.tiles.inputs import find_inputs
from tests.reference.plans import FLOW

RNG = np.random.default_rng(5)


def stain(seed, side=256):
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    picture = np.zeros((side, side))
    for cy, cx in random.integers(10, side - 10, (40, 2)):
        picture = np.maximum(picture, random.uniform(60, 220) / (1 + np.exp(np.hypot(y - cy, x - cx) - 9)))
    return (picture + random.normal(0, 1.5, picture.shape)).clip(0, 255).astype(np.uint8)


def inputs_of(pixels, **options):
    image = pixels if hasattr(pixels, "read") else as_image(pixels)
    choice = Segmentation(**options)
    return find_inputs(image, channel_map("rgb", image.shape[0], choice.channels), FLOW, choice)


@pytest.mark.parametrize("quality", [60, 75, 95])
@pytest.mark.parametrize("hue", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)])
def test_a_picture_of_one_hue_is_a_grey_picture(hue, quality):
    colours = np.dstack([stain(1) * np.uint8(part) for part in hue])
    picture = cv2.imdecode(cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    inputs = inputs_of(picture)
    assert len(set(inputs.channels)) == 1
    assert hue[inputs.channels[0][0]]
    assert "grey image" in inputs.notes[0]
    assert inputs_of(picture, channels=(1, 2, 3)).channels == ((0,), (1,), (2,))


def test_a_dim_second_stain_stays_and_noise_goes():
    first, second = stain(1), stain(2)
    dim, noise = (second * 0.2).astype(np.uint8), RNG.integers(0, 4, first.shape).astype(np.uint8)
    assert inputs_of(np.dstack([first, dim, noise])).channels == ((0,), (1,), ())


@pytest.mark.parametrize("fill", [0, 65535])
def test_a_gap_does_not_count(fill):
    pixels = (stain(1).astype(np.uint16) + 5000)[None]
    whole, pixels = inputs_of(ArrayImage(pixels.copy())), pixels.copy()
    pixels[:, :, :30] = fill
    inputs = inputs_of(ArrayImage(pixels))
    assert inputs.gaps == (fill,)
    assert inputs.warnings
    np.testing.assert_allclose(inputs.ranges, whole.ranges, atol=25)


def test_few_levels_of_noise_give_nothing_and_a_warning():
    noise = RNG.integers(0, 5, (512, 512)).astype(np.uint8)
    inputs = inputs_of(noise)
    assert not inputs.ranges[:, 1].any()
    assert "no contrast" in inputs.warnings[0]
    dim = (stain(1) // 10).astype(np.uint8)
    assert not inputs_of(dim).warnings


def test_channels_are_chosen_by_name():
    names = ("CD3", "CD8", "PanCK", "DAPI")
    assert channel_map("rgb", 4, ("dapi",), names) == ((3,),) * 3
    assert channel_map("green-blue", 4, ("PanCK", 4), names) == ((2,), (3,))
    with pytest.raises(SettingsError, match="CD3, CD8, PanCK, DAPI"):
        channel_map("rgb", 4, ("GFP",), names)
    with pytest.raises(SettingsError, match="2 channels"):
        channel_map("rgb", 4, ("CD",), names)


def test_micrometres():
    assert Segmentation(diameter="12um", pixel_size=0.5).diameter_in_pixels(None) == 24
    assert Segmentation(diameter="12um").diameter_in_pixels(0.25) == 48
    with pytest.raises(SettingsError, match="--pixel-size"):
        Segmentation(diameter="12um").diameter_in_pixels(None)
    with pytest.raises(SettingsError, match="--pixel-size is used only"):
        check_options(FLOW, Segmentation(pixel_size=0.5))
    for wrong in ({"diameter": "12mm"}, {"diameter": "0um"}):
        with pytest.raises(SettingsError):
            Segmentation(**wrong)
