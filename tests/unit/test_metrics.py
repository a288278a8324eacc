"""F1 by the challenge's published rules, on cases small enough to check by hand."""

import numpy as np
import pytest

from infer.metrics import drop_border, f1, f1_challenge, iou_matrix, matches, sequential


def squares(shape, *boxes):
    labels = np.zeros(shape, np.int32)
    for number, (top, left, bottom, right) in enumerate(boxes, 1):
        labels[top:bottom, left:right] = number
    return labels


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


def test_large_images_are_scored_by_patches():
    """A 5,000 x 5,000 image: a cell across a 2,000-px line is never scored, one inside a patch is."""
    truth = np.zeros((5000, 5000), np.int16)
    truth[1990:2010, 500:520] = 1
    truth[3000:3020, 500:520] = 2
    guess = np.where(truth == 2, 9, 0).astype(np.int32)
    assert f1_challenge(truth, guess) == 1
    assert f1_challenge(truth[:4999], guess[:4999]) == pytest.approx(2 / 3)


def test_sequential_keeps_zero_and_order():
    np.testing.assert_array_equal(sequential(np.array([[0, 7], [3, 7]])), [[0, 2], [1, 2]])
    np.testing.assert_array_equal(sequential(np.array([[4, 7]])), [[1, 2]])


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="differ in shape"):
        f1_challenge(np.zeros((4, 4), int), np.zeros((4, 5), int))
