"""The table of cells: what scikit-image measures on the finished labels, whatever the parts that the rows come in."""

import numpy as np
import pytest
from skimage.measure import regionprops_table

import flowmask
from flowmask.families.blocks import label_rows_by_blocks
from flowmask.families.flow.strip import label_rows
from flowmask.families.flow.targets import labels_to_flows
from flowmask.families.semantic.foreground import HALO, label_block, logits
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.options import Segmentation
from tests.conftest import needs_network
from tests.reference.plans import SEMANTIC, plan_of
from train.simulate import simulate

PLACES = ("label", "area", "bbox", "centroid")


def assert_measured(table, labels):
    """Compare the columns that scikit-image has too."""
    expected = regionprops_table(labels, properties=PLACES)
    columns = table.columns()
    assert set(columns) - set(expected) == {"probability", "flow_error"}
    assert len(table) == labels.max()
    for name, values in expected.items():
        np.testing.assert_allclose(columns[name], values, rtol=1e-12, err_msg=name)


def assert_same(table, other):
    assert (table.candidates, table.too_small, table.wrong_flow) == (
        other.candidates,
        other.too_small,
        other.wrong_flow,
    )
    for name, values in other.columns().items():
        np.testing.assert_array_equal(table.columns()[name], values, err_msg=name)


def by_parts(maps, rows):
    return (maps[:, top : top + rows] for top in range(0, maps.shape[1], rows))


def test_cells_of_the_flow_family():
    truth = simulate("fluorescence_nuclei", (700, 150), 5, 24).labels
    logit = np.random.default_rng(0).uniform(0.1, 3, truth.shape)
    maps = np.concatenate([5 * labels_to_flows(truth), np.where(truth > 0, logit, -5)[None]]).astype(np.float32)
    maps[:2, :, 100:] *= 0.5

    def found(rows):
        builder, options = CellTableBuilder(), Segmentation(flow_threshold=0.15)
        parts = label_rows(by_parts(maps, rows), truth.shape, truth.shape, options, 1, builder)
        return np.concatenate(list(parts)), builder.table()

    labels, table = found(1000)
    assert_measured(table, labels)
    assert_same(found(40)[1], table)
    assert table.wrong_flow > 3
    assert table.candidates == len(table) + table.too_small + table.wrong_flow
    assert (table.flow_error <= 0.15).all()
    inside = 1 / (1 + np.exp(-maps[2].astype(float)))
    means = [inside[(labels == n) & (truth > 0)].mean() for n in table.label]
    np.testing.assert_allclose(table.probability, means, rtol=1e-5)


def test_cells_of_the_semantic_family():
    """Components cross the borders of the blocks, so their sums are joined."""
    maps = np.cumsum(np.random.default_rng(1).normal(size=(1, 600, 80)), axis=1).astype(np.float32)
    plan = plan_of(maps.shape[1:], (600, 80), Segmentation(min_size=9), SEMANTIC)

    def found(rows, height):
        builder = CellTableBuilder()
        parts = label_rows_by_blocks(by_parts(maps, rows), plan, label_block, HALO, height, builder)
        return np.concatenate(list(parts)), builder.table()

    labels, table = found(1000, 1000)
    assert_measured(table, labels)
    assert_same(found(50, 37)[1], table)
    assert (table.bbox[:, 2] - table.bbox[:, 0]).max() > 256
    assert (table.wrong_flow, table.too_small > 0) == (0, True)
    assert table.candidates == len(table) + table.too_small
    assert np.isnan(table.flow_error).all()
    inside = 1 / (1 + np.exp(-logits(maps, plan, (0, 600), (0, 600)).astype(float)))
    means = [inside[labels == n].mean() for n in table.label]
    np.testing.assert_allclose(table.probability, means, rtol=1e-6)


def test_a_table_without_cells():
    builder = CellTableBuilder()
    builder.add_rows(np.zeros((3, 4), np.int32))
    table = builder.table()
    assert (len(table), table.area.size, table.centroid.shape) == (0, 0, (0, 2))


@pytest.mark.slow
@needs_network
def test_a_result_holds_the_table(network):
    result = flowmask.segment(simulate("fluorescence_nuclei", (300, 417), 7, 26).image, network)
    assert len(result.cells) > 20
    assert_measured(result.cells, result.labels)
    assert (result.cells.flow_error <= 0.4).all()
    assert (result.cells.probability > 0.5).all()
