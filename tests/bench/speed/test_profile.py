"""The profile of one image, at toy sizes."""

import argparse

import pytest
import tifffile

from bench.speed import profile
from flowmask.network.registry import default_network
from flowmask.network.session import OnnxNetwork
from train.simulate import simulate

MODEL = default_network()
pytestmark = pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is missing")
STAGES = ["percentiles", "reading and tiles", "network", "bare network", "blending", "labelling", "label file"]


@pytest.mark.slow
def test_every_stage_of_an_image_has_its_time(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", simulate("fluorescence_nuclei", (460, 300), 1, 30).image)
    seconds = profile.stages(tmp_path / "a.tif", OnnxNetwork(MODEL, "cpu"), 1, 1.0)
    assert list(seconds) == STAGES
    assert all(0 < value < 100 for value in seconds.values())


@pytest.mark.slow
def test_all_parts_are_measured_and_shown(monkeypatch):
    monkeypatch.setattr(profile, "setups", lambda: {"own": profile.Setup(), "one thread": profile.Setup(threads=1)})
    args = argparse.Namespace(
        only=profile.PARTS, model=MODEL, side=320, stage_side=256, setup_side=128, batch=1, repeats=1
    )
    record = profile.measured(args)
    page = profile.text(record)
    assert record["whole"]["tiles"] >= 1
    for times in record["stages"]["ms_per_megapixel"].values():
        assert {"reading", "percentiles", "tiles", "network", "path following", "flow check", "cell table"} < set(times)
        assert all(0 <= wall < 1e6 and 0 <= processor < 1e6 for wall, processor in times.values())
    assert set(record["setups"]["runs"]) == {"own", "one thread"}
    for title, _ in profile.SECTIONS.values():
        assert f"### {title}" in page
    assert "One image of 128 x 128 px." in page
