"""Shapes and intensities against scikit-image, outlines against the pixels that they hold."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask
from skimage.measure import label, regionprops, regionprops_table

from flowmask.labels.intensity import add_pixels, no_pixels, summary
from flowmask.labels.outlines import outlines, simplified, trace
from flowmask.labels.shape import COLUMNS, cell_shapes, eccentricity, orientation


def blobs(seed, connectivity, threshold=0.02):
    """Irregular regions with holes; of connectivity 2, some in parts that touch at corners only."""
    smooth = gaussian_filter(np.random.default_rng(seed).standard_normal((160, 200)), 2.5)
    return label(smooth > threshold, connectivity=connectivity).astype(np.int32)


def single_pixels_and_lines():
    labels = np.zeros((12, 14), np.int32)
    labels[1, 1], labels[3, 1:9], labels[5:11, 2] = 1, 2, 3
    labels[range(5, 11), range(5, 11)] = 4
    return labels


CASES = [blobs(0, 1), blobs(1, 2), blobs(2, 2, -0.02), single_pixels_and_lines()]


def cells_of(labels):
    """The ids, boxes and areas of all cells."""
    regions = regionprops(labels)
    boxes = np.array([region.bbox for region in regions], np.int32)
    return np.array([region.label for region in regions]), boxes, [region.area for region in regions]


@pytest.mark.parametrize("labels", CASES, ids=range(len(CASES)))
def test_shapes_are_those_of_scikit_image(labels):
    names = ("area", "centroid", "perimeter", "area_convex", "eccentricity", "orientation")
    table = regionprops_table(labels, properties=names)
    ids, boxes, _ = cells_of(labels)
    found = cell_shapes(labels, ids, boxes)
    found[:, 1:3] += boxes[:, :2]
    moments = found[:, 5:].T
    for at, name in enumerate(COLUMNS[:5]):
        np.testing.assert_allclose(found[:, at], table[name], atol=1e-9, err_msg=name)
    np.testing.assert_allclose(eccentricity(*moments), table["eccentricity"], atol=1e-6)
    turn = (orientation(*moments) - table["orientation"]) / np.pi  # the two ends of the range are the same direction
    round_cells = table["eccentricity"] < 1e-6
    np.testing.assert_allclose((turn - np.round(turn))[~round_cells], 0, atol=1e-6)


@pytest.mark.parametrize("labels", CASES, ids=range(len(CASES)))
def test_outlines_hold_the_pixels_of_the_cell(labels):
    parts = holes = 0
    ids, boxes, areas = cells_of(labels)
    for cell, outline in zip(ids, outlines(labels, ids, boxes, areas), strict=True):
        smooth = iter(simplified([ring for part in outline for ring in part]))
        for change in (lambda ring: ring, lambda ring, smooth=smooth: next(smooth)):
            filled = np.zeros(labels.shape, bool)
            for part in outline:
                parts, holes = parts + 1, holes + len(part) - 1
                for number, ring in enumerate(part):
                    inside = polygon2mask(labels.shape, change(ring) - 0.5)
                    filled = filled | inside if number == 0 else filled & ~inside
            np.testing.assert_array_equal(filled, labels == cell)
    if labels is CASES[2]:
        assert parts > 2 * labels.max()
        assert holes > 0


def test_outlines_in_a_part_of_an_image_are_those_of_the_image():
    labels = CASES[2]
    ids, boxes, areas = cells_of(labels)
    inside = boxes[:, 0] >= 30
    shifted = boxes[inside] - np.array([30, 0, 30, 0], np.int32)
    found = outlines(np.ascontiguousarray(labels[30:]), ids[inside], shifted, np.array(areas)[inside], (30, 0))
    whole = outlines(labels, ids, boxes, areas)
    expected = [outline for outline, chosen in zip(whole, inside, strict=True) if chosen]
    assert [[[ring.tolist() for ring in part] for part in outline] for outline in found] == [
        [[ring.tolist() for ring in part] for part in outline] for outline in expected
    ]


def test_an_outline_with_very_many_corners():
    comb = np.ones((2, 2001), np.int32)
    comb[0, 1::2] = 0
    ends, enclosed = np.zeros((2, 2), np.int64)
    box = np.array([0, 0, 2, 2001], np.int32)
    points = trace(comb, np.ones(2, np.int64), np.stack([box, box]), ends, enclosed)
    np.testing.assert_array_equal(points[: ends[0]], points[ends[0] :])
    assert enclosed.tolist() == [comb.sum()] * 2
    assert len(points) == 2 * 4 * 1001
    assert outlines(comb, np.zeros(0, np.int64), np.zeros((0, 4), np.int32), []) == []


def test_simplified_outlines_have_fewer_points():
    y, x = np.mgrid[:80, :80]
    disc = ((y - 40) ** 2 + (x - 40) ** 2 < 900).astype(np.int32)
    (((ring,),),) = outlines(disc, *cells_of(disc))
    (smooth,) = simplified([ring])
    assert len(smooth) < len(ring) / 2


@pytest.mark.parametrize("step", [1, 7, 160])
def test_intensities_are_those_of_numpy_whatever_the_strips(step):
    labels = CASES[0]
    pixels = np.random.default_rng(4).normal(60_000, 3, labels.shape)
    pixels[labels == 2] = 50_000
    pixels[labels == 3] = np.nan
    pixels[labels == 4] = np.where(np.arange(np.count_nonzero(labels == 4)) % 2, np.inf, 7)
    statistics = no_pixels(labels.max())
    for top in range(0, len(labels), step):
        add_pixels(np.ascontiguousarray(labels[top : top + step]), pixels[top : top + step], statistics)
    found = summary(statistics)
    for cell in range(1, labels.max() + 1):
        values = pixels[labels == cell]
        values = values[np.isfinite(values)]
        expected = [values.mean(), values.std(), values.min(), values.max()] if values.size else [np.nan] * 4
        np.testing.assert_allclose(found[cell - 1], expected, rtol=1e-12, atol=1e-9)
