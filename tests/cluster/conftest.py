"""The fixtures of tests in which several workers share one large image."""

import pytest

import flowmask
from tests.cluster.one_slide import OUTPUT, SHAPE
from tests.conftest import write_nuclei


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write_nuclei(folder / "slide.tif", SHAPE, 1)
    return folder


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    """The output folder of a run on one machine."""
    out = tmp_path_factory.mktemp("alone")
    (outcome,) = flowmask.segment_many([images], out, outputs=OUTPUT, diameter=26.0)
    assert outcome.cells > 200
    return out


@pytest.fixture
def share_small_images(monkeypatch):
    """Share also images that are too small to make it worth."""
    monkeypatch.setattr("flowmask.cluster.executor.LEAST_SHARED", 50_000)
    monkeypatch.setattr("flowmask.cluster.executor.LOOK", 0.2)
