"""The table of cells: what NumPy measures on the finished labels, whatever the parts that the rows come in."""

import threading

import numpy as np
import pytest

import flowmask
from flowmask.families import family_of
from flowmask.families.flow.strip import label_rows
from flowmask.families.flow.targets import labels_to_flows
from flowmask.families.semantic.family import logits
from flowmask.labels.cells import CellTable
from flowmask.options import Segmentation
from tests.conftest import needs_network
from tests.reference.plans import SEMANTIC, plan_of
from train.simulate import simulate


def assert_measured(table, labels):
    cells = labels.max()
    assert len(table) == cells
    np.testing.assert_array_equal(table.areas, np.bincount(labels.ravel(), minlength=cells + 1)[1:])
    for index in range(cells):
        y, x = np.nonzero(labels == index + 1)
        assert table.boxes[index].tolist() == [y.min(), x.min(), y.max() + 1, x.max() + 1]
        np.testing.assert_allclose(table.centres[index], [y.mean(), x.mean()])


def by_parts(maps, rows):
    return (maps[:, top : top + rows] for top in range(0, maps.shape[1], rows))


@pytest.mark.parametrize("rows", [40, 1000])
def test_cells_of_the_flow_family(rows):
    truth = simulate("fluorescence_nuclei", (700, 150), 5, 24).labels
    logit = np.random.default_rng(0).uniform(0.1, 3, truth.shape)
    maps = np.concatenate([5 * labels_to_flows(truth), np.where(truth > 0, logit, -5)[None]]).astype(np.float32)
    maps[:2, :, 100:] *= 0.5
    table, options = CellTable(), Segmentation(flow_threshold=0.15)
    labels = np.concatenate(list(label_rows(by_parts(maps, rows), truth.shape, truth.shape, options, 1, table)))
    assert_measured(table, labels)
    assert table.wrong_flow > 3
    assert table.candidates == len(table) + table.too_small + table.wrong_flow
    assert (table.flow_errors <= 0.15).all()
    inside = 1 / (1 + np.exp(-maps[2].astype(float)))
    means = [inside[(labels == n) & (truth > 0)].mean() for n in range(1, len(table) + 1)]
    np.testing.assert_allclose(table.probabilities, means, rtol=1e-5)


@pytest.mark.parametrize("rows", [50, 1000])
def test_cells_of_the_semantic_family(rows):
    """Components cross the borders of the blocks, so their sums are joined."""
    maps = np.cumsum(np.random.default_rng(1).normal(size=(1, 600, 80)), axis=1).astype(np.float32)
    plan, table = plan_of(maps.shape[1:], (600, 80), Segmentation(min_size=9), SEMANTIC), CellTable()
    labels = np.concatenate(list(family_of(SEMANTIC).label_rows(by_parts(maps, rows), plan, table)))
    assert_measured(table, labels)
    assert (table.boxes[:, 2] - table.boxes[:, 0]).max() > 256
    assert (table.wrong_flow, table.too_small > 0) == (0, True)
    assert table.candidates == len(table) + table.too_small
    assert np.isnan(table.flow_errors).all()
    inside = 1 / (1 + np.exp(-logits(maps, plan, (0, 600), (0, 600)).astype(float)))
    means = [inside[labels == n].mean() for n in range(1, len(table) + 1)]
    np.testing.assert_allclose(table.probabilities, means, rtol=1e-5)


def test_a_table_without_cells():
    table = CellTable()
    table.add_rows(np.zeros((3, 4), np.int32))
    assert (len(table), table.areas.size, table.centres.shape) == (0, 0, (0, 2))


SAMPLE = simulate("fluorescence_nuclei", (300, 417), 7, 26)


@needs_network
def test_a_result_holds_the_table(network):
    result = flowmask.segment(SAMPLE.image, network)
    assert result.cells == len(result.table) > 20
    assert_measured(result.table, result.labels)


@needs_network
@pytest.mark.parametrize("stop", [lambda fraction: fraction < 0.3, lambda fraction: 1 / (fraction - 0.0)])
def test_progress_stops_the_work(network, stop):
    before = threading.active_count()
    with pytest.raises(flowmask.Cancelled, match="progress"):
        flowmask.segment(SAMPLE.image, network, diameter=10, progress=stop)
    assert threading.active_count() == before


@needs_network
def test_progress_goes_up_to_one(network):
    seen = []
    flowmask.segment(SAMPLE.image, network, diameter=26, progress=seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 1)
    rows = []
    for part in flowmask.segment_rows(SAMPLE.image, network, diameter=26, progress=rows.append):
        assert part.dtype == np.int32
    assert rows[-1] == 1
