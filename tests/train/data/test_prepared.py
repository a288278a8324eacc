"""Images prepared for training: sampling by source, clipped values."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flowmask.images.image import ArrayImage  # noqa: E402
from flowmask.network.contract import Clahe  # noqa: E402
from tests.reference.mesmer import preprocessed  # noqa: E402
from train.data.augment import augmented  # noqa: E402
from train.data.prepared import prepare, weights_by_source  # noqa: E402
from train.families.flow.family import FAMILY  # noqa: E402
from train.families.flow.targets import flow_target  # noqa: E402
from train.recipes.template import RECIPE  # noqa: E402
from train.simulate import simulate  # noqa: E402


def prepared(source="a", seed=0):
    sample = simulate("fluorescence_nuclei", (120, 140), seed, 24)
    return prepare(ArrayImage(sample.image[None]), sample.labels, source, "rgb", FAMILY.field)


def test_equalised_images_are_those_of_mesmer():
    sample = simulate("fluorescence_nuclei", (120, 140), 1, 24)
    image = prepare(ArrayImage(sample.image[None]), sample.labels, "a", "green-blue", FAMILY.field, Clahe()).image
    np.testing.assert_array_equal(image[..., 0], preprocessed(sample.image).astype(np.float16))
    assert not image[..., 1].any()


def test_a_crop_is_reproducible_and_has_the_targets_size():
    image, options = prepared(), RECIPE.stages[0].augmentation
    pairs = []
    for _ in range(2):
        given = image.image.astype(np.float32), image.labels, 30 / image.diameter
        crop, labels, matrix = augmented(*given, options, np.random.default_rng(9))
        pairs.append((crop, flow_target(labels, image, matrix)))
    one, two = pairs
    assert one[0].shape == one[1].shape == (3, 224, 224)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_no_source_drowns_the_others():
    images = [prepared()] * 100 + [dataclasses.replace(prepared(), source="b")] * 4
    weights = weights_by_source(images, 80, {}, 0.5)
    assert weights.sum() == pytest.approx(1)
    assert weights[:100].sum() / weights[100:].sum() == pytest.approx(np.sqrt(80) / np.sqrt(4))


def test_shares_and_the_simulated_share_are_factors_on_the_weight_of_a_source():
    images = [
        dataclasses.replace(prepared(), source=source) for source in ("a", "b", "simulated dic", "simulated rods")
    ]
    weights = weights_by_source(images, 80, {"b": 3.0, "simulated rods": 0.8}, 0.5)
    np.testing.assert_allclose(weights / weights[0], [1, 3, 0.5, 0.8])


def test_values_that_half_precision_cannot_hold_are_clipped():
    pixels = np.full((40, 40), 100.0, np.float32)
    pixels[::2] += 1e-3
    pixels[10, 10:14] = 4e4
    image = prepare(ArrayImage(pixels[None]), np.zeros((40, 40), np.int32), "lab", "rgb", FAMILY.field).image
    assert np.isfinite(image).all()
    assert image.max() == 1e4
