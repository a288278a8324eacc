"""A slide in object storage, read by windows and written by rows, as docs/python.md shows it; here in memory."""

import numpy as np
import pytest

import flowmask
from tests.conftest import ROOT, needs_network

zarr = pytest.importorskip("zarr", reason="the extra `remote` is not installed")
fsspec = pytest.importorskip("fsspec", reason="the extra `remote` is not installed")
pytestmark = needs_network
HEADING = "## Object storage"


@pytest.fixture
def bucket():
    yield "memory://flowmask-test"
    fsspec.filesystem("memory").rm("/flowmask-test", recursive=True)


@pytest.fixture
def pixels():
    from train.simulate import simulate

    return simulate("fluorescence_nuclei", (700, 150), 5, 26).image


def recipe(bucket):
    """The code block of the section, with another bucket."""
    section = (ROOT / "docs" / "python.md").read_text().split(f"{HEADING}\n")[1]
    code = section.split("```python\n")[1].split("```")[0]
    assert "s3://bucket" in code
    return code.replace("s3://bucket", bucket)


def test_the_recipe_of_the_docs_writes_the_labels_of_the_whole_image(bucket, pixels, network):
    slide = zarr.create_array(f"{bucket}/slide.ome.zarr/0", shape=(1, 700, 150), chunks=(1, 128, 128), dtype="uint8")
    slide[0] = pixels
    exec(compile(recipe(bucket), "docs/python.md", "exec"), {})
    labels = zarr.open_array(f"{bucket}/slide_labels.zarr", mode="r")
    expected = flowmask.segment(pixels, diameter=30).labels
    assert expected.max() > 50
    np.testing.assert_array_equal(labels[:], expected)


def test_only_windows_are_read(bucket, pixels):
    slide = zarr.create_array(f"{bucket}/slide.zarr", shape=(700, 150), chunks=(128, 128), dtype="uint8")
    slide[:] = pixels
    windows = []

    class Watched:
        shape, dtype = slide.shape, slide.dtype

        def __getitem__(self, index):
            windows.append(slide[index].shape)
            return slide[index]

    assert sum(map(len, flowmask.segment_rows(Watched(), axes="YX", diameter=30))) == 700
    assert max(height for height, _ in windows) < 400
