"""A grey crop that is stored as a JPEG picture of one hue."""

import numpy as np

from flowmask.images.image import ArrayImage
from flowmask.network.contract import Contract
from flowmask.options import Segmentation
from flowmask.tiles.inputs import find_inputs
from train.data.jpeg import GREY, as_one_hue_jpeg


def test_the_crop_stays_grey_and_loses_detail_but_not_its_place():
    y, x = np.mgrid[:90, :70]
    blob = 3 * np.exp(-((y - 33) ** 2 + (x - 21) ** 2) / 2 / 6**2) - 1
    crop = blob[..., None].repeat(3, -1).astype(np.float32)
    for seed in range(20):
        changed = as_one_hue_jpeg(crop, np.random.default_rng(seed))
        assert changed.shape == crop.shape
        assert not np.ptp(changed, axis=-1).any()
        assert 0 < np.abs(changed - crop).mean() < 0.12
        weight = np.clip(changed[..., 0], 0, None)
        centre = np.array([(weight * y).sum(), (weight * x).sum()]) / weight.sum()
        assert np.abs(centre - [33, 21]).max() < 1


def test_the_engine_reads_a_picture_of_one_hue_with_the_same_weights():
    contract = Contract("example", "rgb", 30.0, 30.0, False, "", "")
    blue = np.zeros((3, 64, 64), np.uint8)
    blue[2, 20:40, 20:40] = 200
    sources = find_inputs(ArrayImage(blue), contract, Segmentation()).channels[0]
    np.testing.assert_array_equal(np.bincount(sources, minlength=3) / len(sources), GREY)
