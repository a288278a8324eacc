"""Kinds of images with a promise of their own: two sizes, marks burned in, processes, holes, layers, lobes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.measure import regionprops

from train.simulate import histology, layers, marks, populations, shapes, simulate, stained
from train.simulate.placement import mostly_within

pytestmark = pytest.mark.slow

SHAPE = (160, 160)


def test_two_sizes_differ_by_a_factor_and_the_asked_one_is_the_more_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    monkeypatch.setattr(populations, "CHANCE", 1)
    for seed in range(20):
        draw = populations.two_sizes(np.random.default_rng(seed), lambda: [square])
        sides = np.array([np.ptp(draw()[0][:, 0]) for _ in range(300)]) / 2
        kinds, counts = np.unique(sides.round(4), return_counts=True)
        assert len(kinds) == 2
        assert 1.8 <= kinds[1] / kinds[0] <= 3.3
        assert kinds[counts.argmax()] == 1
        assert counts.min() > 15


def test_one_size_stays_as_it_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(populations, "CHANCE", 0)
    outline = np.ones((4, 2), np.float32)
    assert populations.two_sizes(np.random.default_rng(0), lambda: [outline])()[0] is outline


@pytest.mark.parametrize("modality", ["fluorescence_nuclei", "brightfield", "dic"])
def test_a_picture_of_two_sizes_holds_cells_of_both(modality: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = []
    for chance in (0, 1):
        monkeypatch.setattr(populations, "CHANCE", chance)
        ratios.append([])
        for seed in range(6):
            labels = simulate(modality, (256, 256), seed, 24).labels
            sizes = [cell.equivalent_diameter_area for cell in regionprops(labels)]
            if len(sizes) >= 10:
                ratios[-1].append(np.divide(*np.percentile(sizes, [97, 10])))
    assert len(ratios[1]) >= 2
    assert np.mean(ratios[1]) > 1.15 * np.mean(ratios[0])


@pytest.mark.parametrize("shape", [(160, 200), (160, 200, 3)])
def test_marks_cover_little_and_leave_the_rest_as_it_was(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).integers(60, 190, shape, np.uint8)
    monkeypatch.setattr(marks, "CHANCE", 1)
    for seed in range(30):
        marked = marks.burn_in(np.random.default_rng(seed), image)
        changed = (marked != image).reshape(160, 200, -1).any(-1)
        assert marked.dtype == np.uint8
        assert marked.shape == shape
        assert 0.001 < changed.mean() < 0.2
        assert marked.max() > 200 or marked.min() < 50


def test_few_images_are_marked_and_none_without_room() -> None:
    image = np.full((128, 128), 100, np.uint8)
    marked = [(marks.burn_in(np.random.default_rng(seed), image) != image).any() for seed in range(1000)]
    assert 15 < sum(marked) < 80
    small = image[:90]
    assert all(marks.burn_in(np.random.default_rng(seed), small) is small for seed in range(200))


def test_a_mark_changes_the_image_and_not_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = []
    for chance in (0, 1):
        monkeypatch.setattr(marks, "CHANCE", chance)
        samples.append(simulate("slender_phase", SHAPE, 4, 24))
    np.testing.assert_array_equal(samples[0].labels, samples[1].labels)
    assert not np.array_equal(samples[0].image, samples[1].image)


@pytest.mark.parametrize("tips", [2, 3, 5])
def test_slender_cells_have_the_area_asked_for_and_thin_processes(tips: int) -> None:
    means = {}
    for slender in (0.0, 1.0):
        shares = []
        for seed in range(20):
            outline = shapes.with_processes(np.random.default_rng(seed), 60, tips, slender)
            mask = polygon2mask((400, 400), outline + 200)
            assert mask.sum() == pytest.approx(np.pi / 4 * 60**2, rel=0.12)
            shares.append(ndimage.binary_opening(mask, iterations=6).sum() / mask.sum())
        means[slender] = np.mean(shares)
    assert means[1.0] < means[0.0]


def test_confluent_cells_cover_most_of_the_ground() -> None:
    covered = [(simulate("confluent", SHAPE, seed, 30).labels > 0).mean() for seed in range(8)]
    assert min(covered) > 0.75


def test_holes_of_a_section_are_pale_and_hold_no_labelled_nucleus(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, np.ndarray] = {}

    def remembered(rng: np.random.Generator, shape: tuple[int, int], diameter: float) -> np.ndarray:
        seen["holes"] = np.zeros(shape, bool)
        seen["holes"][60:120, 50:110] = True
        return seen["holes"]

    monkeypatch.setattr(histology, "_holes", remembered)
    monkeypatch.setattr(histology, "_red_cells", lambda rng, holes, *rest: np.zeros(holes.shape, np.float32))
    for seed in range(4):
        image, labels = histology.tissue_section(np.random.default_rng(seed), SHAPE, 20)
        assert not labels[seen["holes"]].any()
        inner = ndimage.binary_erosion(seen["holes"], iterations=8)
        outer = ~ndimage.binary_dilation(seen["holes"], iterations=8)
        assert image[..., 1][inner].mean() > image[..., 1][outer].mean() + 10


def test_of_two_layers_the_nearer_wins_and_a_hidden_nucleus_has_no_label() -> None:
    near, far = np.zeros((2, 20, 40), np.int32)
    near[4:14, 4:14] = 1
    far[5:12, 4:8] = 1
    far[4:14, 8:18] = 2
    far[4:14, 25:35] = 3
    wanted = near.copy()
    wanted[4:14, 14:18] = 0
    wanted[4:14, 25:35] = 2
    np.testing.assert_array_equal(layers.in_front(near, layers.seen(near, far, 0.5)), wanted)
    far[4:14, 18:22] = 2
    seen = layers.in_front(near, layers.seen(near, far, 0.5))
    assert seen.max() == 3
    assert len(np.unique(seen[4:14, 14:22])) == 1
    np.testing.assert_array_equal(seen == 1, near == 1)


def test_the_lobes_of_a_white_cell_lie_apart_within_it() -> None:
    labels = np.zeros((80, 160), np.int32)
    rows, columns = np.mgrid[:80, :160]
    for index, middle in enumerate((40, 120), 1):
        labels[(rows - 40) ** 2 + (columns - middle) ** 2 < 30**2] = index
    lobes = [stained._small_lobes(np.random.default_rng(seed), labels) for seed in range(10)]
    assert all(not lobe[labels == 0].any() for lobe in lobes)
    for index in (1, 2):
        shares = [lobe[labels == index].mean() for lobe in lobes]
        assert min(shares) > 0.15
        assert max(shares) < 0.6
    assert np.mean([ndimage.label(lobe)[1] for lobe in lobes]) > 3


def test_cells_mostly_within_a_region_are_kept_whole() -> None:
    labels = np.zeros((10, 30), np.int32)
    labels[:, :10], labels[:, 20:] = 1, 2
    region = np.zeros((10, 30), bool)
    region[:, 4:23] = True
    np.testing.assert_array_equal(mostly_within(labels, region), labels == 1)


def test_filaments_reach_forty_times_their_width() -> None:
    aspects = []
    for seed in range(6):
        for cell in regionprops(simulate("filaments", (384, 384), seed, 60).labels):
            aspects.append(cell.area / (2 * ndimage.distance_transform_edt(np.pad(cell.image, 1)).max()) ** 2)
    assert max(aspects) > 40


def test_flat_cells_have_one_value_each_and_sharp_edges():
    found = 0
    for seed in range(12):
        sample = simulate("flat", (200, 200), seed, 30)
        values = [sample.image[sample.labels == n] for n in range(1, sample.labels.max() + 1)]
        found += sum(np.percentile(v, 90) - np.percentile(v, 10) < 0.2 * np.ptp(sample.image) for v in values)
        assert len(values) == 0 or np.ptp(sample.image) > 30
    assert found > 40
