"""Averages over mirror images: against plain NumPy, and where there is nothing to average out."""

import numpy as np
import pytest

import flowmask
from flowmask.labels.metrics import f1
from flowmask.network.contract import Contract
from flowmask.network.tta import Mirrored
from tests.conftest import needs_network
from train.simulate import simulate

CONTRACT = Contract("fake", "rgb", 30.0, 30.0, False, "BSD-3-Clause", "nothing")


class Fake:
    """A network made of a function from tiles to maps."""

    contract = CONTRACT
    gpu_memory = None
    count = 1

    def __init__(self, function):
        self.maps = function
        self.diameters = lambda tiles: tiles.mean((1, 2, 3))


def lopsided(tiles):
    """Maps that know up from down and left from right."""
    height, width = tiles.shape[2:]
    down, across = np.linspace(0, 1, height, dtype=np.float32)[:, None], np.linspace(1, 3, width, dtype=np.float32)
    smooth = np.cumsum(tiles, axis=3, dtype=np.float32) / width
    return np.stack([smooth[:, 0] * down, tiles[:, 1] + across, tiles[:, 2] * across - down], 1)


def towards_the_light(tiles):
    """Flows along the gradient of the first channel, cells where it is bright: the same in a mirror, bit for bit."""
    dy, dx = np.gradient(tiles[:, 0], axis=(1, 2))
    length = np.sqrt(dy * dy + dx * dx) + np.float32(1e-9)
    return np.stack([5 * dy / length, 5 * dx / length, 20 * tiles[:, 0] - 4], 1).astype(np.float32)


def blobs():
    """An image of round bright spots and their labels."""
    y, x = np.mgrid[:330, :410]
    centres = [(25 + 40 * i + 5 * (j % 3), 30 + 44 * j - 6 * (i % 2)) for i in range(8) for j in range(9)]
    distance = np.min([(y - v) ** 2 + (x - u) ** 2 for v, u in centres], axis=0)
    nearest = np.argmin([(y - v) ** 2 + (x - u) ** 2 for v, u in centres], axis=0)
    return np.exp(-distance / 120).astype(np.float32), np.where(distance < 13**2, nearest + 1, 0)


def test_the_mean_is_that_of_the_mirror_images_turned_back():
    tiles = np.random.default_rng(0).normal(size=(3, 3, 32, 48)).astype(np.float32)
    averaged = Mirrored(Fake(lopsided)).maps(tiles)
    expected = np.zeros((3, 3, 32, 48))
    for up in (1, -1):
        for left in (1, -1):
            dy, dx, logit = lopsided(tiles[:, :, ::up, ::left]).astype(float).transpose(1, 0, 2, 3)
            expected += np.stack([up * dy, left * dx, logit], 1)[:, :, ::up, ::left] / 4
    assert averaged.dtype == np.float32
    np.testing.assert_allclose(averaged, expected, atol=1e-5)
    assert np.abs(averaged - lopsided(tiles)).max() > 0.5


def test_diameters_are_those_of_the_tiles():
    tiles = np.random.default_rng(0).random((4, 3, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(Mirrored(Fake(lopsided)).diameters(tiles), tiles.mean((1, 2, 3)))


def test_a_network_that_is_the_same_in_a_mirror_gives_the_same_labels():
    image, truth = blobs()
    plain, averaged = (
        flowmask.segment(image, Fake(towards_the_light), flowmask.Segmentation(diameter=30, augment=augment))
        for augment in (False, True)
    )
    assert f1(truth, plain.labels) > 0.95
    np.testing.assert_array_equal(averaged.labels, plain.labels)


def test_labels_change_where_the_network_is_not_and_not_with_the_batch():
    image, truth = blobs()

    def shifted(tiles):
        """Sees every cell 4 px too far to the right, and so, in the mirror, to the left."""
        return np.roll(towards_the_light(tiles), 4, axis=3)

    plain = flowmask.segment(image, Fake(shifted), flowmask.Segmentation(diameter=30))
    one, three, seven = (
        flowmask.segment(
            image, Fake(shifted), flowmask.Segmentation(diameter=30, augment=True), flowmask.Runtime(batch=batch)
        ).labels
        for batch in (1, 3, 7)
    )
    np.testing.assert_array_equal(one, three)
    np.testing.assert_array_equal(one, seven)
    assert f1(truth, one, 0.75) > f1(truth, plain.labels, 0.75)


@pytest.mark.slow
@needs_network
def test_the_network_that_ships_gives_the_same_bits_again(network):
    sample = simulate("fluorescence_nuclei", (200, 330), 7, 26)
    plain, one, two = (
        flowmask.segment(
            sample.image, network, runtime=flowmask.Runtime(batch=batch), diameter=26, augment=augment
        ).labels
        for augment, batch in ((False, 0), (True, 0), (True, 4))
    )
    np.testing.assert_array_equal(one, two)
    assert (one != plain).any()
    assert f1(sample.labels, one) > 0.8
