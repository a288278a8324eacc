"""The plugin of napari, in napari itself, without a screen."""

import doctest
import os
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile

import flowmask
from tests.conftest import needs_network
from train.data.pairs import find_pairs
from train.data.readers import read_item
from train.simulate.modalities import simulate

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("napari", reason="napari is not installed; `make napari` makes its environment and runs this")
pytest.importorskip("flowmask_napari", reason="the plugin is not installed; `make napari` installs it and runs this")
from npe2 import PluginManifest  # noqa: E402

from flowmask_napari import layers, widget  # noqa: E402

PLUGIN, TITLE = "flowmask-napari", "Segment cells and train"
TRAIN_PYTHON = os.environ.get("FLOWMASK_TRAIN_PYTHON")
"""The Python of an environment with PyTorch; None: napari's own."""


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def panel(viewer):
    """The widget, opened as the menu of napari opens it, and the errors that it shows."""
    return viewer.window.add_plugin_dock_widget(PLUGIN, TITLE)[1]


@pytest.fixture
def errors(monkeypatch):
    """The notifications of errors."""
    shown = []
    monkeypatch.setattr(widget, "show_error", shown.append)
    return shown


@pytest.fixture(scope="module")
def cells():
    return simulate("fluorescence_nuclei", (150, 170), 7, 26).image


def wait(qtbot, panel):
    """Wait until the job of the widget has ended."""
    qtbot.waitUntil(lambda: panel.segment_button.enabled, timeout=120_000)


def test_the_manifest_is_valid():
    manifest = PluginManifest.from_distribution(PLUGIN)
    manifest.validate_imports()
    assert [contribution.display_name for contribution in manifest.contributions.widgets] == [TITLE]


@needs_network
def test_a_layer_gets_the_labels_of_the_engine_and_the_verdict(viewer, panel, cells, qtbot):
    viewer.add_image(cells, name="nuclei", scale=(0.5, 0.5), translate=(3, 4))
    panel.diameter.value = "26"
    panel.segment()
    assert not panel.segment_button.enabled
    wait(qtbot, panel)
    expected = flowmask.segment(cells, diameter=26)
    found = viewer.layers["nuclei cells"]
    np.testing.assert_array_equal(found.data, expected.labels)
    assert (tuple(found.scale), tuple(found.translate)) == ((0.5, 0.5), (3, 4))
    np.testing.assert_array_equal(found.features["area"], expected.cells.area)
    assert panel.report.value.startswith(
        f"{len(expected.cells)} cells, diameter 26.0 px, verdict: {expected.verdict.level}"
    )
    assert panel.corrected.value is found


@needs_network
def test_the_plane_shown_or_all_planes_as_channels(viewer, panel, cells, qtbot):
    stack = np.stack([cells[::-1], cells])
    viewer.add_image(stack, name="stack")
    viewer.dims.set_current_step(0, 1)
    panel.diameter.value = "26"
    panel.segment()
    wait(qtbot, panel)
    np.testing.assert_array_equal(viewer.layers["stack cells"].data, flowmask.segment(cells, diameter=26).labels)
    panel.stack.value, panel.channels.value = widget.CHANNELS, "1"
    panel.segment()
    wait(qtbot, panel)
    flipped = flowmask.segment(cells[::-1], diameter=26).labels
    np.testing.assert_array_equal(viewer.layers["stack cells [1]"].data, flipped)


@needs_network
def test_cancel_ends_the_work_and_adds_nothing(viewer, panel, cells, qtbot, errors):
    viewer.add_image(np.tile(cells, (6, 6)))
    panel.diameter.value = "26"
    panel.segment()
    panel.cancel()
    wait(qtbot, panel)
    assert panel.report.value == "Cancelled; no labels were added."
    assert (len(viewer.layers), errors) == (1, [])


def test_errors_are_notifications_of_one_sentence(viewer, panel, cells, errors, qtbot):
    panel.segment()
    viewer.add_image(cells)
    for diameter, channels in (("wide", ""), ("-3", ""), ("", "1,,2")):
        panel.diameter.value, panel.channels.value = diameter, channels
        panel.segment()
    panel.diameter.value, panel.channels.value, panel.network.value = "26", "9", "small"
    panel.segment()  # the engine itself refuses this channel
    wait(qtbot, panel)
    for job in (panel.save, panel.train, panel.segment_slide):
        job()
    assert len(errors) == 8
    assert errors[0] == "no image is open; open one and choose it as the image."
    assert "wide" in errors[1]
    assert "-3" in errors[2]
    assert "1,,2" in errors[3]
    assert "channel" in errors[4]
    assert all("is empty; choose" in error for error in errors[5:])
    assert all(error.endswith(".") and "\n" not in error for error in errors)


def test_saved_pairs_are_found_and_read_by_the_training(viewer, panel, cells, tmp_path, errors):
    colour = np.stack([cells, cells[::-1], cells[:, ::-1]], axis=-1)
    truth = (cells > np.percentile(cells, 90)).astype(np.int32) * 70_000
    stacked = np.stack([cells, cells[::-1]])
    named = {"a/b grey": cells, "colour_mask": colour, "stack": stacked, "whole": cells.astype(np.int64)}
    for name, pixels in (named | {"truth": cells > 50, "z_float": cells / 255}).items():
        viewer.layers.clear()
        viewer.add_image(pixels, name=name)
        viewer.add_labels(truth)
        panel.folder.value = tmp_path / "pairs"
        panel.stack.value = widget.CHANNELS
        panel.save()
    assert errors == []
    found = find_pairs(tmp_path / "pairs")
    assert found.without_labels == []
    names = ["a_b_grey", "colour_mask_image", "stack", "truth", "whole", "z_float"]
    assert [item.image.name for item in found.items] == [f"{name}.tif" for name in names]
    expected = [cells[None], colour.transpose(2, 0, 1), stacked, cells[None] > 50, cells[None], cells[None] / 255]
    for item, pixels in zip(found.items, expected, strict=True):
        image, labels = read_item(item)
        np.testing.assert_array_equal(image.read(0, 0, *pixels.shape[1:]), pixels)
        np.testing.assert_array_equal(labels > 0, truth > 0)


def test_a_pair_is_replaced_only_by_the_same_image(viewer, panel, cells, tmp_path, errors):
    panel.folder.value = tmp_path
    image, labels = viewer.add_image(cells, name="a"), viewer.add_labels(np.ones(cells.shape, np.int32))
    panel.save()
    labels.data = np.full(cells.shape, 2)
    panel.save()
    assert errors == []
    assert tifffile.imread(tmp_path / "a_label.tif").min() == 2
    image.data = cells[::-1].copy()
    panel.save()
    assert "another image has this name" in errors[0]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), cells)
    labels.data = np.full(cells.shape, 2**31)
    panel.save()
    labels.data = np.ones((3, 4), np.int32)
    panel.save()
    assert "the image has 150 x 170 px and the labels have 3 x 4" in errors[2]
    assert "labels must be from 0" in errors[1]


@needs_network
def test_a_slide_is_segmented_by_the_command_and_its_labels_are_opened(viewer, panel, cells, tmp_path, qtbot, errors):
    tifffile.imwrite(tmp_path / "slide.ome.tif", cells)
    viewer.add_image(cells, scale=(0.5, 0.5))
    panel.slide.value, panel.slide_folder.value, panel.diameter.value = (
        tmp_path / "slide.ome.tif",
        tmp_path / "out",
        "26",
    )
    panel.segment_slide()
    wait(qtbot, panel)
    assert errors == []
    expected = flowmask.segment(cells, diameter=26).labels
    np.testing.assert_array_equal(np.asarray(viewer.layers["slide_labels"].data), expected)
    assert tuple(viewer.layers["slide_labels"].scale) == (0.5, 0.5)
    assert f"{expected.max()} cells, diameter 26.0 px" in panel.report.value


def test_the_command_tells_its_error_and_can_be_stopped(panel, tmp_path, qtbot, errors, monkeypatch):
    (tmp_path / "slide.tif").write_bytes(b"hello")
    panel.slide.value, panel.slide_folder.value = tmp_path / "slide.tif", tmp_path / "out"
    panel.segment_slide()
    wait(qtbot, panel)
    assert len(errors) == 1
    assert "slide.tif" in errors[0]
    waiting = tmp_path / "python"
    waiting.write_text("#!/bin/sh\necho started\nexec sleep 100\n")
    waiting.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(waiting))
    panel.segment_slide()
    qtbot.waitUntil(lambda: "started" in panel.report.value, timeout=30_000)
    panel.cancel()
    wait(qtbot, panel)
    assert panel.report.value.endswith("Cancelled.")
    assert len(errors) == 1


def test_a_command_that_does_not_start_is_an_error(panel, tmp_path, qtbot, errors, monkeypatch):
    panel.slide.value, panel.slide_folder.value = tmp_path / "slide.tif", tmp_path / "out"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    panel.segment_slide()
    wait(qtbot, panel)
    assert len(errors) == 1
    assert "did not start" in errors[0]


@needs_network
def test_a_panel_that_is_closed_ends_its_work(viewer, panel, cells, qtbot):
    viewer.add_image(np.tile(cells, (6, 6)))
    panel.diameter.value = "26"
    panel.segment()
    panel.native.destroyed.emit()
    qtbot.waitUntil(lambda: not [one for one in threading.enumerate() if one.name == widget.THREAD], timeout=120_000)
    qtbot.wait(50)
    assert len(viewer.layers) == 1


def test_the_examples_of_the_plugin():
    assert doctest.testmod(layers).failed == 0
    assert doctest.testmod(layers).attempted > 1


def test_training_shows_the_lines_of_the_command_and_the_new_network_is_chosen(
    panel, tmp_path, qtbot, monkeypatch, errors
):
    training = tmp_path / "python"
    training.write_text(
        f'#!/bin/sh\necho "$@"\nprintf "training 10%%\\rtraining 20%%\\r" >&2\necho done > {tmp_path}/new.onnx\n'
    )
    training.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(training))
    panel.folder.value, panel.new_network.value, panel.network.value = tmp_path, tmp_path / "new.onnx", "small"
    panel.train()
    wait(qtbot, panel)
    command = f"-m flowmask train {tmp_path} -o {tmp_path}/new.onnx --start small"
    assert panel.report.value.splitlines() == [command, "training 10%", "training 20%"]
    assert (panel.network.value, Path(panel.network_file.value)) == (widget.FILE, tmp_path / "new.onnx")
    panel.train()  # continues with the checkpoint beside the new network
    wait(qtbot, panel)
    assert f"--start {tmp_path}/new.pt" in panel.report.value
    assert errors == []


@pytest.fixture
def short_training(tmp_path, monkeypatch):
    """Let the panel's commands run in an environment with PyTorch, and train three steps."""
    if TRAIN_PYTHON is None and not (find_spec("torch") and find_spec("onnx")):
        pytest.skip("PyTorch is not installed beside napari, and FLOWMASK_TRAIN_PYTHON names no Python that has it")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{TRAIN_PYTHON or sys.executable}" "$@" --steps 3\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.mark.slow
@needs_network
def test_corrected_images_train_a_network_that_segments_the_next_image(
    viewer, panel, tmp_path, qtbot, errors, short_training
):
    images = {f"day {seed}": simulate("fluorescence_nuclei", (150, 170), seed, 26).image for seed in range(5)}
    panel.network.value, panel.diameter.value = "small", "26"
    panel.folder.value, panel.new_network.value = tmp_path / "pairs", tmp_path / "mine.onnx"
    for name, pixels in images.items():
        viewer.layers.clear()
        viewer.add_image(pixels, name=name)
        panel.segment()
        wait(qtbot, panel)
        labels = viewer.layers[f"{name} cells"]
        labels.fill(np.argwhere(labels.data == 1)[0], 0)  # the fill bucket removes a cell
        panel.save()
        saved = tifffile.imread(tmp_path / "pairs" / f"{name.replace(' ', '_')}_label.tif")
        np.testing.assert_array_equal(np.unique(saved), [0, *range(2, saved.max() + 1)])
    panel.train()
    qtbot.waitUntil(lambda: panel.segment_button.enabled, timeout=1_200_000)
    assert errors == []
    assert "5 images with labels" in panel.report.value
    assert "scored on: day_" in panel.report.value
    assert {path.name for path in tmp_path.glob("mine.*")} == {"mine.onnx", "mine.pt", "mine.txt"}
    assert (panel.network.value, Path(panel.network_file.value)) == (widget.FILE, tmp_path / "mine.onnx")
    viewer.layers.clear()
    unseen = simulate("fluorescence_nuclei", (150, 170), 9, 26).image
    viewer.add_image(unseen, name="unseen")
    panel.segment()
    wait(qtbot, panel)
    expected = flowmask.segment(unseen, tmp_path / "mine.onnx", diameter=26)
    assert len(expected.cells) > 3
    np.testing.assert_array_equal(viewer.layers["unseen cells"].data, expected.labels)


def test_the_real_training_says_what_is_missing(panel, tmp_path, qtbot, errors):
    panel.folder.value, panel.new_network.value = tmp_path, tmp_path / "new.onnx"
    panel.train()
    wait(qtbot, panel)
    assert len(errors) == 1
    assert "the training needs the package" in errors[0] or "no image has a label file" in errors[0]
