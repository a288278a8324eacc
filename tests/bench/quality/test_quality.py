"""The scores of bench.quality.scores, with a network that finds the cells of a drawn image."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip("torch")

from bench import images as bench_images  # noqa: E402
from bench.quality.scores import (  # noqa: E402
    COLUMNS,
    Group,
    cell_confidence,
    score,
    segmented,
    source_table,
    summary,
    text,
)
from flowmask.families.flow.targets import labels_to_flows  # noqa: E402
from flowmask.images.image import ArrayImage  # noqa: E402
from flowmask.labels.labels import median_diameter  # noqa: E402
from flowmask.labels.metrics import average_precision  # noqa: E402
from flowmask.network.contract import Contract  # noqa: E402
from flowmask.options import Segmentation  # noqa: E402
from train.simulate import MODALITIES  # noqa: E402

SIDE = 18
DIAMETER = SIDE * 2 / math.sqrt(math.pi)
CORNERS = [(6, 8), (8, 40), (36, 10), (38, 64)]


class Seeing:
    """A network that finds bright cells of about the mean diameter, and estimates no diameter."""

    gpu_memory = None
    count = 1

    def __init__(self, estimate=DIAMETER):
        self.contract = Contract("seeing", "rgb", 24.0, estimate, False, "", "")

    def maps(self, tiles):
        return np.stack([self._maps(tile[0]) for tile in tiles])

    def _maps(self, tile):
        labels = ndimage.label(tile > 0.3)[0].astype(np.int32)
        fits = 0.8 < median_diameter(labels) / self.contract.mean_diameter < 1.25
        logit = np.where(tile > 0.3, 5 * tile - 1, -6) if fits else np.full_like(tile, -6)
        return np.concatenate([5 * labels_to_flows(labels), logit[None]]).astype(np.float32)


def drawn(values=(1.0, 0.7, 1.0, 0.5)):
    """An image (1, 64, 96) of square cells, the labels of those whose values are not 0."""
    pixels, labels = np.zeros((64, 96), np.float32), np.zeros((64, 96), np.int32)
    for value, (top, left) in zip(values, CORNERS, strict=True):
        inside = np.s_[top : top + SIDE, left : left + SIDE]
        pixels[inside] = value
        labels[inside] = (labels.max() + 1) * (value > 0)
    return ArrayImage(pixels[None]), labels


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def test_the_confidence_of_a_cell_is_the_mean_of_its_probability():
    rng = np.random.default_rng(0)
    maps, labels = rng.normal(0, 4, (3, 20, 30)).astype(np.float32), rng.integers(0, 5, (20, 30)).astype(np.int32)
    expected = [sigmoid(maps[2].astype(np.float64))[labels == cell].mean() for cell in range(1, 5)]
    np.testing.assert_allclose(cell_confidence(labels, maps[2]), expected, rtol=1e-12)


def test_the_confidence_is_read_where_the_cell_lies_in_the_image():
    maps = np.zeros((3, 10, 20), np.float32)
    maps[2] = np.arange(20) - 10
    labels = np.zeros((30, 40), np.int32)
    labels[3:7, 5:12], labels[9:25, 22:36] = 1, 2
    columns = sigmoid(np.interp((np.arange(40) + 0.5) / 2 - 0.5, np.arange(20), np.arange(20) - 10))
    np.testing.assert_allclose(cell_confidence(labels, maps[2]), [columns[5:12].mean(), columns[22:36].mean()])


@pytest.mark.parametrize("given", [None, 22.0])
def test_an_image_is_segmented_with_the_diameter_that_is_said_or_given(given):
    image, truth = drawn()
    labels, diameter, confidence = segmented(image, Seeing(DIAMETER), Segmentation(diameter=given))
    assert diameter == (given or DIAMETER)
    assert labels.shape == truth.shape
    assert labels.max() == 4
    assert np.mean((labels > 0) == (truth > 0)) > 0.98
    middle = [confidence[labels[top + SIDE // 2, left + SIDE // 2] - 1] for top, left in CORNERS]
    np.testing.assert_allclose(middle, sigmoid(np.array([4, 2.5, 4, 1.5])), atol=0.05)


def test_an_image_in_which_nothing_is_found_has_no_confidence():
    labels, _, confidence = segmented(drawn()[0], Seeing(), Segmentation(diameter=60))
    assert not labels.any()
    assert confidence.shape == (0,)


def test_all_scores_are_best_where_the_cells_are_found():
    scores, cells = score(*drawn(), Seeing(), Segmentation())
    assert (scores["f1_estimated"], scores["f1_true"]) == (1, 1)
    assert scores["ap"] > 0.75
    assert scores["afnr"] < 0.25
    assert scores["dice"] > 0.97
    assert scores["diameter_error"] == pytest.approx(0, abs=1e-12)
    assert scores["diameter"] == scores["true_diameter"] == pytest.approx(DIAMETER)
    assert cells.cells == 4
    assert scores["ap"] == average_precision([cells])


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_diameter_costs_all_scores_but_the_one_with_the_true_diameter(factor):
    scores, cells = score(*drawn(), Seeing(factor * DIAMETER), Segmentation())
    assert (scores["f1_estimated"], scores["f1_true"]) == (0, 1)
    assert (scores["ap"], scores["afnr"], scores["dice"]) == (0, 1, 0)
    assert scores["diameter_error"] == pytest.approx(math.log(2))
    assert scores["diameter"] == pytest.approx(factor * scores["true_diameter"])
    assert cells.confidence.shape == (0,)


def test_a_missed_and_a_false_cell_are_counted():
    image, _ = drawn()
    _, truth = drawn((1, 1, 1, 0))
    truth[50:60, 40:50] = 4
    scores, cells = score(image, truth, Seeing(), Segmentation())
    assert scores["f1_estimated"] == pytest.approx(3 / 4)
    assert cells.cells == 4
    assert list(cells.hits[0]) == [True, True, True, False]
    assert scores["afnr"] == pytest.approx(1 - cells.hits.sum() / 40)
    found = SIDE**2
    assert scores["dice"] == pytest.approx(2 * 3 * found / (4 * found + 3 * found + 100), abs=0.02)


def test_images_are_scored_by_source_and_name_and_cells_on_empty_ones_counted():
    image, truth = drawn()
    other, fewer = drawn((1, 0, 0.6, 0))
    blank = ArrayImage(np.zeros((1, 64, 96), np.uint8))
    nothing = np.zeros_like(truth)
    images = [
        ("a", "one", image, truth),
        ("a", "two", image, np.where(truth == 4, 0, truth)),
        ("a", "three", image, np.where(truth == 1, 1, 0)),
        ("b", "one", other, fewer),
        ("b", "blank", blank, nothing),
        ("c", "two", other, nothing),
    ]
    group = Group(images, Seeing(), Segmentation())
    assert {source: list(few) for source, few in group.images.items()} == {"a": ["one", "two", "three"], "b": ["one"]}
    assert group.on_empty == {"b/blank": 0, "c/two": 2}
    report = group.figures()
    f1 = [1, 6 / 7, 2 / 5]
    assert [few["f1_true"] for few in group.images["a"].values()] == pytest.approx(f1)
    assert report["sources"]["a"]["mean"]["f1_true"] == pytest.approx(np.mean(f1))
    assert report["sources"]["a"]["median"]["f1_true"] == pytest.approx(6 / 7)
    assert report["mean"]["f1_true"] == pytest.approx((np.mean(f1) + 1) / 2)
    assert report["median"]["f1_true"] == pytest.approx((6 / 7 + 1) / 2)
    cells = [score(image, truth, Seeing(), Segmentation())[1] for source, _, image, truth in images[:3]]
    assert report["sources"]["a"]["together"]["ap"] == average_precision(cells)
    assert report["sources"]["a"]["together"]["ap"] != pytest.approx(report["sources"]["a"]["mean"]["ap"])
    assert report["images"] == group.images
    assert report["on_empty"] == group.on_empty
    page = text({"model": "a network", "images": report})
    assert "Median over the images of each source" in page
    assert "Cells found on the 2 images without cells: 2." in page


def test_the_settings_reach_the_engine():
    image, truth = drawn()
    every = Group([("a", "x", image, truth), ("a", "y", image, 0 * truth)], Seeing(), Segmentation(min_size=1000))
    assert every.images["a"]["x"]["f1_true"] == every.images["a"]["x"]["dice"] == 0
    assert every.on_empty == {"a/y": 0}


def test_a_summary_is_the_mean_or_the_median_of_each_score():
    images = [{"ap": 0.0, "dice": 1.0}, {"ap": 0.1, "dice": 0.5}, {"ap": 0.8, "dice": 0.6}]
    assert summary(images, np.mean) == pytest.approx({"ap": 0.3, "dice": 0.7})
    assert summary(images, np.median) == pytest.approx({"ap": 0.1, "dice": 0.6})


def test_every_source_counts_alike_in_the_means_of_a_table():
    one = dict.fromkeys(COLUMNS, 0.2)
    other = dict.fromkeys(COLUMNS, 0.8) | {"ap": 0.4}
    lines = source_table(COLUMNS, {"a": one, "b": other, "c": one}, {"a": 1, "b": 30, "c": 2}).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert rows[0] == ["source", "images", *COLUMNS.values()]
    assert rows[2][:3] == ["a", "1", "0.200"]
    assert rows[-2] == ["mean over sources", "33", "0.400", "0.400", "0.267", "0.400", "0.400", "0.400"]
    several = "mean over sources of several images"
    assert rows[-1] == [several, "32", "0.500", "0.500", "0.300", "0.500", "0.500", "0.500"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_table_has_one_mean_where_all_sources_are_alike(count):
    lines = source_table(COLUMNS, {"a": dict.fromkeys(COLUMNS, 0.2)}, {"a": count}).splitlines()
    assert len(lines) == 4


def test_simulated_images_are_some_of_each_modality_with_seeds_of_their_own(monkeypatch):
    calls, (image, labels) = [], drawn()

    @dataclasses.dataclass
    class Drawn:
        image: np.ndarray
        labels: np.ndarray

    def simulate(modality, seed):
        calls.append((modality, seed))
        return Drawn(image.read(0, 0, 64, 96)[0], labels)

    monkeypatch.setattr(bench_images, "simulate", simulate)
    found = list(bench_images.simulated(2))
    assert calls == [(modality, seed) for modality in MODALITIES for seed in (1_000_000, 1_000_001)]
    assert [f"{source}/{name}" for source, name, _, _ in found] == [f"simulated {m}/{seed}" for m, seed in calls]
    assert {image.shape for _, _, image, _ in found} == {(1, 64, 96)}


def test_images_are_named_by_their_source_and_file(tmp_path):
    (tmp_path / "lab").mkdir()
    cv2.imwrite(str(tmp_path / "lab" / "one.png"), np.full((9, 7), 5, np.uint8))
    cv2.imwrite(str(tmp_path / "lab" / "one_label.png"), np.eye(9, 7, dtype=np.uint16))
    ((source, name, image, truth),) = bench_images.opened(bench_images.read_shared(tmp_path))
    assert (source, name, image.shape) == ("lab", "one", (1, 9, 7))
    np.testing.assert_array_equal(truth, np.eye(9, 7))
