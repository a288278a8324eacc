"""The simulator of labelled images: shapes, determinism and the promises made about labels."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from tests.conftest import ROOT
from tests.reference.later import later
from train.simulate import MODALITIES, Sample, fields, floating_cells, simulate, traced
from train.simulate.trace import trace, whole_cells

pytestmark = pytest.mark.slow

SHAPE = (160, 160)
stats = later("scipy.stats", "SciPy is not installed")


def uncut_diameters(sample: Sample) -> np.ndarray:
    """Equivalent diameters, in px, of the cells that do not meet the image border."""
    labels = sample.labels
    areas = np.bincount(labels.ravel())
    areas[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = 0
    areas[0] = 0
    return np.sqrt(4 / np.pi * areas[areas > 0])


@pytest.mark.parametrize("modality", MODALITIES)
def test_equal_arguments_give_equal_samples_and_seeds_differ(modality: str) -> None:
    first, again, other = (simulate(modality, SHAPE, seed, 24) for seed in (1, 1, 2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert first.modality == modality
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def separation(image: np.ndarray, labels: np.ndarray) -> float:
    """How well one property of a pixel tells cells, or their borders, from the rest: 0 by chance, 0.5 at best.

    The area between the ROC curve and chance, the largest over the channels and over brightness, distance from the
    median brightness and steepness, all of them blurred by 1 px.
    """
    regions = [labels > 0, ndimage.binary_dilation(fields.boundaries(labels))]
    found = 0.0
    for plane in np.moveaxis(np.atleast_3d(image).astype(float), -1, 0):
        soft = ndimage.gaussian_filter(plane, 1)
        for values in (soft, np.abs(soft - np.median(soft)), ndimage.gaussian_gradient_magnitude(plane, 1)):
            ranks = stats().rankdata(values).reshape(labels.shape) / labels.size
            found = max(found, *(abs(ranks[inside].mean() - ranks[~inside].mean()) for inside in regions))
    return found


def half_full(modality: str) -> list[Sample]:
    """Samples that have both cells and background."""
    diameter = 60 if modality == "one_cell" else 24
    samples = [simulate(modality, SHAPE, seed, diameter) for seed in range(14)]
    return [sample for sample in samples if 0.03 < (sample.labels > 0).mean() < 0.97][:8]


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_image_shows_the_cells_where_the_labels_say(modality: str) -> None:
    samples = half_full(modality)
    assert len(samples) == 8
    there, beside, elsewhere = (
        np.mean([separation(sample.image, np.roll(sample.labels, (shift, shift), (0, 1))) for sample in samples])
        for shift in (0, 6, SHAPE[0] // 2)
    )
    assert there > 0.25
    assert there > beside + 0.08
    assert there > elsewhere + 0.15


def test_noise_does_not_show_the_cells() -> None:
    noise = np.random.default_rng(0)
    for sample in half_full("phase"):
        assert separation(noise.integers(0, 256, sample.image.shape, np.uint8), sample.labels) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_no_two_modalities_share_the_labels_of_a_seed(seed: int) -> None:
    labels = [simulate(modality, SHAPE, seed, 24).labels for modality in MODALITIES]
    assert not any(np.array_equal(one, other) for one, other in combinations(labels, 2) if one.any() or other.any())


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("seed", range(3))
def test_labels_are_sequential_and_connected(modality: str, seed: int) -> None:
    labels = simulate(modality, SHAPE, seed).labels
    areas = np.bincount(labels.ravel())[1:]
    assert np.all(areas >= 12)
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        assert ndimage.label(labels[box] == index)[1] == 1


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("shape", [SHAPE, (97, 401), (33, 20)])
def test_types_and_shapes(modality: str, shape: tuple[int, int]) -> None:
    sample = simulate(modality, shape, 3)
    assert sample.image.dtype == np.uint8
    assert sample.image.shape in (shape, (*shape, 3))
    assert sample.labels.dtype == np.int32
    assert sample.labels.shape == shape


@pytest.mark.parametrize("modality", sorted({*MODALITIES} - {"one_cell"}))
@pytest.mark.parametrize("diameter", [14, 32])
def test_median_diameter_is_the_one_asked_for(modality: str, diameter: float) -> None:
    found = [uncut_diameters(simulate(modality, (256, 256), seed, diameter)) for seed in range(4)]
    medians = np.array([np.median(sizes) for sizes in found if len(sizes) >= 5])
    assert len(medians) > 0
    assert np.all((medians > diameter / 1.5) & (medians < diameter * 1.5))


def crosses_itself(outline: np.ndarray) -> bool:
    """Whether two sides of a closed polygon (K, 2) cross."""
    ends = np.roll(outline, -1, 0)
    sides = ends - outline

    def turn(points: np.ndarray) -> np.ndarray:
        away = points[None] - outline[:, None]
        return sides[:, None, 0] * away[..., 1] - sides[:, None, 1] * away[..., 0]

    parted = turn(outline) * turn(ends) < 0
    return bool((parted & parted.T).any())


def polygon_area(outline: np.ndarray) -> float:
    x, y = outline.astype(float).T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def test_what_counts_as_crossing_itself() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    assert not crosses_itself(square)
    assert crosses_itself(square[[0, 2, 1, 3]])


@pytest.mark.parametrize(("group", "sources"), [("nuclei", 5), ("spread", 1), ("round", 1)])
def test_every_outline_of_the_bank_is_a_simple_polygon_of_diameter_one(group: str, sources: int) -> None:
    bank = traced.bank(group)
    assert len(bank) == sources
    for outlines in bank:
        assert len(outlines) >= 20
        assert len(np.unique(outlines, axis=0)) == len(outlines)
        assert not any(map(crosses_itself, outlines))
        np.testing.assert_allclose([polygon_area(outline) for outline in outlines], np.pi / 4, rtol=1e-3)
        assert np.abs(outlines.mean(1)).max() < 0.01


def test_a_traced_outline_is_simple_and_as_large_as_asked_and_the_draws_differ() -> None:
    drawn = [traced.outline(np.random.default_rng(seed), "spread", 40) for seed in range(30)]
    assert not any(map(crosses_itself, drawn))
    np.testing.assert_allclose([polygon_area(outline) for outline in drawn], np.pi / 4 * 40**2, rtol=1e-3)
    assert all(outline.dtype == np.float32 for outline in drawn)
    assert len({outline.tobytes() for outline in drawn}) == 30


def test_a_traced_mask_gives_back_its_shape() -> None:
    rows, columns = np.mgrid[:60, :40]
    outline = trace(((rows - 30) / 24) ** 2 + ((columns - 20) / 12) ** 2 < 1)
    assert np.ptp(outline, axis=0) == pytest.approx([2**-0.5, 2**0.5], rel=0.03)
    steps = np.linalg.norm(outline - np.roll(outline, 1, 0), axis=1)
    assert steps.max() < 1.05 * steps.min()


def test_cells_that_are_cut_or_small_are_not_traced() -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[:20, 5:25] = 1
    labels[30:45, 10:30] = 2
    labels[50:55, 50:55] = 3
    assert [mask.shape for mask in whole_cells(labels)] == [(15, 20)]


@pytest.mark.parametrize("modality", ["fluorescence_wholecell", "phase", "dic", "brightfield", "yeast"])
def test_floating_cells_are_seen_and_not_labelled(modality: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    for chance in (0, 1):
        monkeypatch.setattr(floating_cells, "CHANCE", chance)
        pictures.append([simulate(modality, SHAPE, seed, 24) for seed in range(3)])
    for without, floating in zip(*pictures, strict=True):
        np.testing.assert_array_equal(without.labels, floating.labels)
        assert not np.array_equal(without.image, floating.image)


def test_a_floating_cell_is_blurred_weak_and_rare() -> None:
    maps = [floating_cells.floating(np.random.default_rng(seed), SHAPE, 24) for seed in range(100)]
    with_some = [cells for cells in maps if cells.any()]
    assert 8 <= len(with_some) <= 35
    for cells in with_some:
        assert 0.05 < cells.max() < 2
        assert np.abs(np.gradient(cells)).max() < 0.15 * cells.max()


def test_an_image_without_floating_cells_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).normal(1, 0.1, SHAPE).astype(np.float32)
    monkeypatch.setattr(floating_cells, "CHANCE", 0)
    np.testing.assert_array_equal(floating_cells.overlay(np.random.default_rng(1), image, 24), image)
    monkeypatch.setattr(floating_cells, "CHANCE", 1)
    change = [floating_cells.overlay(np.random.default_rng(seed), image, 24) - image for seed in range(20)]
    assert all(0.02 < np.abs(one).max() < 0.5 for one in change)


def test_bacteria_of_a_mother_machine_lie_end_to_end_along_parallel_channels() -> None:
    rows = neighbours = 0
    for seed in range(8):
        labels = simulate("mother_machine", (256, 256), seed, 24).labels
        cells = [cell for cell in regionprops(labels) if cell.eccentricity > 0.8 and cell.area > 100]
        angles = np.array([cell.orientation for cell in cells])
        lying = np.median(np.abs(angles)) > np.pi / 4
        off = np.abs(np.abs(angles) - (np.pi / 2 if lying else 0))
        assert off.max() < 0.2
        centres = np.array([cell.centroid for cell in cells])
        lengths = np.array([cell.axis_major_length for cell in cells])
        gaps = centres[:, None] - centres[None]
        along, across = (np.abs(gaps[..., axis]) for axis in ((1, 0) if lying else (0, 1)))
        next_to = (across < 6) & (along > 0) & (along < 0.6 * (lengths[:, None] + lengths[None]) + 4)
        rows += np.count_nonzero(next_to.any(1))
        neighbours += len(cells)
    assert rows > 0.7 * neighbours


def test_equal_arguments_give_equal_samples_in_another_process() -> None:
    code = "from train.simulate import simulate; print(simulate('phase', (160, 160), 1, 24).image.tobytes().hex())"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert answer.strip() == simulate("phase", SHAPE, 1, 24).image.tobytes().hex()


def test_unknown_modality_names_the_choices() -> None:
    with pytest.raises(ValueError, match="blood_smear"):
        simulate("x-ray")
