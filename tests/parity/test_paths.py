"""The ONNX graph that follows paths, on the CPU provider, against the engine's own path following."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
import onnxruntime  # noqa: E402

from bench.mosaic import mosaic, network_like  # noqa: E402
from export.paths import paths_model  # noqa: E402
from flowmask.families.flow.follow import NOWHERE, follow, inner_field  # noqa: E402
from flowmask.tiles.rescale import positions  # noqa: E402
from tests.reference.partition import same_partition  # noqa: E402
from tests.reference.whole import basins  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def session():
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(paths_model().SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def maps():
    return network_like(mosaic(310, 270, 22)[1])


def both(session, maps, top, height, rows, columns, threshold):
    by_row = np.ascontiguousarray(maps.transpose(1, 0, 2))
    ours = follow(by_row, inner_field(by_row, threshold), top, height, rows, columns, threshold)
    numbers = {"top": np.array(top), "height": np.array(height), "threshold": np.array(threshold)}
    (graphs,) = session.run(["ends"], {"maps": maps, "rows": rows, "columns": columns, **numbers})
    return ours, graphs


def labels_of(ends, rows, width, height):
    inside = ends != NOWHERE
    at = (ends.astype(np.int64) + rows.astype(np.int64)[:, None] * width)[inside]
    pile = np.bincount(at, minlength=height * width).reshape(height, width)
    labels = np.zeros(ends.shape, np.int32)
    labels[inside] = basins(pile, 10 * ends.size / pile.size, 2 * ends.size / pile.size).ravel()[at]
    return labels


@pytest.mark.parametrize(("shape", "threshold"), [((310, 270), 0.0), ((390, 331), 0.7), ((201, 200), -2.0)])
def test_ends_are_the_same_bit_for_bit_and_so_is_the_partition(session, maps, shape, threshold):
    rows, columns = positions(0, shape[0], shape[0], 310), positions(0, shape[1], shape[1], 270)
    ours, graphs = both(session, maps, 0, 310, rows, columns, threshold)
    assert graphs.dtype == np.int32
    assert 0.1 < (ours != NOWHERE).mean() < 0.9
    np.testing.assert_array_equal(graphs, ours)
    expected, found = (labels_of(ends, rows, 270, 310) for ends in (ours, graphs))
    assert expected.max() > 50
    assert same_partition(expected, found)


def test_some_rows_of_an_image_are_those_of_the_whole(session, maps):
    """With 40 rows above and below, farther than any of these paths goes."""
    columns = positions(0, 270, 270, 270)
    whole = both(session, maps, 0, 310, positions(0, 310, 310, 310), columns, 0.0)[1][150:160]
    part = np.ascontiguousarray(maps[:, 110:200])
    ours, graphs = both(session, part, 110, 310, positions(150, 160, 310, 310), columns, 0.0)
    np.testing.assert_array_equal(graphs, ours)
    np.testing.assert_array_equal(graphs, whole)


def test_an_image_without_cells(session, maps):
    at = np.arange(40.0)
    _, graphs = both(session, np.ascontiguousarray(maps[:, :40, :40]) - 100, 0, 40, at, at, 0.0)
    assert (graphs == NOWHERE).all()


def test_flows_of_any_length_are_cut_as_the_engine_cuts_them(session, maps):
    wild = np.random.default_rng(0).normal(0, 30, (3, 33, 41)).astype(np.float32)
    ours, graphs = both(session, wild, 0, 33, np.linspace(0, 32, 50), np.linspace(0, 40, 60), 0.5)
    np.testing.assert_array_equal(graphs, ours)
