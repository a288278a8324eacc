"""The Python calls: options as records and by name, networks by name and opened, rows as they are finished."""

import threading

import cv2
import numpy as np
import pytest
import tifffile

import flowmask
from flowmask.errors import ImageError, NetworkError, SettingsError
from tests.conftest import MODEL, needs_network
from train.simulate import simulate

pytestmark = needs_network
SAMPLE = simulate("fluorescence_nuclei", (160, 180), 16, 26)


def test_every_public_name_is_there():
    for name in flowmask.__all__:
        assert getattr(flowmask, name) is not None
    assert "segment" in flowmask.__all__
    with pytest.raises(AttributeError, match="has no attribute 'Settings'"):
        _ = flowmask.Settings


def test_options_as_a_record_by_name_and_both(network):
    record = flowmask.Segmentation(diameter=26, min_size=300)
    expected = flowmask.segment(SAMPLE.image, network, record)
    assert 0 < len(expected.cells) < len(flowmask.segment(SAMPLE.image, network, diameter=26).cells)
    for other in (
        flowmask.segment(SAMPLE.image, network, diameter=26, min_size=300),
        flowmask.segment(SAMPLE.image, network, flowmask.Segmentation(diameter=26), min_size=300),
        flowmask.segment(SAMPLE.image, network, flowmask.Segmentation(diameter=50, min_size=300), diameter=26),
    ):
        np.testing.assert_array_equal(other.labels, expected.labels)
        assert other.diameter == 26


@pytest.mark.parametrize("call", [flowmask.segment, flowmask.segment_rows])
def test_a_name_that_is_no_option_is_refused(network, call):
    with pytest.raises(
        SettingsError, match="diametre: there is no such option; the options are diameter, pixel_size, flow_thresh"
    ):
        call(SAMPLE.image, network, diametre=26)
    with pytest.raises(SettingsError, match="batch: there is no such option"):
        call(SAMPLE.image, network, batch=2)
    with pytest.raises(SettingsError, match="`min_size=-1` is out of range"):
        call(SAMPLE.image, network, min_size=-1)


@pytest.mark.parametrize("call", [flowmask.segment, flowmask.segment_rows])
def test_messages_name_an_option_as_python_does(network, call):
    with pytest.raises(SettingsError, match="^`channels`: this network takes 1 to 3 channels, not 4"):
        call(SAMPLE.image, network, channels=(9, 1, 1, 1))
    with pytest.raises(SettingsError, match=r"^`channels`: 9 does not fit an image of 1 channel"):
        call(SAMPLE.image, network, channels=(9, 1, 1))
    with pytest.raises(SettingsError, match="give `memory='.*M'` if the machine has it; otherwise use a larger"):
        call(SAMPLE.image, network, runtime=flowmask.Runtime(memory="1M"), diameter=26)


@pytest.mark.slow
def test_rows_are_those_of_the_whole(network):
    image = np.tile(SAMPLE.image, (4, 1))
    whole = flowmask.segment(image, network, diameter=26)
    rows = list(flowmask.segment_rows(image, network, diameter=26))
    assert len([part for part in rows if len(part)]) > 1
    assert {part.dtype for part in rows} == {np.dtype(np.int32)}
    np.testing.assert_array_equal(np.concatenate(rows), whole.labels)
    assert len(whole.cells) > 5


@pytest.mark.slow
def test_networks_by_name_by_file_opened_and_by_default(tmp_path, network):
    cv2.imwrite(str(tmp_path / "a.png"), SAMPLE.image)
    expected = flowmask.segment(tmp_path / "a.png", network, diameter=26)
    assert len(expected.cells) >= 3
    for other in (None, "small", MODEL, str(MODEL)):
        runtime = flowmask.Runtime(device="cpu")
        found = flowmask.segment(str(tmp_path / "a.png"), other, runtime=runtime, diameter=26)
        np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.mark.parametrize("call", [flowmask.segment, flowmask.segment_rows])
def test_arguments_of_another_kind_are_named(network, call):
    with pytest.raises(
        NetworkError,
        match="^an object of the type int is not a network; .* give options by their names, such as diameter=30",
    ):
        call(SAMPLE.image, 30)
    with pytest.raises(SettingsError, match="^options is an object of the type dict; give a flowmask.Segmentation"):
        call(SAMPLE.image, network, {"diameter": 26})
    with pytest.raises(SettingsError, match="^runtime is an object of the type dict; give a flowmask.Runtime"):
        call(SAMPLE.image, network, runtime={"threads": 1})
    with pytest.raises(ImageError, match=r"an array of shape \(0, 4\) has no pixels"):
        call(np.zeros((0, 4)), network)


def test_segment_many_takes_one_path_as_a_path_and_not_as_its_letters(tmp_path, network):
    tifffile.imwrite(tmp_path / "a.tif", SAMPLE.image)
    (outcome,) = flowmask.segment_many(str(tmp_path / "a.tif"), tmp_path / "out", diameter=26)
    assert outcome.labels == (str(tmp_path / "out" / "a_label.tiff"),)
    with pytest.raises(NetworkError, match="OnnxNetwork is not a network file"):
        flowmask.segment_many([tmp_path / "a.tif"], tmp_path / "out", network)
    with pytest.raises(SettingsError, match="^outputs is an object of the type list; give a flowmask.Output"):
        flowmask.segment_many([tmp_path / "a.tif"], tmp_path / "out", outputs=["table"])


def test_errors_are_of_one_family(tmp_path, network):
    (tmp_path / "a.png").write_bytes(b"no image")
    for error, image, model in (
        (ImageError, tmp_path / "a.png", network),
        (NetworkError, SAMPLE.image, tmp_path / "absent.onnx"),
        (ImageError, np.zeros((3, 4, 5, 6)), network),
    ):
        with pytest.raises(error) as caught:
            flowmask.segment(image, model)
        assert isinstance(caught.value, flowmask.FlowmaskError)


@pytest.mark.parametrize("option", [{"plane": 2}, {"project": "max"}])
def test_a_plane_of_a_stack_or_its_projection(tmp_path, network, option):
    stack = np.stack([0 * SAMPLE.image, SAMPLE.image, 0 * SAMPLE.image])
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    found = flowmask.segment(tmp_path / "a.tif", network, diameter=26, **option)
    assert len(found.cells) >= 3
    np.testing.assert_array_equal(found.labels, flowmask.segment(SAMPLE.image, network, diameter=26).labels)


@pytest.mark.slow
def test_progress_goes_up_to_one(network):
    seen = []
    flowmask.segment(SAMPLE.image, network, diameter=8, progress=seen.append)
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 1)
    rows = []
    assert sum(map(len, flowmask.segment_rows(SAMPLE.image, network, diameter=8, progress=rows.append))) == 160
    assert rows == seen[1:]


@pytest.mark.slow
@pytest.mark.parametrize("error", [flowmask.Cancelled("enough."), KeyError("a fault of the caller")])
@pytest.mark.parametrize("at", [0, 0.2])
def test_progress_can_cancel_the_work(network, error, at):
    seen = []

    def progress(fraction):
        seen.append(fraction)
        if fraction >= at:
            raise error

    before = threading.active_count()
    with pytest.raises(type(error)) as caught:
        flowmask.segment(SAMPLE.image, network, diameter=8, progress=progress)
    assert caught.value is error
    assert threading.active_count() == before
    assert seen[-1] < 1
    assert flowmask.segment(SAMPLE.image, network, diameter=26).labels.any()


@needs_network
@pytest.mark.parametrize(
    "call",
    [
        lambda network, out: flowmask.open_frames(None),
        lambda network, out: flowmask.open_frames(np.zeros((9, 9))),
        lambda network, out: flowmask.segment_many(None, out),
        lambda network, out: flowmask.segment_many([np.zeros((9, 9))], out),
        lambda network, out: flowmask.segment_many(["a.tif"], None),
        lambda network, out: flowmask.segment_many(["a.tif"], out, finished=3),
        lambda network, out: flowmask.segment(np.zeros((64, 64)), network, progress=3),
        lambda network, out: flowmask.segment_rows(np.zeros((64, 64)), network, progress=3),
        lambda network, out: flowmask.Segmentation(plane=2, project="max"),
    ],
)
def test_arguments_that_cannot_be_used_are_errors_of_the_family(network, tmp_path, call):
    with pytest.raises(SettingsError, match=r"is an object of the type|exclude each other"):
        call(network, tmp_path / "out")


@needs_network
def test_segment_many_takes_any_iterable(tmp_path, network):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    outcomes = flowmask.segment_many((path for path in [tmp_path / "a.png"]), tmp_path / "out", diameter=30)
    assert [outcome.status for outcome in outcomes] == ["done"]
