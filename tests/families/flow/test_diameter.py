"""The diameter from a network that sees best at a size that the test knows."""

import dataclasses

import numpy as np
import pytest

from flowmask.families.flow.diameter import SEARCH, estimate_diameter
from flowmask.families.flow.targets import labels_to_flows
from flowmask.images.image import ArrayImage
from flowmask.labels.labels import median_diameter
from flowmask.network.contract import Contract
from flowmask.tiles.channels import channel_map
from flowmask.tiles.normalise import intensity_ranges

CONTRACT = Contract("n", "rgb", 30.0, 27.5, True, "CC0", "nothing")


class Drawn:
    """A network for images of white discs: its flows shrink with the discs' distance from 30 px, its style says 30."""

    contract = CONTRACT
    gpu_memory = None
    count = 1

    def __init__(self, regressed=30.0, fades=1.0, trap=None):
        self.regressed, self.fades, self.trap = regressed, fades, trap

    def maps(self, tiles):
        from scipy.ndimage import label

        discs, count = label(tiles[0, 0] > 0.5)
        discs = discs.astype(np.int32)
        seen = median_diameter(discs) or 0
        length = max(0.1, 1 - self.fades * abs(np.log(seen / 30))) if count else 0
        if self.trap and abs(np.log(seen / self.trap)) < 0.2:
            length = 0.45
        return np.concatenate([5 * length * labels_to_flows(discs), np.where(discs, 5, -5)[None]])[None].astype(
            np.float32
        )

    def diameters(self, tiles):
        return np.full(len(tiles), self.regressed, np.float32)


def discs(diameter, shape=(400, 400), every=1.6):
    y, x = np.mgrid[: shape[0], : shape[1]]
    pitch = every * diameter
    inside = np.hypot((y % pitch) - pitch / 2, (x % pitch) - pitch / 2) < diameter / 2
    return ArrayImage(inside[None].astype(np.uint8))


def estimate(image, network):
    return estimate_record(image, network).diameter


def estimate_record(image, network):
    plan = channel_map("rgb", image.shape[0])
    return estimate_diameter(image, network, plan, intensity_ranges(image, plan, (1.0, 99.0)))


@pytest.mark.parametrize("diameter", [16, 24, 30, 42, 66])
def test_what_the_style_says_is_corrected_by_what_is_seen(diameter):
    assert estimate(discs(diameter), Drawn()) == pytest.approx(diameter, rel=0.08)


@pytest.mark.parametrize("diameter", [20, 45])
def test_where_flows_say_nothing_the_cells_that_are_found_are_measured(diameter):
    assert estimate(discs(diameter), Drawn(fades=0)) == pytest.approx(diameter**0.7 * 30**0.3, rel=0.04)


@pytest.mark.parametrize("diameter", [12, 100])
def test_a_style_that_misleads_is_found_out_by_flows_that_stay_short(diameter):
    image = discs(diameter, (10 * diameter, 10 * diameter))
    assert estimate(image, Drawn(trap=diameter)) == pytest.approx(diameter, rel=0.08)


def test_a_style_that_is_right_is_kept():
    assert estimate(discs(40), Drawn(40.0)) == pytest.approx(40, rel=0.08)


class Measuring(Drawn):
    """A network whose style says the median diameter of the discs in a window."""

    def diameters(self, tiles):
        from scipy.ndimage import label

        return np.array([median_diameter(label(tile[0] > 0.5)[0]) for tile in tiles], np.float32)


def test_where_cells_are_of_two_sizes_the_size_that_most_have_decides():
    shape = (640, 320)
    small, large = (image.read(0, 0, *shape) for image in (discs(20, shape, every=2.2), discs(64, shape, every=1.2)))
    for image in (np.concatenate([small, large], 2), np.concatenate([large, small], 2)):
        assert 15 < estimate(ArrayImage(image), Measuring()) < 27


def test_without_cells_the_style_stands_and_without_a_style_the_mean_diameter():
    empty = ArrayImage(np.zeros((1, 100, 90), np.uint8))
    assert estimate(empty, Drawn(20.0)) == pytest.approx(20)
    assert estimate(empty, Drawn(np.nan)) == 30


@pytest.mark.parametrize(("regressed", "bounded"), [(1e6, SEARCH.largest), (1e-6, SEARCH.smallest)])
def test_the_estimate_stays_within_bounds(regressed, bounded):
    assert estimate(ArrayImage(np.zeros((1, 100, 90), np.uint8)), Drawn(regressed)) == bounded


def test_a_network_without_a_regression_has_its_training_diameter():
    network = Drawn()
    network.contract = dataclasses.replace(CONTRACT, sized=False)
    assert estimate(discs(60), network) == 27.5


def test_the_estimate_says_how_sure_it_is():
    found = estimate_record(discs(42), Drawn())
    assert found.first == pytest.approx(30)
    assert found.measured == pytest.approx(42, rel=0.08)
    assert found.flow_length == pytest.approx(1 - abs(np.log(42 / 30 / SEARCH.step)), abs=0.05)
    assert not found.at_end
    assert estimate_record(ArrayImage(np.zeros((1, 100, 90), np.uint8)), Drawn(1e6)).at_end
    unknown = estimate_record(discs(42), Drawn(np.nan))
    assert (unknown.first, unknown.measured, unknown.at_end) == (None, None, False)
    assert np.isnan(unknown.flow_length)
