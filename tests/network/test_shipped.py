"""The networks that ship are what the README beside them says they are."""

import hashlib
import re

import numpy as np
import pytest

from flowmask.api import load_network
from tests.conftest import MODEL

README = MODEL.with_name("README.md").read_text()
LISTED = dict(re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", README, re.MULTILINE))
NETWORKS = sorted(MODEL.parent.glob("*.onnx"))
CHECKPOINTS = {"small": ("small.pt",), "large": ("small.pt", "cyto-small.pt")}
"""The checkpoints of which each network gives the mean."""


def checkpoint(path):
    """The network in a file as PyTorch computes it."""
    from export.mean import mean_of
    from export.source import read_checkpoint

    return mean_of([read_checkpoint(str(path.with_name(name))) for name in CHECKPOINTS[path.stem]]).network


def test_every_file_is_listed_with_its_digest():
    files = [path for path in MODEL.parent.iterdir() if path.suffix in (".onnx", ".pt")]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert digests == LISTED


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_each_states_its_licence_and_data_and_estimates_diameters(path):
    contract = load_network(path).contract
    assert contract.licence.split(";")[0] == "BSD-3-Clause"
    assert "real images" in contract.data
    assert contract.sized


@pytest.mark.torch
@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_each_gives_the_maps_of_the_checkpoint_beside_it(path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    tile = np.random.default_rng(0).random((1, 3, 224, 224), np.float32)
    with torch.inference_mode():
        expected = checkpoint(path)(torch.from_numpy(tile))[0].numpy()
    np.testing.assert_allclose(load_network(path).maps(tile), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.torch
@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_each_passes_the_gate_of_half_precision(path):
    torch = pytest.importorskip("torch")
    from export.parity import HALF_TOLERANCE
    from export.precision import HalfPrecision, rounded_outputs, simulated_tiles

    tiles = simulated_tiles(load_network(path).contract)
    with torch.inference_mode():
        want = checkpoint(path)(torch.from_numpy(tiles))[0].numpy()
    got = rounded_outputs(HalfPrecision(checkpoint(path)), tiles)[0]
    assert 0 < np.sqrt(np.square(got - want).mean() / np.square(want).mean()) < HALF_TOLERANCE
