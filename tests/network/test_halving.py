"""Fewer tiles at once where memory runs out: a network that refuses, what comes back and what it was asked."""

import logging

import numpy as np
import pytest

import flowmask
from flowmask.errors import NoRoomError, RunError
from flowmask.network.contract import Contract
from flowmask.network.halving import Halving

CONTRACT = Contract("fake", "rgb", 30.0, 30.0, False, "BSD-3-Clause", "nothing")


class Refusing:
    """A network without context that has no memory for more than ``most`` tiles at once."""

    contract = CONTRACT
    gpu_memory = 10**10
    count = 1

    def __init__(self, most):
        self.most, self.batches = most, []

    def maps(self, tiles):
        self.batches.append(len(tiles))
        if len(tiles) > self.most:
            raise NoRoomError(f"the network cannot be run on {len(tiles)} tile(s) (out of memory)")
        dy, dx = np.gradient(tiles[:, 0], axis=(1, 2))
        length = np.sqrt(dy * dy + dx * dx) + np.float32(1e-9)
        return np.stack([5 * dy / length, 5 * dx / length, 20 * tiles[:, 0] - 4], 1).astype(np.float32)

    def diameters(self, tiles):
        return np.full(len(tiles), 30, np.float32)


@pytest.mark.parametrize(
    ("most", "batches"), [(99, [13]), (7, [13, 6, 6, 1]), (4, [13, 6, 3, 3, 3, 3, 1]), (1, [13, 6, 3, *[1] * 13])]
)
def test_the_batch_is_halved_until_there_is_room(most, batches, caplog):
    tiles = np.random.default_rng(0).random((13, 3, 16, 16)).astype(np.float32)
    network = Refusing(most)
    halving = Halving(network)
    with caplog.at_level(logging.WARNING):
        found = halving.maps(tiles)
    np.testing.assert_array_equal(found, Refusing(99).maps(tiles))
    assert network.batches == batches
    assert len(caplog.records) == sum(count > most for count in batches)
    network.batches.clear()
    np.testing.assert_array_equal(halving.maps(tiles), found)
    assert max(network.batches) <= most


def test_a_tile_for_which_there_is_no_memory_is_an_error():
    with pytest.raises(RunError, match="cannot be run on 1 tile"):
        Halving(Refusing(0)).maps(np.zeros((5, 3, 16, 16), np.float32))


def test_another_error_is_not_tried_again():
    class Broken(Refusing):
        def maps(self, tiles):
            self.batches.append(len(tiles))
            raise RunError("the network cannot be run (illegal memory access)")

    network = Broken(99)
    with pytest.raises(RunError, match="illegal"):
        Halving(network).maps(np.zeros((5, 3, 16, 16), np.float32))
    assert network.batches == [5]


@pytest.mark.slow
@pytest.mark.parametrize("augment", [False, True])
def test_an_image_has_the_same_labels_whatever_there_is_room_for(augment, caplog):
    y, x = np.mgrid[:500, :900]
    image = np.exp(-(((y % 40) - 20) ** 2 + ((x % 40) - 20) ** 2) / 120).astype(np.float32)
    options = flowmask.Segmentation(diameter=30, augment=augment)
    roomy, tight = Refusing(99), Refusing(2)
    expected = flowmask.segment(image, roomy, options).labels
    assert expected.max() > 200
    assert max(roomy.batches) > 2  # as many as suit a GPU
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(flowmask.segment(image, tight, options).labels, expected)
    assert "not enough memory for" in caplog.text
