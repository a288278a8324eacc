"""The simulated slide: one picture whatever the bands, and as many cells and as much glass as promised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from train.simulate.slide import count_cells, slide_rows, write_slide
from train.simulate.slide_plan import DIAMETER, SPACING, plan_slide

pytestmark = pytest.mark.slow

SHAPE = (530, 700)
SIDE = 2000


def whole(shape: tuple[int, int], seed: int = 0, band: int = 512) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*slide_rows(shape, seed, band), strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.fixture(scope="module")
def large() -> tuple[np.ndarray, np.ndarray]:
    return whole((SIDE, SIDE), 1)


def test_equal_seeds_give_equal_slides_and_others_differ() -> None:
    (image, labels), (image_again, labels_again), (other, _) = (whole(SHAPE, seed) for seed in (1, 1, 2))
    assert np.array_equal(image, image_again)
    assert np.array_equal(labels, labels_again)
    assert not np.array_equal(image, other)


@pytest.mark.parametrize("band", [7, 300, 530])
def test_the_band_changes_nothing(band: int) -> None:
    (image, labels), (banded, banded_labels) = whole(SHAPE, 3), whole(SHAPE, 3, band)
    assert np.array_equal(image, banded)
    assert np.array_equal(labels, banded_labels)


@pytest.mark.parametrize("shape", [(1, 1), (33, 20), (5, 1100), (1100, 5)])
def test_types_and_shapes(shape: tuple[int, int]) -> None:
    for image, labels in slide_rows(shape, 0, 400):
        assert image.dtype == np.uint8
        assert labels.dtype == np.int32
        assert image.shape == (*labels.shape, 3)
    image, labels = whole(shape)
    assert image.shape == (*shape, 3)
    assert labels.shape == shape


def test_every_cell_is_there_and_measures_what_it_should(large: tuple[np.ndarray, np.ndarray]) -> None:
    areas = np.bincount(large[1].ravel())[1:]
    assert len(areas) == count_cells((SIDE, SIDE), 1)
    assert np.all(areas > 0)
    assert 0.85 * DIAMETER < np.sqrt(4 / np.pi * np.median(areas)) < 1.05 * DIAMETER


@pytest.mark.parametrize("seed", range(3))
def test_a_megapixel_holds_about_a_thousand_cells(seed: int) -> None:
    assert 850 < count_cells((SIDE, SIDE), seed) / (SIDE**2 / 1e6) < 1150


def test_glass_dense_and_sparse_regions(large: tuple[np.ndarray, np.ndarray]) -> None:
    image, labels = large
    assert 0.25 < np.mean(image.min(2) > 215) < 0.45
    block = 250
    cover = (labels > 0).reshape(SIDE // block, block, SIDE // block, block).mean((1, 3))
    assert cover.min() == 0
    assert cover.max() > 0.5
    assert np.count_nonzero((cover > 0.05) & (cover < 0.3)) > 0


def test_nuclei_are_darker_than_their_ground(large: tuple[np.ndarray, np.ndarray]) -> None:
    red = large[0][..., 0]
    assert np.median(red[large[1] > 0]) < np.median(red[large[1] == 0]) - 60


def test_centres_keep_their_distance() -> None:
    plan = plan_slide((300, 2100), 0)
    centres = np.stack([plan.rows, plan.columns], 1).astype(float)
    distance = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1))
    assert distance[~np.eye(len(centres), dtype=bool)].min() >= SPACING


def test_the_file_holds_the_rows_in_tiles(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    cells = write_slide(path, SHAPE, 5)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.tile == (512, 512)
        assert page.compression == tifffile.COMPRESSION.JPEG
        assert json.loads(page.description)["cells"] == cells == count_cells(SHAPE, 5)
        read = page.asarray()
    assert read.shape == (*SHAPE, 3)
    assert np.abs(read.astype(int) - whole(SHAPE, 5)[0]).mean() < 4
    assert [path] == list(path.parent.iterdir())
