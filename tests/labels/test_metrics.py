"""Scores between label images, on cases small enough to check by hand and against other implementations."""

from collections import defaultdict

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import distance
from skimage.measure import label
from skimage.metrics import contingency_table
from skimage.segmentation import clear_border

from flowmask.labels.metrics import (
    AREAS,
    IOUS,
    LARGE,
    average_precision,
    dice,
    drop_border,
    f1,
    f1_challenge,
    false_negative_ratio,
    iou_matrix,
    matches,
    pixel_iou,
    ranked,
    sequential,
)
from train.simulate import simulate


def squares(shape, *boxes):
    labels = np.zeros(shape, np.int32)
    for number, (top, left, bottom, right) in enumerate(boxes, 1):
        labels[top:bottom, left:right] = number
    return labels


def found(seed):
    """Labels and a flawed copy of them: moved, some cells lost, merged with a neighbour or cut in two."""
    rng = np.random.default_rng(seed)
    truth = simulate("fluorescence_nuclei", (170, 210), seed + 4, 22).labels
    ids = np.arange(truth.max() + 1)
    fate = rng.random(len(ids))
    ids[fate < 0.15] = 0
    merged = (fate > 0.85) & (ids > 1)
    ids[merged] -= 1
    moved = np.roll(ids[truth], rng.integers(-3, 4, 2), (0, 1))
    cut = np.isin(moved, np.flatnonzero((fate > 0.7) & (fate < 0.8))) & (np.arange(210) % 30 < 15)
    return truth, sequential(np.where(cut, moved + len(ids) * (moved > 0), moved))


def overlaps(truth, guess):
    """Intersection over union of all pairs from scikit-image's contingency table."""
    table = contingency_table(truth, guess).toarray()
    union = table.sum(1, keepdims=True) + table.sum(0) - table
    return (table / np.maximum(union, 1))[1:, 1:]


def true_positives(truth, guess, threshold):
    """The largest number of pairs that can be matched: SciPy's Hopcroft-Karp instead of the Hungarian algorithm."""
    hit = overlaps(truth, guess) >= threshold
    return int((maximum_bipartite_matching(csr_array(hit.astype(int))) >= 0).sum()) if hit.size else 0


@pytest.mark.parametrize("seed", range(4))
def test_overlaps_and_matches_are_those_of_other_libraries(seed):
    truth, guess = found(seed)
    np.testing.assert_allclose(iou_matrix(truth, guess), overlaps(truth, guess), rtol=1e-12)
    for threshold in IOUS:
        expected = true_positives(truth, guess, threshold), truth.max(), guess.max()
        assert matches(truth, guess, threshold) == expected


@pytest.mark.parametrize("seed", range(4))
def test_the_challenges_f1_is_that_of_other_libraries(seed):
    truth, guess = (label(labels) for labels in found(seed))
    inner, other = (sequential(clear_border(labels, buffer_size=1)) for labels in (truth, guess))
    assert 0 < inner.max() < truth.max()
    expected = 2 * true_positives(inner, other, 0.5) / (inner.max() + other.max())
    assert f1_challenge(truth, guess) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_dice_is_scipys_and_the_pixels_f1(seed):
    truth, guess = found(seed)
    assert dice(truth, guess) == pytest.approx(1 - distance.dice(truth.ravel() > 0, guess.ravel() > 0))
    table = contingency_table(np.uint8(truth > 0), np.uint8(guess > 0)).toarray()
    precision, recall = table[1, 1] / table[:, 1].sum(), table[1, 1] / table[1].sum()
    assert dice(truth, guess) == pytest.approx(2 * precision * recall / (precision + recall))
    assert dice(truth, 0 * truth) == 0
    assert dice(0 * truth, 0 * truth) == 1


@pytest.mark.parametrize("seed", range(3))
def test_pixel_iou_is_scipys(seed):
    truth, guess = found(seed)
    assert pixel_iou(truth, guess) == pytest.approx(1 - distance.jaccard(truth.ravel() > 0, guess.ravel() > 0))
    assert pixel_iou(truth, 0 * truth) == 0
    assert pixel_iou(0 * truth, 0 * truth) == 1


def coco_by_definition(images, threshold):
    """Precision averaged over 101 recalls, and recall, straight from the words of COCO's evaluation."""
    outcomes = []
    for number, (truth, guess, confidence) in enumerate(images):
        free = {cell: set(np.flatnonzero(truth == cell)) for cell in range(1, truth.max() + 1)}
        for cell in sorted(range(1, guess.max() + 1), key=lambda cell: (-confidence[cell - 1], cell))[:2000]:
            pixels = set(np.flatnonzero(guess == cell))
            iou, best = max(((len(p & pixels) / len(p | pixels), c) for c, p in free.items()), default=(0, 0))
            if hit := iou >= threshold:
                del free[best]
            outcomes.append((-confidence[cell - 1], number, cell, hit))
    total = sum(truth.max() for truth, _, _ in images)
    points, hits = [], 0
    for place, (*_, hit) in enumerate(sorted(outcomes), 1):
        hits += hit
        points.append((hits / total, hits / place))
    return np.mean([max((p for r, p in points if r >= at), default=0) for at in np.linspace(0, 1, 101)]), hits / total


@pytest.mark.slow
def test_livecells_scores_are_cocos_by_definition():
    images = [(*found(seed), np.random.default_rng(seed).integers(0, 40, 200) / 40) for seed in range(3)]
    images = [(truth, guess, confidence[: guess.max()]) for truth, guess, confidence in images]
    expected = [coco_by_definition(images, threshold) for threshold in IOUS]
    ours = [ranked(*image) for image in images]
    assert 0.1 < average_precision(ours) < 0.9
    assert average_precision(ours) == pytest.approx(np.mean([ap for ap, _ in expected]))
    assert false_negative_ratio(ours) == pytest.approx(np.mean([1 - recall for _, recall in expected]))
    one = [coco_by_definition(images[:1], threshold)[0] for threshold in IOUS]
    assert average_precision(ours[:1]) == pytest.approx(np.mean(one))


def test_average_precision_by_hand():
    """Four true cells; of three found the second most confident is wrong: 51 recalls at 1 or 2 / 3, 50 at 0."""
    truth = squares((40, 40), (2, 2, 8, 8), (12, 12, 18, 18), (22, 22, 28, 28), (32, 32, 38, 38))
    guess = squares((40, 40), (2, 2, 8, 8), (2, 20, 8, 26), (12, 12, 18, 18))
    scored = [ranked(truth, guess, [0.9, 0.8, 0.7])]
    assert average_precision(scored) == pytest.approx((26 + 25 * 2 / 3) / 101)
    assert false_negative_ratio(scored) == pytest.approx(0.5)
    assert average_precision([ranked(truth, guess, [0.9, 0.1, 0.7])]) == pytest.approx(51 / 101)
    assert average_precision([ranked(truth, 0 * truth, [])]) == 0
    assert false_negative_ratio([ranked(truth, 0 * truth, [])]) == 1
    assert np.isnan(average_precision([ranked(0 * truth, guess, [1, 1, 1])]))
    assert np.isnan(false_negative_ratio([]))
    with pytest.raises(ValueError, match="3 predicted cells"):
        ranked(truth, guess, [1, 1])


@pytest.mark.slow
def test_livecell_looks_at_2000_cells():
    truth = np.repeat(np.repeat(np.arange(1, 2500).reshape(49, 51), 2, 0), 2, 1)
    confidence = np.linspace(0, 1, 2499)
    scored = ranked(truth, truth, confidence)
    assert scored.hits.shape == (10, 2000)
    assert scored.confidence.min() == confidence[499]
    assert false_negative_ratio([scored]) == pytest.approx(499 / 2499)


def test_iou_matrix():
    truth = squares((20, 20), (2, 2, 6, 6), (10, 10, 14, 14))
    guess = squares((20, 20), (2, 4, 6, 8), (15, 15, 17, 17))
    np.testing.assert_allclose(iou_matrix(truth, guess), [[8 / 24, 0], [0, 0]])


def test_each_label_is_matched_once():
    truth = squares((20, 20), (3, 3, 13, 13))
    halves = squares((20, 20), (3, 3, 8, 13), (8, 3, 13, 13))
    assert matches(truth, halves, 0.5) == (1, 1, 2)
    assert f1(truth, halves) == pytest.approx(2 / 3)


def test_identical_labels_score_one_whatever_their_numbers():
    truth = squares((20, 20), (3, 3, 7, 7), (9, 9, 14, 14))
    assert f1_challenge(truth, truth.max() + 5 - truth - (truth == 0) * (truth.max() + 5)) == 1


def test_labels_in_the_two_pixel_frame_do_not_count():
    truth = squares((30, 30), (0, 5, 6, 10), (12, 12, 20, 20))
    only_inner = squares((30, 30), (12, 12, 20, 20))
    touching = squares((30, 30), (1, 20, 9, 28), (12, 12, 20, 20))
    assert drop_border(truth).max() == 2
    assert (drop_border(truth) > 0).sum() == 64
    assert f1_challenge(truth, only_inner) == 1
    assert f1_challenge(truth, touching) == 1


def test_nothing_found_scores_zero():
    truth = squares((30, 30), (12, 12, 20, 20))
    assert f1_challenge(truth, np.zeros_like(truth)) == 0


def inner_cells(labels, side):
    """The pixels of each cell of each patch that keeps two pixels away from the patch's frame."""
    cells = defaultdict(set)
    for y, x in zip(*(at.tolist() for at in np.nonzero(labels)), strict=True):
        cells[y // side, x // side, int(labels[y, x])].add((y, x))
    whole = range(2, side - 2)
    return [pixels for pixels in cells.values() if all(y % side in whole and x % side in whole for y, x in pixels)]


def f1_of_patches(truth, guess, side):
    """The challenge's F1 of a large image from sets of pixels, without windows or padding."""
    cells, others = inner_cells(truth, side), inner_cells(guess, side)
    hit = np.array([[2 * len(cell & other) >= len(cell | other) for other in others] for cell in cells])
    hits = (maximum_bipartite_matching(csr_array(hit.astype(int))) >= 0).sum()
    return 2 * hits / (len(cells) + len(others))


@pytest.mark.slow
def test_large_images_are_scored_by_patches():
    """Of 5,000 x 5,000 px and more: 6 true cells count and 4 predicted ones, of which 3 agree."""
    across, right_hit, alone, missed, at_the_edge = (1990, 500), (1500, 4100), (500, 2500), (2500, 2500), (4980, 500)
    hit, moved, false = (3000, 500), (3100, 900), (700, 700)
    truth, guess = (
        squares((5000, 5000), *((top, left, top + 20, left + 20) for top, left in corners))
        for corners in (
            (across, hit, right_hit, alone, missed, at_the_edge, moved),
            (hit, right_hit, at_the_edge, false),
        )
    )
    expected = f1_of_patches(truth, guess, 2000)
    assert expected == pytest.approx(2 * 3 / (6 + 4))
    assert f1_challenge(truth.astype(np.int16), guess) == pytest.approx(expected)
    assert truth.size == LARGE


@pytest.mark.parametrize("seed", [1, 2, 4, 8])
def test_patches_are_summed_whether_they_hold_true_cells_false_ones_both_or_none(monkeypatch, seed):
    """Patches of 80 px: one shows only false cells, one only missed ones, one none."""
    truth, guess = found(seed)
    monkeypatch.setattr("flowmask.labels.metrics.PATCH", 80)
    first, second, below = np.s_[:80, :80], np.s_[:80, 80:160], np.s_[80:160, :80]
    truth[first] = guess[second] = truth[below] = guess[below] = 0
    assert inner_cells(guess[first], 80)
    assert inner_cells(truth[second], 80)
    whole, expected = f1_challenge(truth, guess), f1_of_patches(truth, guess, 80)
    assert 0.2 < expected < 0.9
    monkeypatch.setattr("flowmask.labels.metrics.LARGE", truth.size + 1)
    assert f1_challenge(truth, guess) == whole != expected
    monkeypatch.setattr("flowmask.labels.metrics.LARGE", truth.size)
    assert f1_challenge(truth, guess) == pytest.approx(expected)


def test_sequential_keeps_zero_and_order():
    np.testing.assert_array_equal(sequential(np.array([[0, 7], [3, 7]])), [[0, 2], [1, 2]])
    np.testing.assert_array_equal(sequential(np.array([[4, 7]])), [[1, 2]])


def test_an_id_below_0_is_refused():
    with pytest.raises(ValueError, match=r"negative id \(-32768\)"):
        sequential(np.array([[0, -32768], [3, 7]], np.int16))


@pytest.mark.parametrize("score", [f1, f1_challenge, dice, pixel_iou, iou_matrix])
@pytest.mark.parametrize("shape", [(6, 4), (1, 6), (4, 5)])
def test_shapes_must_agree(score, shape):
    with pytest.raises(ValueError, match="differ in shape"):
        score(np.zeros((4, 6), int), np.zeros(shape, int))


def coco_by_pycocotools(images, area):
    """AP and the mean recall of LIVECell's evaluation, by the reference implementation of COCO's."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    from pycocotools import mask
    from pycocotools.cocoeval import COCOeval

    true, found, number = [], [], 0
    for image, (truth, guess, confidence) in enumerate(images, 1):
        for cells, labels, scores in ((true, truth, None), (found, guess, confidence)):
            for cell in range(1, labels.max() + 1):
                number += 1
                code = mask.encode(np.asfortranarray(labels == cell, np.uint8))
                place = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "segmentation": code}
                place |= {"area": float(mask.area(code)), "bbox": mask.toBbox(code).tolist()}
                cells.append(place | ({} if scores is None else {"score": float(scores[cell - 1])}))
    truth_set = coco.COCO()
    pictures = [{"id": image, "height": t.shape[0], "width": t.shape[1]} for image, (t, _, _) in enumerate(images, 1)]
    truth_set.dataset = {"images": pictures, "annotations": true, "categories": [{"id": 1, "name": "cell"}]}
    truth_set.createIndex()
    found_set = coco.COCO()
    found_set.dataset = {**truth_set.dataset, "annotations": found}
    found_set.createIndex()
    judge = COCOeval(truth_set, found_set, "segm")
    judge.params.useCats, judge.params.maxDets = 0, [100, 500, 2000]
    judge.params.areaRng, judge.params.areaRngLbl = [[area[0], min(area[1], 1e10)]], ["all"]
    judge.evaluate()
    judge.accumulate()
    return judge.eval["precision"][:, :, 0, 0, -1].mean(), judge.eval["recall"][:, 0, 0, -1].mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", AREAS)
def test_livecells_scores_are_those_of_pycocotools(name):
    images = [found(seed) for seed in range(4)]
    zooms = (slice(None, None, 2), 1, 1, 2)
    images = [
        tuple(
            part[zoom, zoom] if isinstance(zoom, slice) else np.kron(part, np.ones((zoom, zoom), int)) for part in pair
        )
        for pair, zoom in zip(images, zooms, strict=True)
    ]
    images = [(truth, sequential(guess)) for truth, guess in images]
    rng = np.random.default_rng(0)
    images = [(truth, guess, rng.integers(0, 40, guess.max()) / 40) for truth, guess in images]
    ours = [ranked(*image, AREAS[name]) for image in images]
    assert sum(cells.cells for cells in ours) > 10
    precision, recall = coco_by_pycocotools(images, AREAS[name])
    assert average_precision(ours) == pytest.approx(precision)
    assert false_negative_ratio(ours) == pytest.approx(1 - recall)
