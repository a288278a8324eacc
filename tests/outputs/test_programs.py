"""The files of `--save`, opened by the programs that they are for."""

import os

import numpy as np
import pytest

from flowmask.outputs.pyramid import level_shapes
from tests.outputs.test_formats import halved, small_pyramid
from tests.outputs.test_outputs import labels, pixels, subject, write

__all__ = ["labels", "pixels", "small_pyramid", "subject"]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture
def viewer(request):
    """A viewer of napari."""
    pytest.importorskip("napari", reason="napari is not installed; `make napari` makes its environment and runs this")
    return request.getfixturevalue("make_napari_viewer")()


def opened(viewer, path, plugin):
    """The levels of the one layer that napari makes of a file, and the layer."""
    (layer,) = viewer.open(path, plugin=plugin)
    return [np.asarray(level) for level in (layer.data if layer.multiscale else [layer.data])], layer


@pytest.mark.usefixtures("small_pyramid")
@pytest.mark.parametrize("plugin", ["napari", "flowmask-napari"])
def test_napari_opens_ome_tiff(viewer, tmp_path, labels, pixels, subject, plugin):
    if plugin == "flowmask-napari":
        pytest.importorskip("flowmask_napari", reason="the plugin of napari is not installed; `make napari` does it")
    (path,) = write(tmp_path, subject, labels, pixels, ["ome"])
    levels, layer = opened(viewer, path, plugin)
    np.testing.assert_array_equal(levels[0], labels)
    if plugin == "flowmask-napari":
        assert type(layer).__name__ == "Labels"
        assert [level.shape for level in levels] == level_shapes(labels.shape)
        for number, level in enumerate(levels):
            np.testing.assert_array_equal(level, halved(labels, number))


@pytest.mark.usefixtures("small_pyramid")
def test_napari_opens_ome_zarr_as_labels(viewer, tmp_path, labels, pixels, subject):
    pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed; `make napari` does it")
    (path,) = write(tmp_path, subject, labels, pixels, ["zarr"])
    levels, layer = opened(viewer, path / "labels/cells", "napari-ome-zarr")
    assert type(layer).__name__ == "Labels"
    assert tuple(layer.scale) == (0.5, 0.5)
    assert [level.shape for level in levels] == level_shapes(labels.shape)
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(level, halved(labels, number))
