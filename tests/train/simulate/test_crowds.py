"""Smears, organoids and mixed sizes: layers of cells, two populations, lobes of one nucleus, and lumens."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from skimage.measure import regionprops

from train.simulate import cytology, layers, marks, mixed_sizes, organoid, simulate, white_cells
from train.simulate.fields import depth

pytestmark = pytest.mark.slow

SHAPE = (200, 200)


def blocks(*columns: tuple[int, int]) -> np.ndarray:
    """Labels (10, 40) of upright bars, one from each first to each last column."""
    labels = np.zeros((10, 40), np.int32)
    for index, (first, last) in enumerate(columns, 1):
        labels[:, first:last] = index
    return labels


def test_a_cell_that_is_mostly_hidden_is_left_out_whole_and_the_others_stay_whole() -> None:
    near, far = blocks((10, 20)), blocks((0, 12), (13, 21), (19, 30))
    np.testing.assert_array_equal(layers.seen(near, far, 0.6), np.where(far == 2, 0, far))
    np.testing.assert_array_equal(layers.seen(0 * near, far, 0.6), far)


def test_the_nearer_of_two_cells_has_the_pixels_both_cover() -> None:
    merged = layers.in_front(blocks((10, 20)), blocks((0, 12), (19, 30)))
    np.testing.assert_array_equal(merged, blocks((0, 10), (10, 20), (20, 30)))


def test_at_most_so_many_cells_stay_and_they_are_unchanged() -> None:
    labels = blocks((0, 5), (8, 15), (20, 22), (30, 38))
    np.testing.assert_array_equal(layers.at_most(np.random.default_rng(0), labels, 4), labels)
    kept = [layers.at_most(np.random.default_rng(seed), labels, 2) for seed in range(20)]
    assert {tuple(np.unique(labels[few > 0])) for few in kept} >= {(1, 2), (2, 4), (1, 3)}
    for few in kept:
        assert few.max() == 2
        np.testing.assert_array_equal(few > 0, np.isin(labels, np.unique(labels[few > 0])))


def test_overlapping_smear_cells_are_darker_where_they_lie_over_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = np.zeros((2, *SHAPE), np.int32)
    near[40:160, 30:110] = 1
    far[40:160, 90:170] = 1
    monkeypatch.setattr(cytology, "_cells", lambda *rest: [near, far])
    monkeypatch.setattr(cytology, "_chromatin", lambda rng, nuclei, diameter: np.zeros(nuclei.shape, np.float32))
    darker = 0
    for seed in range(8):
        image, labels = cytology.cytology_smear(np.random.default_rng(seed), SHAPE, 90)
        assert (labels[50:150, 90:110] == labels[100, 50]).all()
        assert labels[100, 150] not in (0, labels[100, 50])
        both, one, other = (image[60:140, at : at + 12].mean() for at in (94, 55, 140))
        darker += both < min(one, other)
    assert darker >= 7


def test_the_cells_of_a_smear_are_seen_for_the_larger_part() -> None:
    for seed in range(4):
        found = cytology._cells(np.random.default_rng(seed), SHAPE, 30, 0.9)
        front = np.zeros(SHAPE, np.int32)
        for layer in found:
            areas, visible = np.bincount(layer.ravel()), np.bincount(layer[front == 0], minlength=layer.max() + 1)
            assert np.all(visible[1:] > 0.6 * areas[1:])
            front = layers.in_front(front, layer)


def test_large_and_small_cells_share_no_pixel_and_the_more_numerous_have_the_diameter_asked_for() -> None:
    ratios = []
    for seed in range(16):
        pair = mixed_sizes._pair(np.random.default_rng(seed), (300, 300), 24)
        assert not ((pair.large > 0) & (pair.small > 0)).any()
        many, few = sorted((pair.large, pair.small), key=lambda labels: -labels.max())
        assert few.max() <= max(1, 0.5 * many.max())
        sizes = [
            np.sqrt(4 / np.pi * np.median(np.bincount(labels.ravel())[1:])) for labels in (many, few) if labels.any()
        ]
        assert 24 / 1.35 < sizes[0] < 24 * 1.35
        if few.max() > 3:
            ratios.append(max(sizes) / min(sizes))
    assert len(ratios) > 6
    assert min(ratios) > 1.6
    assert max(ratios) < 4.6


def test_a_white_cell_is_one_label_with_all_lobes_of_its_nucleus() -> None:
    rows, columns = np.mgrid[:80, :160]
    labels = np.zeros((80, 160), np.int32)
    for index, middle in enumerate((40, 120), 1):
        labels[(rows - 40) ** 2 + (columns - middle) ** 2 < 32**2] = index
    for seed in range(10):
        nuclei = white_cells._nuclei(
            np.random.default_rng(seed), labels, [white_cells._KINDS[0], white_cells._KINDS[5]]
        )
        assert set(np.unique(nuclei)) == {0, 1, 2}
        assert np.all(labels[nuclei > 0] == nuclei[nuclei > 0])
        lobed, plasma = regionprops(nuclei)
        assert lobed.solidity < 0.97 * plasma.solidity


def test_larger_kinds_of_white_cells_go_to_larger_cells() -> None:
    labels = blocks((0, 3), (5, 12), (14, 26), (28, 40))
    kinds = white_cells._kinds(np.random.default_rng(3), labels, white_cells._MARROW)
    sizes = np.array([white_cells._KINDS[kind].size for kind in kinds[1:]])
    by_area = sizes[np.argsort(np.bincount(labels.ravel())[1:], kind="stable")]
    assert np.all(np.diff(by_area) >= 0)
    assert np.ptp(by_area) > 0


def test_red_and_white_cells_of_a_smear_are_labelled() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        white = white_cells._white(rng, SHAPE, 40, 0.1, white_cells._BLOOD)
        red = white_cells._red(rng, white, 24, 0.4)
        assert not ((white > 0) & (red > 0)).any()
        assert white.any()
        assert red.max() > white.max()


def test_cells_of_an_organoid_fill_its_wall_and_leave_its_lumen_empty() -> None:
    rows, columns = np.mgrid[:300, :300]
    body = ((rows - 150) ** 2 + (columns - 150) ** 2 < 120**2).astype(np.int32)
    hollow = 0
    for seed in range(10):
        cells = organoid._walls(np.random.default_rng(seed), body, 24)
        inside = depth(body)
        assert (cells[(inside > 4) & (inside < 14)] > 0).mean() > 0.95
        assert not cells[(body == 0) & (np.hypot(rows - 150, columns - 150) > 126)].any()
        hollow += not cells[inside > 100].any()
    assert 4 <= hollow <= 10


def test_organoids_too_small_for_a_ring_of_cells_still_have_cells() -> None:
    body = np.zeros((40, 40), np.int32)
    body[15:25, 15:25] = 1
    assert organoid._walls(np.random.default_rng(0), body, 40).max() == 1


@pytest.mark.parametrize(("module", "modality"), [(cytology, "cytology_smear"), (organoid, "organoid")])
def test_some_images_are_grey_and_the_labels_are_the_same(
    module: ModuleType, modality: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "CHANCE", 0)
    grey, coloured = [], []
    for share, samples in ((1, grey), (0, coloured)):
        monkeypatch.setattr(module, "_GREY", share)
        samples.extend(simulate(modality, SHAPE, seed, 40) for seed in range(3))
    assert all(one.image.ndim == 2 and other.image.ndim == 3 for one, other in zip(grey, coloured, strict=True))
    for one, other in zip(grey, coloured, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
