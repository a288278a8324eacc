"""Maps to cells: the published decoder in scikit-image's functions, whole or from rows of any number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.measure import euler_number

import flowmask
from flowmask.errors import SettingsError
from flowmask.families import family_of
from flowmask.families.watershed.cells import euler_numbers
from flowmask.families.watershed.decode import label_rows, nearest
from flowmask.families.watershed.family import FAMILY
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.options import Segmentation, watershed_thresholds
from tests.reference.deep_watershed import deep_watershed
from tests.reference.plans import WATERSHED
from tests.reference.watershed_maps import maps_of, watershed_plan
from tests.reference.whole import by_first_pixel

HEIGHTS = (1, 7, 64, 100, 1000)
PAIRS = {"paper": (0.1, 0.3), "release": (0.075, 0.2), "0.05,0.4": (0.05, 0.4)}


def in_parts(maps, rows):
    return (maps[:, top : top + rows] for top in range(0, maps.shape[1], rows))


def whole(maps, plan):
    return np.concatenate(list(label_rows([maps], plan)))


@pytest.mark.parametrize("thresholds", PAIRS)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("seed", "shape"), [(1, (67, 71)), (2, (90, 45)), (3, (30, 120)), (4, (9, 40))])
def test_the_cells_are_those_of_the_published_decoder(seed, shape, sparse, thresholds):
    for sigma in (0.5, 1.0, 2.0):
        maps = maps_of(shape, seed, sparse, sigma)
        plan = watershed_plan(shape, shape, Segmentation(watershed_thresholds=thresholds))
        expected = by_first_pixel(deep_watershed(maps[0], maps[1], *PAIRS[thresholds]))
        np.testing.assert_array_equal(whole(maps, plan), expected)
        if min(shape) > 10:
            assert expected.max() > 2


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_a_component_as_large_as_the_image_and_values_of_any_bucket(scale):
    """All values below 0.25 or above 1 share a bucket, so that the heap outgrows its first size."""
    shape = (700, 600)
    maps = maps_of(shape, 3)
    maps[1] = scale * (0.2 + 0.8 * maps[1])
    plan = watershed_plan(shape, shape, Segmentation(watershed_thresholds="0.1,0.02", min_size=0))
    expected = by_first_pixel(deep_watershed(maps[0], maps[1], 0.1, 0.02, min_size=0))
    assert expected.max() > 100
    assert (expected > 0).all()
    np.testing.assert_array_equal(whole(maps, plan), expected)


def test_small_cells_and_holes_as_published():
    shape, filled = (80, 80), 0
    for seed in range(4):
        maps = maps_of(shape, seed, sigma=0.5)
        for min_size in (1, 15, 16, 100):
            plan = watershed_plan(shape, shape, Segmentation(watershed_thresholds="0.02,0.5", min_size=min_size))
            expected = deep_watershed(maps[0], maps[1], 0.02, 0.5, min_size)
            np.testing.assert_array_equal(whole(maps, plan), by_first_pixel(expected))
            filled += np.count_nonzero(expected != deep_watershed(maps[0], maps[1], 0.02, 0.5, min_size, holes=1))
    assert filled > 30


CASES = {
    "scale 1": ((211, 121), (211, 121), Segmentation(min_size=1)),
    "odd, smaller for the network": ((103, 71), (231, 153), Segmentation(watershed_thresholds="release")),
    "odd, larger for the network": ((251, 97), (107, 57), Segmentation(min_size=3)),
    "other scales along the axes": ((155, 64), (93, 117), Segmentation()),
    "one row": ((1, 90), (1, 90), Segmentation(min_size=2)),
    "one column": ((90, 1), (90, 1), Segmentation(min_size=2)),
    "one pixel": ((1, 1), (1, 1), Segmentation(min_size=0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_rows_of_any_number_give_the_cells_of_the_whole(case, sparse):
    network_shape, shape, options = CASES[case]
    maps, plan = maps_of(network_shape, 5, sparse), watershed_plan(network_shape, shape, options)
    table = CellTableBuilder()
    expected = np.concatenate(list(label_rows([maps], plan, table)))
    assert expected.shape == shape
    assert expected.max() > 3 or min(shape) == 1
    cells = table.table()
    np.testing.assert_array_equal(cells.area, np.bincount(expected.ravel())[1:])
    for height in HEIGHTS:
        other = CellTableBuilder()
        parts = list(label_rows(in_parts(maps, height), plan, other, height))
        np.testing.assert_array_equal(np.concatenate(parts), expected, err_msg=f"{height} rows")
        for name, values in cells.columns().items():
            np.testing.assert_array_equal(other.table().columns()[name], values, err_msg=name)
    rows = FAMILY.label_rows(in_parts(maps, 50), plan, CellTableBuilder())
    np.testing.assert_array_equal(np.concatenate(list(rows)), expected)


@pytest.mark.parametrize("case", ["odd, smaller for the network", "odd, larger for the network"])
def test_at_another_scale_each_pixel_has_the_cell_of_the_network_pixel_around_its_centre(case):
    network_shape, shape, _ = CASES[case]
    maps = maps_of(network_shape, 6)
    plan = watershed_plan(network_shape, shape, Segmentation(min_size=0))
    cells = deep_watershed(maps[0], maps[1], 0.1, 0.3, min_size=0)
    rows, columns = (nearest(n, m) for n, m in zip(shape, network_shape, strict=True))
    centres = (np.arange(shape[0]) + 0.5) * network_shape[0] / shape[0]
    assert ((rows <= centres) & (centres < rows + 1)).all()
    # Cells that no image pixel shows are removed before holes are filled; there are none here.
    np.testing.assert_array_equal(whole(maps, plan), by_first_pixel(cells[rows][:, columns]))


def test_the_area_of_the_smallest_cell_counts_pixels_of_the_image():
    maps = np.zeros((4, 30, 30), np.float32)
    maps[0, 15, 15] = maps[1, 12:18, 12:18] = 1
    shape = (60, 90)
    area = int(np.count_nonzero(whole(maps, watershed_plan((30, 30), shape, Segmentation(min_size=0)))))
    for min_size, cells in ((area, 1), (area + 1, 0)):
        table = CellTableBuilder()
        plan = watershed_plan((30, 30), shape, Segmentation(min_size=min_size))
        assert np.concatenate(list(label_rows([maps], plan, table))).max() == cells
        assert (table.candidates, table.too_small) == (1, 1 - cells)


def test_the_probability_is_the_mean_of_the_smoothed_interior():
    maps, table = maps_of((60, 60), 8), CellTableBuilder()
    labels = np.concatenate(
        list(label_rows([maps], watershed_plan((60, 60), (60, 60), Segmentation(min_size=40)), table))
    )
    smooth = gaussian_filter(maps[1], 2)
    means = [smooth[labels == cell].mean() for cell in range(1, labels.max() + 1)]
    np.testing.assert_allclose(table.table().probability, means, atol=0.02)  # pixels of filled holes are not counted
    assert np.isnan(table.table().flow_error).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 4), st.integers(0, 10**6))
def test_euler_numbers_are_those_of_scikit_image(height, width, cells, seed):
    labels = np.random.default_rng(seed).integers(-1, cells + 1, (height, width)).astype(np.int32)
    expected = [euler_number(np.pad(labels == cell, 1), 2) for cell in range(1, cells + 1)]
    assert euler_numbers(labels, cells).tolist() == expected


def test_of_equal_markers_the_first_one_floods_first():
    """A plateau between two equal markers is halved; the pixel in the middle belongs to the first one."""
    maps = np.zeros((4, 40, 61), np.float32)
    maps[1, 15:25, 5:56] = 1
    maps[0, 20, 15] = maps[0, 20, 45] = 0.9
    labels = whole(maps, watershed_plan((40, 61), (40, 61)))
    assert labels.max() == 2
    assert (labels[20, 10:30] == 1).all()
    assert (labels[20, 32:50] == 2).all()


def test_maps_without_maxima_have_no_cells():
    for value in (0, 0.05, 0.9):
        maps = np.full((4, 30, 30), value, np.float32)
        assert whole(maps, watershed_plan((30, 30), (30, 30))).max() == 0


class Distance:
    """A network of the watershed family for images of bright discs."""

    contract = WATERSHED
    gpu_memory = None
    count = 1

    def maps(self, tiles):
        grey = tiles[:, :1]
        return np.concatenate([grey, grey, 0 * grey, 1 - grey], axis=1).astype(np.float32)


def test_an_image_from_pixels_to_cells():
    y, x = np.mgrid[:150, :100]
    cone = np.maximum(0, 14 - np.hypot(y % 50 - 25, x % 50 - 25)) / 14
    result = flowmask.segment((250 * cone).astype(np.uint8), Distance(), diameter=30)
    assert len(result.cells) == result.labels.max() == 6
    assert len(flowmask.segment((250 * cone).astype(np.uint8), Distance(), min_size=900).cells) == 0
    with pytest.raises(SettingsError, match="`cellprob_threshold` has no effect on a network of the watershed family"):
        flowmask.segment((250 * cone).astype(np.uint8), Distance(), cellprob_threshold=1.0)


@pytest.mark.parametrize("text", ["", "mesmer", "0.1", "0,0.3", "0.1,1", "0.1,0.2,0.3", "1.5,0.2", "a,b"])
def test_other_thresholds_are_refused(text):
    with pytest.raises(
        SettingsError, match=r"`watershed_thresholds=.*` is unknown; give paper, release, or two numbers"
    ):
        Segmentation(watershed_thresholds=text)


def test_the_table_gives_this_family_and_the_published_thresholds():
    assert family_of(WATERSHED) is FAMILY
    assert {name: watershed_thresholds(name) for name in PAIRS} == PAIRS
