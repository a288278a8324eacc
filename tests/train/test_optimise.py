"""The course of the learning rate, and the learning rates of the parts of a network."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.families.flow.network import FlowNetwork  # noqa: E402
from train.optimise import make_optimiser, trapezoid  # noqa: E402
from train.recipes.template import RECIPE  # noqa: E402


def test_the_rate_rises_stays_and_falls():
    factors = [trapezoid(100, 0.1, 0.5, step) for step in range(100)]
    assert factors[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert set(factors[10:50]) == {1.0}
    assert factors[50:] == pytest.approx(np.arange(50, 0, -1) / 50)


def test_the_encoder_has_its_own_rate_and_every_weight_is_trained_once():
    network = FlowNetwork(3, (4, 4, 8, 8))
    stage = dataclasses.replace(RECIPE.stages[0], rate=0.3, encoder_rate=1 / 3, warm_up=0.0, decay=0.01)
    optimiser, _ = make_optimiser(network, "down.", stage)
    encoder, others = optimiser.param_groups
    assert (encoder["lr"], others["lr"]) == pytest.approx((0.1, 0.3))
    assert encoder["weight_decay"] == others["weight_decay"] == 0.01
    assert {id(p) for p in encoder["params"]} == {id(p) for p in network.down.parameters()}
    every = [id(p) for group in optimiser.param_groups for p in group["params"]]
    assert sorted(every) == sorted(id(p) for p in network.parameters())
