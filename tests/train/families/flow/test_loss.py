"""The loss of flow networks."""

import pytest

torch = pytest.importorskip("torch")

from train.families.flow.loss import flow_loss  # noqa: E402


def test_loss_is_zero_only_for_the_truth():
    target = torch.zeros(1, 3, 8, 8)
    target[:, 0, 2:6], target[:, 1, 2:6] = 1, 1
    truth = torch.stack([5 * target[:, 1], 5 * target[:, 2], 200 * target[:, 0] - 100], dim=1)
    assert flow_loss(truth, target).item() == pytest.approx(0, abs=1e-6)
    wrong = truth.clone()
    wrong[:, 0] = 0
    assert flow_loss(wrong, target).item() == pytest.approx(0.5 * 25 * 0.5 / 2)
