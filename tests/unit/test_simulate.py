"""The simulator of labelled images: shapes, determinism and the promises made about labels."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage

from train.simulate import MODALITIES, Sample, simulate

SHAPE = (160, 160)


def uncut_diameters(sample: Sample) -> np.ndarray:
    """Equivalent diameters, in px, of the cells that do not meet the image border."""
    labels = sample.labels
    areas = np.bincount(labels.ravel())
    areas[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = 0
    areas[0] = 0
    return np.sqrt(4 / np.pi * areas[areas > 0])


@pytest.mark.parametrize("modality", MODALITIES)
def test_equal_arguments_give_equal_samples_and_seeds_differ(modality: str) -> None:
    first, again, other = (simulate(modality, SHAPE, seed, 24) for seed in (1, 1, 2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert first.modality == modality
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", range(3))
def test_no_two_modalities_share_the_labels_of_a_seed(seed: int) -> None:
    labels = [simulate(modality, SHAPE, seed, 24).labels for modality in MODALITIES]
    assert not any(np.array_equal(one, other) for one, other in combinations(labels, 2) if one.any() or other.any())


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("seed", range(3))
def test_labels_are_sequential_and_connected(modality: str, seed: int) -> None:
    labels = simulate(modality, SHAPE, seed).labels
    areas = np.bincount(labels.ravel())[1:]
    assert np.all(areas >= 12)
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        assert ndimage.label(labels[box] == index)[1] == 1


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("shape", [SHAPE, (97, 401), (33, 20)])
def test_types_and_shapes(modality: str, shape: tuple[int, int]) -> None:
    sample = simulate(modality, shape, 3)
    assert sample.image.dtype == np.uint8
    assert sample.image.shape in (shape, (*shape, 3))
    assert sample.labels.dtype == np.int32
    assert sample.labels.shape == shape


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("diameter", [14, 32])
def test_median_diameter_is_the_one_asked_for(modality: str, diameter: float) -> None:
    found = [uncut_diameters(simulate(modality, (256, 256), seed, diameter)) for seed in range(4)]
    medians = np.array([np.median(sizes) for sizes in found if len(sizes) >= 5])
    assert len(medians) > 0
    assert np.all((medians > diameter / 1.5) & (medians < diameter * 1.5))


def test_unknown_modality_names_the_choices() -> None:
    with pytest.raises(ValueError, match="blood_smear"):
        simulate("x-ray")
