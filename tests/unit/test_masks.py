"""From flows back to cells, and the checks that a cell must pass."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from infer.flows import label_boxes, labels_to_flows
from infer.instances import instances
from infer.masks import fill_holes, flow_errors, keep_good, label_ends, renumber
from infer.metrics import f1
from infer.rescale import positions
from infer.settings import Settings
from tests.partition import same_partition
from train.simulate import simulate


def perfect_maps(labels):
    """The maps of a network that makes no mistake."""
    return np.concatenate([5 * labels_to_flows(labels), np.where(labels > 0, 6, -6)[None]]).astype(np.float32)


@pytest.mark.parametrize("modality", ["fluorescence_nuclei", "dense_tissue", "rods", "phase"])
def test_true_flows_lead_back_to_the_true_partition(modality):
    labels = simulate(modality, (200, 231), seed=4, diameter=28).labels
    found, cells = instances(perfect_maps(labels), labels.shape, Settings(min_size=0))
    assert cells == found.max()
    assert f1(labels, found, 0.95) > 0.98  # a sliver of a cell at the image border may be too small for a seed


@pytest.mark.parametrize("scale", [0.6, 1.7])
def test_cells_keep_the_sources_resolution_at_any_network_scale(scale):
    labels = simulate("yeast", (240, 260), seed=2, diameter=36).labels
    size = (int(260 * scale), int(240 * scale))
    maps = np.stack([cv2.resize(m, size) for m in perfect_maps(labels)])
    found, _ = instances(maps, labels.shape, Settings())
    assert found.shape == labels.shape
    assert f1(labels, found, 0.8) > 0.95


def test_the_same_bits_with_one_thread_and_with_all():
    import numba

    maps = perfect_maps(simulate("dense_tissue", (150, 150), seed=1, diameter=25).labels)
    maps += np.random.default_rng(0).normal(0, 1, maps.shape).astype(np.float32)
    everything, _ = instances(maps, (150, 150), Settings())
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        single, _ = instances(maps, (150, 150), Settings())
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(everything, single)


def test_seeds_need_more_than_ten_network_pixels():
    ends = np.full((6, 6), -1, np.int32)
    ends.ravel()[:10] = 3 * 9 + 3
    assert label_ends(ends, (9, 9), 1.0).max() == 0
    ends.ravel()[10] = 3 * 9 + 3
    assert label_ends(ends, (9, 9), 1.0).max() == 1
    assert label_ends(ends, (9, 9), 0.5).max() == 0


def test_two_equal_peaks_side_by_side_are_one_seed():
    ends = np.full((8, 8), -1, np.int32)
    ends.ravel()[:20] = 4 * 9 + 4
    ends.ravel()[20:40] = 4 * 9 + 5
    assert set(np.unique(label_ends(ends, (9, 9), 1.0))) == {0, 1}


def test_a_cell_with_foreign_flows_is_removed_and_a_threshold_of_zero_keeps_it():
    labels = np.zeros((40, 80), np.int32)
    labels[8:32, 5:30] = 1
    labels[8:32, 45:70] = 2
    maps = perfect_maps(labels)
    maps[:2, :, 40:] *= -1
    rows, columns = positions(0, 40, 40, 40), positions(0, 80, 80, 80)
    errors = flow_errors(labels, label_boxes(labels, 2), maps, rows, columns)
    assert errors[0] < 0.01
    assert errors[1] > 3
    kept = labels.copy()
    assert keep_good(kept, maps, rows, columns, 0.4, 15) == 1
    np.testing.assert_array_equal(kept, np.where(labels == 1, 1, 0))
    assert keep_good(labels.copy(), maps, rows, columns, 0, 15) == 2


def test_small_cells_are_dropped_and_numbers_follow_the_raster():
    labels = np.zeros((20, 30), np.int32)
    labels[2:4, 20:24] = 1
    labels[10:15, 10:15] = 2
    labels[1:6, 2:7] = 3
    maps = perfect_maps(labels)
    at = positions(0, 20, 20, 20), positions(0, 30, 30, 30)
    assert keep_good(labels, maps, *at, 0, 15) == 2
    assert labels[3, 4] == 1
    assert labels[12, 12] == 2
    assert labels[3, 22] == 0


def test_holes_are_those_of_scipy():
    rng = np.random.default_rng(1)
    for seed in range(20):
        mask = ndimage.binary_dilation(rng.random((30, 30)) > 0.93, iterations=1 + seed % 2)
        labels = mask.astype(np.int32)
        fill_holes(labels, label_boxes(labels, 1))
        np.testing.assert_array_equal(labels > 0, ndimage.binary_fill_holes(mask))


def test_a_cell_inside_a_ring_stays_itself():
    labels = np.zeros((30, 30), np.int32)
    labels[5:25, 5:25] = 1
    labels[8:22, 8:22] = 0
    labels[12:18, 12:18] = 2
    fill_holes(labels, label_boxes(labels, 2))
    assert (labels == 2).sum() == 36
    assert (labels == 1).sum() == 400 - 36


def test_renumbering_keeps_the_partition():
    labels = np.random.default_rng(2).integers(0, 7, (12, 12)).astype(np.int32)
    before = labels.copy()
    assert renumber(labels, np.ones(6, bool)) == 6
    assert same_partition(before, labels)
