"""Pasted pictures: labels that are a partition, pixels that belong to them, backgrounds without cells."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")

from flowmask.families.flow.targets import labels_to_flows  # noqa: E402
from flowmask.images.image import as_image  # noqa: E402
from train.batches import batch_maker  # noqa: E402
from train.config import Config  # noqa: E402
from train.data import MIN_CELL, prepare  # noqa: E402
from train.paste import KEPT, arrange, by_source, compose, cut_out, pasted, turned, without_cells  # noqa: E402
from train.simulate import simulate  # noqa: E402

CONFIG = Config("tiny", "rgb", (4, 4, 8, 8), steps=6, licence="BSD-3-Clause", data="simulated", batch=3)


def real(modality="phase", seed=0, source="lab", policy="rgb"):
    sample = simulate(modality, (150, 170), seed, 20)
    return prepare(as_image(sample.image), sample.labels, source, policy)


@pytest.fixture(scope="module")
def lab():
    return by_source([real("phase", 3), real("dic", 3), real("filaments", 1)])["lab"]


def masks(placed, shape):
    """The mask of each placed cell on the whole picture, its largest piece alone."""
    for one in placed:
        whole = np.zeros(shape, bool)
        whole[one.there] = one.cut.mask[one.own]
        pieces, count = ndimage.label(whole)
        yield pieces == 1 + np.argmax(ndimage.sum_labels(whole, pieces, range(1, count + 1)))


@pytest.mark.parametrize("coverage", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_labels_are_a_partition_of_the_placed_masks(lab, seed, coverage):
    shape = (160, 140)
    labels, placed = arrange(shape, lab[seed], coverage, np.random.default_rng(seed))
    areas = np.bincount(labels.ravel(), minlength=len(placed) + 1)[1:]
    assert len(areas) == len(placed) >= 3
    assert areas.min() >= MIN_CELL
    top = np.zeros(shape, int)
    for number, mask in enumerate(masks(placed, shape), 1):
        top[mask] = number
        assert not (labels == number)[~mask].any()
        assert areas[number - 1] >= KEPT * np.count_nonzero(mask)
        assert ndimage.label(labels == number)[1] == 1
    assert (labels[labels > 0] == top[labels > 0]).all()
    remnants = np.where(labels == 0, top, 0)
    for number in np.unique(remnants[remnants > 0]):
        beside = ndimage.binary_dilation(remnants == number)
        assert not (beside & (labels == number)).any()


def test_overlaps_and_remnants_do_occur(lab):
    """So that the test above has something to find."""
    found = [arrange((160, 140), lab[seed], 0.9, np.random.default_rng(seed)) for seed in range(3)]
    every = [np.stack(list(masks(placed, labels.shape))) for labels, placed in found]
    assert all((stack.sum(0) > 1).any() for stack in every)
    assert any((stack.any(0) & (labels == 0)).any() for stack, (labels, _) in zip(every, found, strict=True))


def test_pictures_are_as_full_as_asked(lab):
    area = np.pi / 4 * lab[0].image.diameter ** 2 / 160**2
    for coverage in (0, 0.05, 0.2):
        labels, placed = arrange((160, 160), lab[0], coverage, np.random.default_rng(1))
        assert abs((labels > 0).mean() - coverage) < 1.5 * area
        assert bool(placed) == bool(coverage)


def test_pasted_pictures_are_as_full_as_the_images_of_their_source():
    y, x = np.mgrid[:160, :160]
    images = []
    for spacing in (40, 20):
        labels, _ = ndimage.label((y % spacing - 9.5) ** 2 + (x % spacing - 9.5) ** 2 < 36)
        images.append(prepare(as_image(100 * (labels > 0) + y % 7 + x % 5), labels.astype(np.int32), "lab", "rgb"))
    same = by_source(images)["lab"]
    wanted = [np.count_nonzero(image.labels) / image.labels.size for image in images]
    covers = [
        np.count_nonzero(pasted(images[0], same, 12.0, 0, np.random.default_rng(seed)).labels) / 144**2
        for seed in range(24)
    ]
    off = np.abs(np.subtract.outer(covers, wanted))
    assert off.min(1).max() < 0.015
    assert 6 <= np.count_nonzero(off[:, 0] < 0.015) <= 18


def test_every_label_shows_its_cell_and_the_rest_the_background(lab):
    donor, rng = lab[1], np.random.default_rng(4)
    labels, placed = arrange((150, 150), donor, 0.3, rng)
    empty = rng.normal(0, 1, (150, 150, 3)).astype(np.float32)
    picture = compose(empty, labels, placed)
    for number, one in enumerate(placed, 1):
        there = labels[one.there] == number
        assert one.cut.mask[one.own][there].all()
        level = np.median(empty[one.there], axis=(0, 1))
        np.testing.assert_allclose(picture[one.there][there], (one.cut.pixels[one.own] + level)[there], atol=1e-5)
    far = ndimage.distance_transform_edt(labels == 0) > donor.halo + 1
    assert far.sum() > 500
    np.testing.assert_array_equal(picture[far], empty[far])
    near = (labels == 0) & (ndimage.distance_transform_edt(labels == 0) < donor.halo / 2)
    assert (picture[near] != empty[near]).any(-1).mean() > 0.8


def test_a_turned_cell_is_the_cell(lab):
    cut = cut_out(lab[0], 0)
    assert cut.mask.sum() == (lab[0].image.labels == lab[0].cells[0]).sum()
    seen = set()
    for seed in range(40):
        other = turned(cut, np.random.default_rng(seed))
        seen.add(other.mask.tobytes() + bytes(other.mask.shape))
        np.testing.assert_array_equal(np.sort(other.pixels[other.mask], 0), np.sort(cut.pixels[cut.mask], 0))
    assert len(seen) == 8


def test_cells_at_the_border_are_not_cut_out():
    labels = np.zeros((60, 60), np.int32)
    labels[0:20, 10:30], labels[30:45, 30:45], labels[50:60, 0:10], labels[20:30, 59:60] = 1, 2, 3, 4
    pixels = np.where(labels > 0, 100 + 20 * labels, 50) + np.arange(60) % 3
    (donor,) = by_source([prepare(as_image(pixels), labels, "lab", "rgb")])["lab"]
    assert donor.cells.tolist() == [donor.image.labels[35, 35]]
    _, placed = arrange((100, 100), donor, 0.3, np.random.default_rng(0))
    assert {int(one.cut.mask.sum()) for one in placed} == {15 * 15}


def test_erased_cells_leave_background():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :240]
    background = (y / 50 + rng.normal(0, 0.3, (200, 240))).astype(np.float32)
    labels = np.zeros((200, 240), np.int32)
    for number, (top, left) in enumerate(((20, 30), (90, 120), (150, 60), (40, 180)), 1):
        labels[(y - top) ** 2 + (x - left) ** 2 < 15**2] = number
    blurred = ndimage.gaussian_filter(np.where(labels > 0, 50.0, 0), 1)
    image = np.stack([background + blurred, background - blurred], -1).astype(np.float32)
    filled = without_cells(image, labels, 6, rng)
    outside = ~ndimage.binary_dilation(labels > 0, np.ones((13, 13)))
    np.testing.assert_array_equal(filled[outside], image[outside])
    for channel in range(2):
        inside = (filled[..., channel] - y / 50)[labels > 0]
        assert abs(inside.mean()) < 0.3
        assert 0.2 < inside.std() < 0.8
        assert np.abs(inside).max() < 5
    assert without_cells(image, np.ones_like(labels), 6, rng) is None


@pytest.mark.parametrize("policy", ["rgb", "cellpose", "green-blue"])
def test_a_pasted_image_is_like_any_other(policy):
    images = [real("immunohistochemistry", seed, policy=policy) for seed in (5, 2)]
    same = by_source(images)["lab"]
    one, two = (pasted(images[0], same, 5.0, 0, np.random.default_rng(8)) for _ in range(2))
    other = pasted(images[0], same, 5.0, 0, np.random.default_rng(9))
    assert one.source == "lab"
    assert one.image.dtype == one.flows.dtype == np.float16
    assert one.image.shape == (*one.labels.shape, images[0].image.shape[2])
    assert max(one.labels.shape) <= np.ceil(5 * max(image.diameter for image in images))
    np.testing.assert_array_equal(one.flows, labels_to_flows(one.labels).transpose(1, 2, 0).astype(np.float16))
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert one.labels.shape != other.labels.shape or (one.labels != other.labels).any()
    for channel in np.moveaxis(one.image.astype(np.float32), -1, 0):
        if channel.any():
            np.testing.assert_allclose(np.percentile(channel, (1, 99)), (0, 1), atol=0.01)


def test_a_picture_gets_so_many_cells_but_is_no_fuller_than_its_source():
    images = [real(seed=seed) for seed in (5, 2)]
    same = by_source(images)["lab"]
    few, many = (pasted(images[0], same, 100.0, cells, np.random.default_rng(8)) for cells in (5, 1000))
    assert 4 <= few.labels.max() <= 7
    fullest = max((image.labels > 0).mean() for image in images)
    assert (few.labels > 0).mean() < 0.7 * fullest
    assert 0.8 * fullest < (many.labels > 0).mean() < 1.2 * fullest


def test_simulated_images_and_sources_without_a_whole_cell_stay_as_they_are():
    assert by_source([real(source="simulated phase")]) == {}
    blank = prepare(as_image(np.arange(400).reshape(20, 20)), np.zeros((20, 20), np.int32), "blank", "rgb")
    same = by_source([blank])["blank"]
    assert pasted(blank, same, 10.0, 0, np.random.default_rng(0)) is blank
    full = prepare(as_image(np.arange(400).reshape(20, 20)), np.ones((20, 20), np.int32), "full", "rgb")
    assert pasted(full, by_source([full])["full"], 10.0, 0, np.random.default_rng(0)) is full


def test_batches_with_pasting_depend_on_seed_and_step_alone():
    images = [real(seed=seed) for seed in (2, 3)] + [real(source="simulated phase")]
    with_pasting = dataclasses.replace(CONFIG, paste=1.0)
    make, again = batch_maker(images, with_pasting), batch_maker(images, with_pasting)
    again(4)
    for ours, theirs in zip(make(7), again(7), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    plain, _ = batch_maker(images, CONFIG)(7)
    assert (make(7)[0] != plain).any()
    simulated = [image for image in images if image.source.startswith("simulated")]
    for ours, theirs in zip(batch_maker(simulated, with_pasting)(7), batch_maker(simulated, CONFIG)(7), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
