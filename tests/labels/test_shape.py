"""Shapes and intensities against scikit-image, outlines against the pixels that they hold."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask
from skimage.measure import label, regionprops, regionprops_table

from flowmask.labels.intensity import add_pixels, no_pixels, summary
from flowmask.labels.outlines import enclosed_area, outlines, simplified
from flowmask.labels.shape import COLUMNS, cell_shape, eccentricity, orientation


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


def crops(labels):
    for region in regionprops(labels):
        top, left, bottom, right = region.bbox
        yield region, np.ascontiguousarray(labels[top:bottom, left:right])


@pytest.mark.parametrize("labels", CASES, ids=range(len(CASES)))
def test_shapes_are_those_of_scikit_image(labels):
    names = ("area", "centroid", "perimeter", "area_convex", "eccentricity", "orientation")
    table = regionprops_table(labels, properties=names)
    found = np.array([cell_shape(crop, region.label) for region, crop in crops(labels)])
    found[:, 1:3] += [region.bbox[:2] for region in regionprops(labels)]
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
    for region, crop in crops(labels):
        cell = crop == region.label
        for change in (lambda ring: ring, simplified):
            filled = np.zeros(crop.shape, bool)
            for part in outlines(crop, region.label, int(region.area)):
                parts, holes = parts + 1, holes + len(part) - 1
                for number, ring in enumerate(part):
                    inside = polygon2mask(crop.shape, change(ring) - 0.5)
                    filled = filled | inside if number == 0 else filled & ~inside
            np.testing.assert_array_equal(filled, cell)
    if labels is CASES[2]:
        assert parts > 2 * labels.max()
        assert holes > 0


def test_simplified_outlines_have_fewer_points():
    y, x = np.mgrid[:80, :80]
    disc = ((y - 40) ** 2 + (x - 40) ** 2 < 900).astype(np.int32)
    top = int(np.argmax(disc.any(axis=1)))
    ((ring,),) = outlines(np.ascontiguousarray(disc[top:]), 1, int(disc.sum()))
    assert enclosed_area(ring) == disc.sum()
    assert len(simplified(ring)) < len(ring) / 2


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
