"""NMS against its definition and OpenCV's."""

import cv2
import numpy as np
import pytest

from flowmask.families.boxes.suppress import BUCKET, SELECTED, SUPPRESSED, UNDECIDED, suppress
from tests.reference.detections import nms_by_definition


def random_boxes(count, seed, side=300.0):
    rng = np.random.default_rng(seed)
    centres, sizes = rng.uniform(0, side, (count, 2)), rng.uniform(5, 60, (count, 2))
    groups = rng.integers(0, max(1, count // 4), count)  # four boxes around each of some places
    centres, sizes = centres[groups] + rng.normal(0, 2, (count, 2)), sizes[groups] * rng.uniform(0.8, 1.25, (count, 2))
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    return boxes, rng.permutation(count).astype(np.int64)


def selected_by(boxes, order, threshold=0.6, bucket=BUCKET):
    return np.flatnonzero(suppress(boxes, order, threshold, bucket, -np.inf, np.inf) == SELECTED).tolist()


@pytest.mark.parametrize("count", [0, 1, 7, 200])
@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.75])
@pytest.mark.parametrize("bucket", [3.0, BUCKET, 1e6])
def test_boxes_that_stay_are_those_of_the_definition(count, threshold, bucket):
    boxes, order = random_boxes(count, count)
    selected = selected_by(boxes, order, threshold, bucket)
    assert selected == nms_by_definition(boxes, order, threshold)
    assert count < 100 or count / 5 < len(selected) < 0.8 * count


@pytest.mark.parametrize("seed", range(5))
def test_boxes_that_stay_are_those_of_opencv(seed):
    boxes, order = random_boxes(150, seed)
    boxes = np.round(boxes)  # OpenCV's boxes are integers
    scores = np.empty(len(boxes))
    scores[order] = np.linspace(0.9, 0.1, len(boxes))
    corners = [[int(x0), int(y0), int(x1 - x0), int(y1 - y0)] for y0, x0, y1, x1 in boxes]
    expected = cv2.dnn.NMSBoxes(corners, scores.tolist(), 0.05, 0.6)
    assert selected_by(boxes, order) == sorted(np.ravel(expected).tolist())


def test_what_unknown_rows_may_decide_is_open():
    """Rows from 50 on are not known; in the order of score: near them, overlapping that one, and the rest."""
    boxes = np.array([[30, 0, 50, 20], [26, 0, 46, 20], [22, 0, 42, 20], [0, 0, 20, 20], [1, 0, 21, 20.0]])
    states = suppress(boxes, np.arange(5), 0.6, BUCKET, -np.inf, 45.0)
    assert states.tolist() == [UNDECIDED, UNDECIDED, UNDECIDED, SELECTED, SUPPRESSED]
    assert suppress(boxes, np.arange(5), 0.6, BUCKET, -np.inf, np.inf).tolist() == [1, 0, 1, 1, 0]
    states = suppress(boxes, np.array([2, 1, 0, 3, 4]), 0.6, BUCKET, -np.inf, 45.0)
    assert states.tolist() == [UNDECIDED, SUPPRESSED, SELECTED, SELECTED, SUPPRESSED]


def test_the_rows_that_decide_are_those_within_reach():
    """Whatever lies beyond, boxes that are not open keep their state."""
    boxes, order = random_boxes(300, 3)
    whole = suppress(boxes, order, 0.6, BUCKET, -np.inf, np.inf)
    known = (boxes[:, 0] + boxes[:, 2]) / 2 < 150
    rank = np.argsort(order)
    part = suppress(boxes[known], np.argsort(rank[known]), 0.6, BUCKET, -np.inf, 150.0)
    sure = part != UNDECIDED
    assert 0.5 < sure.mean() < 1
    np.testing.assert_array_equal(part[sure], whole[known][sure])
