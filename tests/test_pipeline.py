"""One image from pixels to cells with the network that ships."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

import flowmask
from flowmask.errors import SettingsError
from flowmask.images.image import ArrayImage
from flowmask.labels.metrics import f1
from flowmask.pipeline import plan_image, run_tiles
from flowmask.system.cpu import cores
from flowmask.system.parallel import in_parallel
from tests.conftest import MODEL, needs_network
from tests.reference.plans import FLOW
from train.simulate import simulate

pytestmark = needs_network
SAMPLE = simulate("fluorescence_nuclei", (300, 417), 9, 26)


def test_cells_are_found(network):
    result = flowmask.segment(SAMPLE.image, network, flowmask.Segmentation(diameter=26))
    assert result.labels.shape == SAMPLE.labels.shape
    assert result.labels.dtype == np.int32
    assert len(result.cells) == result.labels.max()
    assert f1(SAMPLE.labels, result.labels) > 0.8


def test_the_diameter_is_estimated_within_a_third(network):
    result = flowmask.segment(SAMPLE.image, network)
    assert 26 / 1.34 < result.diameter < 26 * 1.34


def test_the_plan_says_how_the_diameter_was_estimated(network):
    image = ArrayImage(SAMPLE.image[None, :150, :200])
    plan = plan_image(image, network, flowmask.Segmentation(), flowmask.Runtime())
    assert plan.estimate is not None
    assert plan.estimate.diameter == plan.diameter
    assert 0.5 < plan.estimate.flow_length < 1.5
    assert plan_image(image, network, flowmask.Segmentation(diameter=26), flowmask.Runtime()).estimate is None


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [{"batch": 3}, {"batch": 7, "threads": 1}, {"threads": 2}])
def test_the_same_bits_whatever_the_batch_and_the_threads(network, runtime):
    one = flowmask.segment(SAMPLE.image, network, diameter=20)
    fresh = flowmask.load_network(MODEL, device="cpu", threads=runtime.get("threads", 0))
    other = flowmask.segment(SAMPLE.image, fresh, flowmask.Segmentation(diameter=20), flowmask.Runtime(**runtime))
    assert len(one.cells) > 20
    np.testing.assert_array_equal(one.labels, other.labels)


def test_as_many_threads_work_as_were_asked_for_and_there_are_cores(network, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "flowmask.families.flow.follow.in_parallel", lambda *given: seen.append(given[2]) or in_parallel(*given)
    )
    for threads, used in ((0, cores()), (1, 1), (999, cores())):
        flowmask.segment(SAMPLE.image[:64, :64], network, runtime=flowmask.Runtime(threads=threads))
        assert set(seen) == {used}
        seen.clear()


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (223, 17), (225, 224)])
def test_odd_sizes(network, shape):
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert flowmask.segment(pixels, network).labels.shape == shape


@pytest.mark.parametrize("value", [0, 255])
def test_a_flat_image_has_no_cells(network, value):
    result = flowmask.segment(np.full((100, 120), value, np.uint8), network)
    assert len(result.cells) == 0


@pytest.mark.slow
def test_grey_and_the_same_grey_in_colour_agree(network):
    grey = flowmask.segment(SAMPLE.image, network)
    colour = flowmask.segment(np.repeat(SAMPLE.image[..., None], 3, axis=-1), network)
    assert len(grey.cells) > 20
    np.testing.assert_array_equal(grey.labels, colour.labels)


def test_files_and_paths_are_taken_too(network, tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", SAMPLE.image)
    from_file = flowmask.segment(tmp_path / "a.tif", MODEL, runtime=flowmask.Runtime(device="cpu"), diameter=26)
    from_array = flowmask.segment(SAMPLE.image, network, flowmask.Segmentation(diameter=26))
    assert len(from_array.cells) > 20
    np.testing.assert_array_equal(from_file.labels, from_array.labels)


class Lopsided:
    """A network whose values depend on where in a tile they lie, so that every weight of the blend counts."""

    contract = FLOW
    gpu_memory = None
    count = 1

    def maps(self, tiles):
        height, width = tiles.shape[2:]
        down, across = np.linspace(0.1, 1, height, dtype=np.float32)[:, None], np.linspace(1, 3, width, dtype="f4")
        return np.stack([tiles[:, 0] * down, tiles[:, 1] + across, tiles[:, 2] * across - down], 1)


RANGES = {
    "one tile": ((90, 70), {"diameter": 30}),
    "odd, smaller for the network": ((701, 331), {"diameter": 47}),
    "odd, larger for the network": ((517, 131), {"diameter": 21}),
    "averaged": ((517, 131), {"diameter": 30, "augment": True}),
}


@pytest.mark.parametrize("case", RANGES)
def test_any_range_of_rows_has_the_maps_of_the_whole_bit_for_bit(case):
    shape, options = RANGES[case]
    image = ArrayImage(np.random.default_rng(3).integers(0, 255, (1, *shape)).astype(np.uint8))
    lopsided = Lopsided()
    plan = plan_image(image, lopsided, flowmask.Segmentation(**options), flowmask.Runtime(batch=2))
    whole = np.concatenate(list(run_tiles(image, lopsided, plan)), axis=1)
    height, width = plan.network_shape
    assert (whole.shape, whole.dtype) == ((3, height, width), np.float32)
    assert np.ptp(whole) > 1
    random = np.random.default_rng(4)
    ranges = [(0, height), (0, 1), (height - 1, height), (height // 2, height // 2 + 1)]
    ranges += [tuple(sorted(random.choice(height + 1, 2, replace=False).tolist())) for _ in range(12)]
    for first, last in ranges:
        for batch in (1, 3):
            parts = list(run_tiles(image, lopsided, replace(plan, batch=batch), (first, last)))
            np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole[:, first:last])


@pytest.mark.slow
def test_any_range_of_rows_of_the_network_that_ships(network):
    image = ArrayImage(SAMPLE.image[None])
    plan = plan_image(image, network, flowmask.Segmentation(diameter=20), flowmask.Runtime())
    whole = np.concatenate(list(run_tiles(image, network, plan)), axis=1)
    assert len(plan.rows.starts) > 1
    for first, last in ((0, 13), (201, 322), (plan.rows.length - 5, plan.rows.length)):
        part = np.concatenate(list(run_tiles(image, network, plan, (first, last))), axis=1)
        np.testing.assert_array_equal(part, whole[:, first:last])


def test_a_plan_goes_to_another_process():
    image = ArrayImage(np.random.default_rng(3).integers(0, 255, (1, 200, 100)).astype(np.uint8))
    plan = plan_image(image, Lopsided(), flowmask.Segmentation(diameter=20), flowmask.Runtime())
    again = pickle.loads(pickle.dumps(plan))
    np.testing.assert_array_equal(again.ranges, plan.ranges)
    assert replace(again, ranges=None) == replace(plan, ranges=None)
    one, other = (np.concatenate(list(run_tiles(image, Lopsided(), p)), axis=1) for p in (plan, again))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_of_a_network_that_are_not_finite_are_refused(value):
    class Broken(Lopsided):
        def maps(self, tiles):
            return np.full((len(tiles), 3, *tiles.shape[2:]), value, np.float32)

    with pytest.raises(flowmask.RunError, match="the network.s output has NaN or infinite values"):
        flowmask.segment(SAMPLE.image, Broken(), diameter=30)


@pytest.mark.parametrize("options", [{"diameter": 1}, {"diameter": "2.9um", "pixel_size": 1.0}])
def test_a_diameter_that_would_enlarge_the_image_without_use_is_refused(network, options):
    with pytest.raises(SettingsError, match=r"too small .* enlarged \d+\S* times along each axis; .* at least 3 px"):
        flowmask.segment(np.eye(40), network, **options)


def test_the_smallest_diameter_is_segmented(network):
    assert flowmask.segment(np.eye(20), network, diameter=3).diameter == 3
