"""The time of networks for one tile."""

import time

import numpy as np

from bench.speed.tile import fastest, text


class Sleeper:
    """A network that takes this many seconds, and far longer at its first run."""

    def __init__(self, seconds):
        self.seconds, self.runs = seconds, 0

    def maps(self, tiles):
        assert tiles.shape == (1, 3, 32, 32)
        time.sleep(self.seconds if self.runs else 0.2)
        self.runs += 1
        return np.zeros((1, 3, 32, 32), np.float32)


def test_the_fastest_run_counts_and_not_the_first():
    networks = Sleeper(0.001), Sleeper(0.02)
    quick, slow = fastest(networks, 32, 3)
    assert [network.runs for network in networks] == [4, 4]
    assert 0.02 <= slow < 0.2
    assert quick < slow


def test_ratios_are_to_the_first():
    figures = [{"network": "a", "ms": 20.0}, {"network": "b", "ms": 50.0}]
    assert "| b       | 50.0      | 2.50" in text({"networks": figures})
