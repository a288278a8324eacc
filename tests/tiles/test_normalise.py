"""Channel policies, and percentiles against numpy's."""

import numpy as np
import pytest

from flowmask.errors import SettingsError
from flowmask.images.image import ArrayImage
from flowmask.tiles.channels import channel_map
from flowmask.tiles.normalise import intensity_ranges, mix, normalise

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("policy", "channels", "plan"),
    [
        ("rgb", 1, ((0,), (0,), (0,))),
        ("rgb", 2, ((0,), (1,), ())),
        ("rgb", 3, ((0,), (1,), (2,))),
        ("rgb", 5, ((0,), (1,), (2,))),
        ("green-blue", 1, ((0,), ())),
        ("green-blue", 2, ((0,), (1,))),
        ("green-blue", 3, ((1,), (2,))),
        ("cellpose", 3, ((0, 1, 2), ())),
    ],
)
def test_policies(policy, channels, plan):
    assert channel_map(policy, channels) == plan


def test_a_choice_overrides_the_policy_with_the_meaning_of_cellpose():
    assert channel_map("cellpose", 3, (2, 3)) == ((1,), (2,))
    assert channel_map("cellpose", 3, (0, 0)) == ((0, 1, 2), ())
    assert channel_map("rgb", 4, (4, 0, 1)) == ((3,), (), (0,))
    assert channel_map("rgb", 4, (4, 2)) == ((3,), (1,), ())


@pytest.mark.parametrize("choice", [(), (4,), (1, 2, 4), (-1, 0, 0), (1, 2, 3, 0)])
def test_a_choice_that_does_not_fit_is_refused(choice):
    with pytest.raises(SettingsError, match="`channels"):
        channel_map("rgb", 3, choice)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.bool_])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (37, 53)])
def test_levels_are_numpys_percentiles(dtype, shape):
    pixels = (RNG.random((2, *shape)) * 250).astype(dtype)
    level = intensity_ranges(ArrayImage(pixels), ((0,), (1,)), (1.0, 99.0))
    low, high = np.percentile(pixels.astype(np.float64), (1, 99), axis=(1, 2))
    np.testing.assert_allclose(level[:, 0], low, rtol=1e-6)
    np.testing.assert_allclose(level[:, 1], high - low, rtol=1e-5, atol=1e-4)


def test_the_mean_of_channels_is_normalised_as_one_input():
    pixels = RNG.integers(0, 60000, (3, 20, 20)).astype(np.uint16)
    level = intensity_ranges(ArrayImage(pixels), ((0, 1, 2), ()), (1.0, 99.0))
    low, high = np.percentile(pixels.mean(0), (1, 99))
    np.testing.assert_allclose(level, [[low, high - low], [0, 0]], rtol=1e-6)


def test_normalising_does_not_clip_and_empties_flat_inputs():
    pixels = np.stack([np.arange(10000).reshape(100, 100), np.full((100, 100), 7)]).astype(np.uint16)
    plan = ((0,), (1,), ())
    level = intensity_ranges(ArrayImage(pixels), plan, (1.0, 99.0))
    out = normalise(mix(pixels, plan), level)
    assert out[0].min() < 0 < 1 < out[0].max()
    np.testing.assert_allclose(np.percentile(out[0], (1, 99)), (0, 1), atol=1e-6)
    assert not out[1:].any()


def test_values_that_are_not_finite_do_not_count():
    pixels = RNG.random((1, 30, 30)).astype(np.float32)
    broken = pixels.copy()
    broken[0, 0, :3] = (np.nan, np.inf, -np.inf)
    plan = ((0,),)
    level = intensity_ranges(ArrayImage(broken), plan, (1.0, 99.0))
    assert np.isfinite(level).all()
    assert np.isfinite(normalise(mix(broken, plan), level)).all()


def test_small_floats_keep_their_contrast():
    pixels = (RNG.random((1, 30, 30)) * 1e-5).astype(np.float32)
    plan = ((0,),)
    assert np.ptp(normalise(mix(pixels, plan), intensity_ranges(ArrayImage(pixels), plan, (1.0, 99.0)))) > 1


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.float64])
def test_a_large_offset_costs_no_contrast(dtype):
    small = RNG.integers(0, 200, (1, 30, 30))
    plan = ((0,),)
    near = normalise(
        mix(small.astype(np.uint8), plan), intensity_ranges(ArrayImage(small.astype(np.uint8)), plan, (1.0, 99.0))
    )
    far = (small + 2**31).astype(dtype)
    np.testing.assert_allclose(
        normalise(mix(far, plan), intensity_ranges(ArrayImage(far), plan, (1.0, 99.0))), near, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_sparse_image_keeps_its_contrast(dtype):
    pixels = np.zeros((1, 100, 100), dtype)
    pixels[0, 40:47, 40:47] = 200
    plan = ((0,),)
    out = normalise(mix(pixels, plan), intensity_ranges(ArrayImage(pixels), plan, (1.0, 99.0)))
    assert (out.min(), out.max()) == (0, 1)
