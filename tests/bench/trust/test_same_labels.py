"""Labels of two commits: `bench.trust.same_labels` with small images."""

import argparse

import cv2
import numpy as np
import pytest
import tifffile

from bench.record import ROOT
from bench.trust.same_labels import compare, differences, gather_images, text
from flowmask.network.registry import default_network
from train.simulate import simulate

MODEL = default_network()
SIDE = 90


@pytest.fixture
def data(tmp_path):
    """A data folder with two sources of one image each."""
    for seed, source in enumerate(("one", "two")):
        folder = tmp_path / "data" / source
        folder.mkdir(parents=True)
        sample = simulate("fluorescence_nuclei", (SIDE, SIDE), seed, 24)
        cv2.imwrite(str(folder / "a.b.png"), sample.image)
        cv2.imwrite(str(folder / "a.b_label.png"), sample.labels.astype(np.uint16))
    return tmp_path / "data"


def test_images_of_all_sources_have_names_of_their_own(data, tmp_path):
    (tmp_path / "images").mkdir()
    gather_images(data, tmp_path / "images", None)
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["one-a-b.png", "two-a-b.png"]


def test_a_pixel_and_a_type_are_differences(tmp_path):
    for folder in ("images", "before", "after"):
        (tmp_path / folder).mkdir()
    labels = np.zeros((8, 8), np.int16)
    for name, other in (("same", labels), ("pixel", labels + np.eye(8, dtype=np.int16)), ("type", labels.astype(int))):
        (tmp_path / "images" / f"{name}.png").touch()
        tifffile.imwrite(tmp_path / "before" / f"{name}_label.tiff", labels)
        tifffile.imwrite(tmp_path / "after" / f"{name}_label.tiff", other)
    assert list(differences(*(tmp_path / folder for folder in ("images", "before", "after")))) == [
        "pixel.png",
        "type.png",
    ]


@pytest.mark.slow
@pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is missing")
def test_a_checkout_has_the_labels_of_itself(data, tmp_path):
    (tmp_path / "work").mkdir()
    args = argparse.Namespace(data=data, limit=None, size=64, model=MODEL)
    assert compare(tmp_path / "work", ROOT, args) == ([], 3)
    labels = tifffile.imread(tmp_path / "work" / "after-images" / "one-a-b_label.tiff")
    assert labels.shape == (SIDE, SIDE)
    assert labels.max() > 0


def test_the_result_is_one_sentence():
    record = {"images": 3, "different": ["a"], "other_commit": "abc"}
    assert text(record) == "2 of 3 label images are the same, bit for bit, as those of abc."
