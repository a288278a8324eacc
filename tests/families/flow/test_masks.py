"""From flows back to cells, and the checks that a cell must pass."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from flowmask.families.flow.masks import fill_holes, grow, peaks, quality
from flowmask.families.flow.strip import label_rows
from flowmask.families.flow.targets import label_boxes, labels_to_flows
from flowmask.labels.metrics import f1
from flowmask.labels.numbering import renumber
from flowmask.options import Segmentation
from flowmask.tiles.rescale import positions
from train.simulate import simulate


def instances(maps, shape, options):
    labels = np.concatenate(list(label_rows([maps], maps.shape[1:], shape, options)))
    return labels, labels.max()


def perfect_maps(labels):
    """The maps of a network that makes no mistake."""
    return np.concatenate([5 * labels_to_flows(labels), np.where(labels > 0, 6, -6)[None]]).astype(np.float32)


@pytest.mark.parametrize("modality", ["fluorescence_nuclei", "dense_tissue", "rods", "phase"])
def test_true_flows_lead_back_to_the_true_partition(modality):
    labels = simulate(modality, (200, 231), seed=4, diameter=28).labels
    found, cells = instances(perfect_maps(labels), labels.shape, Segmentation(min_size=0))
    assert cells == found.max()
    assert f1(labels, found, 0.95) > 0.98  # a sliver of a cell at the image border may be too small for a seed


@pytest.mark.parametrize("scale", [0.6, 1.7])
def test_cells_keep_the_sources_resolution_at_any_network_scale(scale):
    labels = simulate("yeast", (240, 260), seed=2, diameter=36).labels
    size = (int(260 * scale), int(240 * scale))
    maps = np.stack([cv2.resize(m, size) for m in perfect_maps(labels)])
    found, _ = instances(maps, labels.shape, Segmentation())
    assert found.shape == labels.shape
    assert f1(labels, found, 0.8) > 0.95


def test_seeds_need_more_than_the_least_height():
    pile = np.zeros((9, 9), np.int32)
    pile[3, 3] = 10
    assert len(peaks(pile, 0, 9, 10)) == 0
    pile[3, 3] = 11
    np.testing.assert_array_equal(peaks(pile, 0, 9, 10), [[3, 3, 11]])


def test_two_equal_peaks_side_by_side_are_one_seed():
    pile = np.zeros((9, 9), np.int32)
    pile[4, 4:6] = 20
    np.testing.assert_array_equal(peaks(pile, 0, 9, 10), [[4, 4, 20]])


def test_where_two_basins_meet_the_higher_seed_wins():
    pile = np.full((1, 9), 3, np.int32)
    pile[0, 1], pile[0, 7] = 30, 40
    basins = grow(pile, peaks(pile, 0, 1, 10), np.array([5, 9]), 0, 1, 2.0)
    np.testing.assert_array_equal(basins, [[5, 5, 9, 9, 9, 9, 9, 9, 9]])


def test_a_cell_with_foreign_flows_is_removed_and_a_threshold_of_zero_keeps_it():
    labels = np.zeros((40, 80), np.int32)
    labels[8:32, 5:30] = 1
    labels[8:32, 45:70] = 2
    maps = perfect_maps(labels)
    maps[:2, :, 40:] *= -1
    by_row = np.ascontiguousarray(maps.transpose(1, 0, 2))
    rows, columns = positions(0, 40, 40, 40), positions(0, 80, 80, 80)
    errors, probabilities = quality(np.array([1, 2]), label_boxes(labels, 2), labels, 0, by_row, 0, 40, rows, columns)
    assert errors[0] < 0.01
    assert errors[1] > 3
    assert probabilities[0] == pytest.approx(1 / (1 + np.exp(-6)))
    weak = perfect_maps(labels)
    weak[:2, :, 40:] *= 0.3
    accepted, _ = instances(weak, labels.shape, Segmentation())
    np.testing.assert_array_equal(accepted, np.where(labels == 1, 1, 0))
    assert instances(weak, labels.shape, Segmentation(flow_threshold=0))[1] == 2


def test_small_cells_are_dropped():
    labels = np.zeros((30, 60), np.int32)
    labels[10:15, 10:15] = 1
    labels[10:14, 40:44] = 2
    found, cells = instances(perfect_maps(labels), labels.shape, Segmentation(min_size=20))
    assert cells == 1
    np.testing.assert_array_equal(found, labels == 1)


def test_holes_are_those_of_scipy():
    rng, filled = np.random.default_rng(1), 0
    for seed in range(20):
        mask = ndimage.binary_dilation(rng.random((30, 30)) > 0.93, iterations=1 + seed % 2)
        labels = mask.astype(np.int32)
        fill_holes(labels, 0, label_boxes(labels, 1), np.array([1], np.int32))
        np.testing.assert_array_equal(labels > 0, ndimage.binary_fill_holes(mask))
        filled += np.count_nonzero(labels) > np.count_nonzero(mask)
    assert filled > 10


def test_a_cell_inside_a_ring_stays_itself():
    labels = np.zeros((30, 30), np.int32)
    labels[5:25, 5:25] = 1
    labels[8:22, 8:22] = 0
    labels[12:18, 12:18] = 2
    fill_holes(labels, 0, label_boxes(labels, 2), np.array([1, 2], np.int32))
    assert (labels == 2).sum() == 36
    assert (labels == 1).sum() == 400 - 36


def test_numbers_follow_the_raster_over_several_calls():
    labels = np.array([[0, 3, 3, 1], [2, 2, 1, 1], [4, 0, 2, 1]], np.int32)
    numbers, accepted = np.zeros(4, np.int32), np.array([True, True, True, False])
    count = renumber(labels[:1], numbers, accepted, 0)
    assert count == 2
    assert renumber(labels[1:], numbers, accepted, count) == 3
    np.testing.assert_array_equal(labels, [[0, 1, 1, 2], [3, 3, 2, 2], [0, 0, 3, 2]])
