"""Several networks whose maps are averaged."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy import special

import flowmask
from flowmask.cli import main
from flowmask.errors import NetworkError
from flowmask.families.flow.average import average
from flowmask.network.contract import Clahe, Head
from flowmask.network.mean import MeanNetwork, common_contract
from flowmask.network.registry import find_networks
from flowmask.network.session import OnnxNetwork
from tests.conftest import needs_network
from tests.reference.plans import FLOW
from train.simulate.modalities import simulate


@pytest.fixture
def both():
    return [OnnxNetwork(path, "cpu", 1) for path in find_networks("small,large")]


@pytest.mark.slow
@needs_network
def test_maps_are_averaged_and_diameters_those_of_the_first(both):
    tiles = np.random.default_rng(0).random((2, 3, 224, 224)).astype(np.float32)
    mean = MeanNetwork(both, average)
    maps = [network.maps(tiles) for network in both]
    np.testing.assert_array_equal(mean.maps(tiles), average(maps))
    np.testing.assert_allclose(MeanNetwork(both).maps(tiles), np.mean(maps, axis=0), atol=1e-5)
    np.testing.assert_array_equal(mean.diameters(tiles), both[0].diameters(tiles))
    assert mean.contract.multiple == 32
    assert mean.count == 2


def test_flows_and_odds_of_several_networks():
    rng = np.random.default_rng(0)
    maps = [rng.normal(0, 4, (2, 3, 5, 7)).astype(np.float32) for _ in range(3)]
    logits = np.stack([each[:, 2] for each in maps]).astype(np.float64)
    weights = special.expit(logits)
    expected_flows = sum(w[:, None] * each[:, :2] for w, each in zip(weights / weights.sum(0), maps, strict=True))
    found = average(maps)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :2], expected_flows, atol=1e-5)
    np.testing.assert_allclose(found[:, 2], special.logsumexp(logits, axis=0) - np.log(3), atol=1e-5)


def test_a_cell_that_one_network_sees_is_not_lost():
    sees, blind = np.zeros((2, 1, 3, 2, 2), np.float32)
    sees[:, 0], sees[:, 2], blind[:, 2] = 5, 4, -6
    found = average([sees, blind])
    assert found[0, 2].min() > 3
    np.testing.assert_allclose(found[0, 0], 5, atol=0.02)


@pytest.mark.parametrize("size", [88, 1e30])
def test_extreme_logits_stay_finite(size):
    for signs in ((1, 1), (1, -1), (-1, -1)):
        maps = [np.full((1, 3, 2, 2), sign * size, np.float32) for sign in signs]
        found = average(maps)
        assert np.isfinite(found).all()
        assert np.sign(found[0, 2, 0, 0]) == max(signs)


def test_averages_do_not_depend_on_the_batch():
    rng = np.random.default_rng(1)
    maps = [rng.normal(0, 4, (5, 3, 33, 31)).astype(np.float32) for _ in range(2)]
    alone = [average([each[index : index + 1] for each in maps]) for index in range(5)]
    np.testing.assert_array_equal(average(maps), np.concatenate(alone))


@pytest.mark.slow
@needs_network
def test_a_network_averaged_with_itself_gives_its_own_labels():
    image = simulate("fluorescence_nuclei", (150, 170), 7, 26).image
    one, twice = (flowmask.segment(image, model, diameter=26).labels for model in ("small", "small, small"))
    np.testing.assert_array_equal(one, twice)
    assert one.max() > 5


@pytest.mark.slow
@needs_network
def test_the_command_averages_and_its_record_names_both(tmp_path, capsys):
    sample = simulate("fluorescence_nuclei", (150, 170), 7, 26)
    cv2.imwrite(str(tmp_path / "a.png"), sample.image)
    words = ["-i", tmp_path / "a.png", "-o", tmp_path / "out", "--diameter", "26", "--report", tmp_path / "run.json"]
    assert main([*map(str, words), "--model", "small,large"]) == 0
    record = json.loads((tmp_path / "run.json").read_text())["network"]
    assert [path.rsplit("/")[-1] for path in record["path"].split(",")] == ["small.onnx", "large.onnx"]
    assert [len(digest) for digest in record["sha256"].split(",")] == [64, 64]
    assert main([*map(str, words), "--model", "small,absent"]) == 2
    assert "absent: there is no such network file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channels", "cellpose"),
        ("mean_diameter", 17.0),
        ("family", "semantic"),
        ("clahe", Clahe()),
        ("pixel_size", 0.5),
    ],
)
def test_networks_that_expect_another_input_are_refused(field, value):
    one = flowmask.load_network("small", device="cpu").contract
    with pytest.raises(NetworkError, match=f"cannot be averaged, because their {field.replace('_', ' ')} differ"):
        common_contract([one, replace(one, **{field: value})])


def test_networks_that_detect_are_not_averaged():
    contract = replace(FLOW, heads=(Head("records", 2, record=8),))
    with pytest.raises(NetworkError, match=r"flow family cannot be averaged, because their outputs are detections"):
        common_contract([contract, contract])
