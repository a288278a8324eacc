"""One image from pixels to cells with the network that ships."""

import flowmask
import numpy as np
import pytest
from flowmask.cli import MODEL
from flowmask.labels.metrics import f1
from flowmask.system.cpu import cores
from flowmask.system.parallel import in_parallel

from train.simulate import simulate

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is not built")
SAMPLE = simulate("fluorescence_nuclei", (300, 417), 7, 26)


@pytest.fixture(scope="module")
def network():
    return flowmask.load_network(MODEL, device="cpu")


def test_cells_are_found(network):
    result = flowmask.segment(SAMPLE.image, network, flowmask.Settings(diameter=26))
    assert result.labels.shape == SAMPLE.labels.shape
    assert result.labels.dtype == np.int32
    assert result.cells == result.labels.max()
    assert f1(SAMPLE.labels, result.labels) > 0.8


def test_the_diameter_is_estimated_within_a_third(network):
    result = flowmask.segment(SAMPLE.image, network)
    assert 26 / 1.34 < result.diameter < 26 * 1.34


@pytest.mark.parametrize("settings", [{"batch": 3}, {"batch": 7, "threads": 1}, {"threads": 2}])
def test_the_same_bits_whatever_the_batch_and_the_threads(network, settings):
    one = flowmask.segment(SAMPLE.image, network, flowmask.Settings(diameter=20))
    fresh = flowmask.load_network(MODEL, device="cpu", threads=settings.get("threads", 0))
    other = flowmask.segment(SAMPLE.image, fresh, flowmask.Settings(diameter=20, **settings))
    np.testing.assert_array_equal(one.labels, other.labels)


def test_as_many_threads_work_as_were_asked_for_and_there_are_cores(network, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "flowmask.families.flow.follow.in_parallel", lambda *given: seen.append(given[2]) or in_parallel(*given)
    )
    for threads, used in ((0, cores()), (1, 1), (999, cores())):
        flowmask.segment(SAMPLE.image[:64, :64], network, flowmask.Settings(threads=threads))
        assert set(seen) == {used}
        seen.clear()


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (223, 17), (225, 224)])
def test_odd_sizes(network, shape):
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert flowmask.segment(pixels, network).labels.shape == shape


@pytest.mark.parametrize("value", [0, 255])
def test_a_flat_image_has_no_cells(network, value):
    result = flowmask.segment(np.full((100, 120), value, np.uint8), network)
    assert result.cells == 0


def test_grey_and_the_same_grey_in_colour_agree(network):
    grey = flowmask.segment(SAMPLE.image, network)
    colour = flowmask.segment(np.repeat(SAMPLE.image[..., None], 3, axis=-1), network)
    np.testing.assert_array_equal(grey.labels, colour.labels)


def test_files_and_paths_are_taken_too(network, tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", SAMPLE.image)
    from_file = flowmask.segment(tmp_path / "a.tif", MODEL, flowmask.Settings(diameter=26, device="cpu"))
    from_array = flowmask.segment(SAMPLE.image, network, flowmask.Settings(diameter=26))
    np.testing.assert_array_equal(from_file.labels, from_array.labels)
