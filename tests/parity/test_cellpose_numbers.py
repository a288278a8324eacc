"""Stage by stage against the cellpose package: the same arrays in, the same numbers out."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from flowmask.families.flow.masks import fill_holes, quality
from flowmask.families.flow.targets import label_boxes, labels_to_flows
from flowmask.images.image import ArrayImage
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import IOUS, false_negative_ratio, matches, ranked, sequential
from flowmask.labels.numbering import renumber
from flowmask.tiles.blend import blend_weights
from flowmask.tiles.normalise import intensity_ranges, mix, normalise
from flowmask.tiles.rescale import positions
from tests.reference.partition import same_partition
from train.simulate import simulate

SHAPE = (190, 230)


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    sample = simulate("phase", SHAPE, 8, 30)
    truth = sample.labels
    moved = np.roll(truth, (3, 4), (0, 1))
    guess = sequential(np.where(rng.random(truth.max() + 1)[moved] > 0.2, moved, 0))
    holes = np.where(rng.random(SHAPE) > 0.9, 0, truth)
    flow = labels_to_flows(truth) * 5 + rng.normal(0, 1.5, (2, *SHAPE)).astype(np.float32)
    arrays = {"truth": truth, "guess": guess, "holes": holes, "network_flow": flow, "image": sample.image}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def theirs(given, cellpose_python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    np.savez(folder / "in.npz", **given)
    script = Path(__file__).with_name("cellpose_numbers.py")
    subprocess.run([cellpose_python, script, folder / "in.npz", folder / "out.npz"], check=True, timeout=600)
    return np.load(folder / "out.npz")


def test_flows(given, theirs):
    np.testing.assert_allclose(labels_to_flows(given["truth"]), theirs["flows"], atol=1e-6)


def test_flow_errors(given, theirs):
    maps = np.concatenate([given["network_flow"], np.zeros((1, *SHAPE))]).astype(np.float32)
    maps = np.ascontiguousarray(maps.transpose(1, 0, 2))
    truth = given["truth"]
    rows, columns = (positions(0, length, length, length) for length in SHAPE)
    cells = np.arange(1, truth.max() + 1)
    ours, _ = quality(cells, label_boxes(truth, len(cells)), truth, 0, maps, 0, SHAPE[0], rows, columns)
    np.testing.assert_allclose(ours, theirs["errors"], atol=1e-5)


def test_matches(given, theirs):
    counts = theirs["counts"].astype(int)
    assert [matches(given["truth"], given["guess"], iou) for iou in IOUS] == [tuple(level) for level in counts]
    scored = ranked(given["truth"], given["guess"], np.zeros(given["guess"].max()))
    np.testing.assert_array_equal(scored.hits.sum(1), counts[:, 0])
    assert false_negative_ratio([scored]) == pytest.approx((1 - counts[:, 0] / counts[:, 1]).mean())


def test_percentiles(given, theirs):
    image = ArrayImage(given["image"][None])
    plan = ((0,),)
    ours = normalise(mix(given["image"][None], plan), intensity_ranges(image, plan, (1.0, 99.0)))
    np.testing.assert_allclose(ours[0], theirs["normalised"], atol=1e-5)


def test_taper(theirs):
    weight = blend_weights(224, 224)
    np.testing.assert_allclose(np.outer(weight, weight), theirs["blend_weights"], rtol=1e-5)


def test_diameter(given, theirs):
    assert median_diameter(given["truth"]) == pytest.approx(float(theirs["diameter"]), rel=1e-6)


def test_holes_and_small_cells(given, theirs):
    labels = given["holes"].copy()
    large = np.bincount(labels.ravel()) >= 15
    renumber(labels, numbers := np.zeros(len(large) - 1, np.int32), large[1:], 0)
    count = int(numbers.max())
    fill_holes(labels, 0, label_boxes(labels, count), np.arange(1, count + 1, dtype=np.int32))
    assert same_partition(labels, theirs["filled"].astype(np.int32))
