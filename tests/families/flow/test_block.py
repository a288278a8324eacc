"""Blocks that are labelled apart and gathered have the labels of the strip engine, pixel for pixel."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from flowmask.families.blocks import gather, number_blocks, pack_block, rows_to_read
from flowmask.families.flow.block import label_block, label_from
from flowmask.families.flow.constants import HALO
from flowmask.families.flow.strip import label_rows
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.options import Segmentation
from tests.reference.plans import plan_of


def smooth_maps(shape, seed, strength=8.0, sigma=4.0):
    """Random smooth flows and logits: paths that wander, cells of any shape, holes, cells within cells."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(3, *shape)).astype(np.float32)
    maps = np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in noise])
    maps *= strength / maps.std()
    maps[2] += 0.3 * strength
    return maps


def strip(maps, plan):
    return np.concatenate(list(label_rows([maps], plan.network_shape, plan.shape, plan.options, plan.threads)))


def block(maps, plan, core):
    read = rows_to_read(plan, core, HALO)
    return label_block(np.ascontiguousarray(maps[:, read[0] : read[1]]), plan, core, read)


def cores(length, height):
    return [(first, min(first + height, length)) for first in range(0, length, height)]


def in_blocks(maps, plan, height):
    blocks = [block(maps, plan, core) for core in cores(plan.shape[0], height)]
    cells = gather(blocks)
    return np.concatenate([cells.labels(one) for one in blocks])


def from_places(maps, plan, height, places):
    """The labels and the table from several engines: each begins at one of the places and ends where the next one does.

    Every engine gets its maps in parts, from the first row that it needs to the last row of the image.
    """
    blocks = []
    for first, last in zip(places, [*places[1:], plan.shape[0]], strict=True):
        top = rows_to_read(plan, (first, first + 1), HALO)[0]
        parts = (maps[:, row : row + 90] for row in range(top, maps.shape[1], 90))
        for one in label_from(parts, plan, first, top, height):
            assert one.core[0] // height == (one.core[1] - 1) // height
            blocks.append(one)
            if one.core[1] == last:
                break
    table = CellTableBuilder()
    labels = np.concatenate(list(number_blocks(map(pack_block, blocks), plan, table, join=True)))
    return labels, table.table()


def same_tables(one, other):
    assert (one.candidates, one.too_small, one.wrong_flow) == (other.candidates, other.too_small, other.wrong_flow)
    for name, values in one.columns().items():
        np.testing.assert_array_equal(values, other.columns()[name], err_msg=name)


CASES = {
    "scale 1": ((310, 121), (310, 121), Segmentation(flow_threshold=1.9)),
    "odd, smaller for the network": ((203, 131), (331, 213), Segmentation(flow_threshold=2.0)),
    "odd, larger for the network": ((351, 97), (207, 57), Segmentation(flow_threshold=0, min_size=3)),
    "other scales along the axes": ((255, 64), (133, 117), Segmentation(flow_threshold=1.9, cellprob_threshold=1.0)),
    "every cell": ((190, 75), (190, 75), Segmentation(flow_threshold=0, min_size=0)),
    "one row": ((1, 90), (1, 90), Segmentation(flow_threshold=0, min_size=0)),
    "one column": ((90, 1), (90, 1), Segmentation(flow_threshold=0, min_size=0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("strength", [4.0, 25.0])  # of the flows: 5 is what a network is trained for
def test_blocks_of_any_height_give_the_labels_of_the_strip_engine(case, strength):
    network_shape, shape, options = CASES[case]
    options = options if strength < 5 else replace(options, flow_threshold=0)
    maps, plan = smooth_maps(network_shape, 5, strength), plan_of(network_shape, shape, options)
    expected = strip(maps, plan)
    assert expected.max() > 5 or 1 in shape
    for height in (23, 61, 100, 200, 1000):
        np.testing.assert_array_equal(in_blocks(maps, plan, height), expected, err_msg=f"{height} rows")


NARROW = {
    "scale 1": ((2700, 40), (2700, 40)),
    "smaller for the network": ((2700, 40), (3511, 53)),
    "larger for the network": ((2700, 40), (1607, 31)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", NARROW)
@pytest.mark.parametrize(
    ("strength", "options"),
    [
        (4.0, Segmentation(flow_threshold=1.9)),
        (25.0, Segmentation(flow_threshold=0, min_size=0)),
        (3.0, Segmentation(flow_threshold=1.4, cellprob_threshold=-1.0)),
    ],
)
def test_blocks_that_see_a_part_of_the_image_give_the_labels_of_the_strip_engine(case, strength, options):
    network_shape, shape = NARROW[case]
    maps, plan = smooth_maps(network_shape, 7, strength), plan_of(network_shape, shape, options)
    expected = strip(maps, plan)
    assert expected.max() > 100
    for height in (149, 256, 400, 777, 2000):
        found = in_blocks(maps, plan, height)
        np.testing.assert_array_equal(found, expected, err_msg=f"{height} rows")
    partial = [core for core in cores(shape[0], 149) if rows_to_read(plan, core, HALO)[0] > 0]
    assert any(rows_to_read(plan, core, HALO)[1] < network_shape[0] for core in partial)


@pytest.mark.slow
@pytest.mark.parametrize("case", NARROW)
@pytest.mark.parametrize(
    ("strength", "options"),
    [
        (4.0, Segmentation(flow_threshold=1.9, min_size=40)),
        (25.0, Segmentation(flow_threshold=0, min_size=0)),
        (3.0, Segmentation(flow_threshold=1.4, cellprob_threshold=-1.0)),
    ],
)
def test_engines_that_begin_anywhere_give_the_labels_and_the_table_of_one(case, strength, options):
    network_shape, shape = NARROW[case]
    maps, plan = smooth_maps(network_shape, 11, strength), plan_of(network_shape, shape, options)
    table = CellTableBuilder()
    expected = np.concatenate(list(label_rows([maps], network_shape, shape, options, 1, table)))
    assert table.too_small > 0 or options.min_size == 0
    assert table.wrong_flow > 0 or options.flow_threshold == 0
    for height, places in ((100, [0]), (37, [0, 37 * 31]), (256, [0, 512, 1280, 1536]), (64, [0, 64, 128, 1344])):
        places = [place for place in places if place < shape[0]]
        found, cells = from_places(maps, plan, height, places)
        np.testing.assert_array_equal(found, expected, err_msg=f"from the rows {places}")
        same_tables(cells, table.table())


@pytest.mark.slow
def test_paths_that_go_as_far_as_they_can():
    """Flows straight down by the longest step: the cell of a block may end in a block far below, and above it."""
    maps = np.zeros((3, 2400, 24), np.float32)
    maps[0], maps[2] = 6.0, 5.0
    maps[0, 1200:] = -6.0
    maps[1] = np.where(np.arange(24) < 12, 3.0, -3.0)
    options = Segmentation(flow_threshold=0, min_size=0)
    plan = plan_of((2400, 24), (2400, 24), options)
    expected = strip(maps, plan)
    tallest = max(np.ptp(np.flatnonzero((expected == cell).any(axis=1))) for cell in range(1, expected.max() + 1))
    assert tallest > 400
    for height in (60, 100, 333, 800, 1100):
        np.testing.assert_array_equal(in_blocks(maps, plan, height), expected, err_msg=f"{height} rows")


def test_a_block_knows_its_cells_by_their_seeds():
    """Two blocks that see the same cell know it by the same key, and each lists the pixels of its own rows."""
    maps, plan = smooth_maps((300, 90), 3), plan_of((300, 90), (300, 90), Segmentation(flow_threshold=0))
    expected = strip(maps, plan)
    above, below = block(maps, plan, (0, 143)), block(maps, plan, (143, 300))
    crossing = set(above.keys.tolist()) & set(below.keys.tolist())
    assert len(crossing) == len(set(np.unique(expected[:143])) & set(np.unique(expected[143:])) - {0}) >= 2
    for one in (above, below):
        rows = expected[one.core[0] : one.core[1]]
        assert one.labels.shape == rows.shape
        ids, first, areas = np.unique(rows, return_index=True, return_counts=True)
        cells = ids > 0
        order = np.argsort(one.first)
        np.testing.assert_array_equal(one.first[order], np.sort(first[cells]) + one.core[0] * 90)
        np.testing.assert_array_equal(np.sort(one.areas), np.sort(areas[cells]))
        assert one.edges.shape == (2, 0)  # nothing joins them but their keys


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_threads_change_nothing(threads):
    maps, options = smooth_maps((300, 90), 3), Segmentation(flow_threshold=4.0)
    one = block(maps, plan_of((300, 90), (300, 90), options), (100, 200))
    other = block(maps, plan_of((300, 90), (300, 90), options, threads=threads), (100, 200))
    assert len(one.keys) > 5
    for field in ("labels", "keys", "first", "areas", "edges"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_an_image_without_cells():
    maps, plan = smooth_maps((80, 60), 3), plan_of((80, 60), (80, 60))
    maps[2] = -5
    one = block(maps, plan, (10, 50))
    assert (one.labels == 0).all()
    assert (one.edges == -1).all()
    assert len(one.keys) == len(one.first) == len(one.areas) == 0
    assert not in_blocks(maps, plan, 32).any()
