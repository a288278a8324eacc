"""What opens a network file and what it refuses."""

import numpy as np
import onnx
import onnxruntime
import pytest

from infer.cli import MODEL
from infer.contract import KEY
from infer.errors import NetworkError, RunError, SettingsError
from infer.session import OnnxNetwork

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is not built")


@pytest.fixture(scope="module")
def network():
    return OnnxNetwork(MODEL, "cpu")


def test_outputs_have_the_shapes_of_the_contract(network):
    tiles = np.random.default_rng(0).normal(0.5, 0.3, (2, network.contract.inputs, 64, 80)).astype(np.float32)
    maps = network.maps(tiles)
    assert (maps.shape, maps.dtype) == ((2, 3, 64, 80), np.float32)
    diameters = network.diameters(tiles)
    assert diameters.shape == (2,)
    assert (diameters > 0).all()
    assert network.provider == "CPUExecutionProvider"


def test_a_tile_that_does_not_fit_is_one_sentence(network):
    with pytest.raises(RunError, match="the network cannot be run on 1 tile"):
        network.maps(np.zeros((1, 7, 64, 64), np.float32))


def test_files_that_are_no_network(tmp_path):
    with pytest.raises(NetworkError, match="there is no such network file"):
        OnnxNetwork(tmp_path / "absent.onnx", "cpu")
    (tmp_path / "cut.onnx").write_bytes(MODEL.read_bytes()[:100_000])
    with pytest.raises(NetworkError, match="cut.onnx: it is no ONNX file, or it is damaged"):
        OnnxNetwork(tmp_path / "cut.onnx", "cpu")


def test_a_network_whose_input_is_not_the_contracts(tmp_path):
    model = onnx.load(MODEL)
    entry = next(entry for entry in model.metadata_props if entry.key == KEY)
    entry.value = entry.value.replace('"channels": "rgb"', '"channels": "green-blue"')
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(NetworkError, match="a.onnx: its inputs .* are not those of its contract"):
        OnnxNetwork(tmp_path / "a.onnx", "cpu")


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this runtime has CUDA")
def test_cuda_that_is_asked_for_and_absent_is_said():
    with pytest.raises(SettingsError, match="--provider cuda"):
        OnnxNetwork(MODEL, "cuda")


def test_maps_of_another_shape_are_no_labels(tmp_path):
    model = onnx.load(MODEL)
    node = next(node for node in model.graph.node if "maps" in node.output)
    node.output[list(node.output).index("maps")] = "all"
    for name, value in (("from", 0), ("to", 1), ("axis", 1)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value]), name))
    model.graph.node.append(onnx.helper.make_node("Slice", ["all", "from", "to", "axis"], ["maps"]))
    onnx.save(model, tmp_path / "one.onnx")
    network = OnnxNetwork(tmp_path / "one.onnx", "cpu")
    with pytest.raises(RunError, match=r"the network's maps have the shape \(2, 1, 224, 224\)"):
        network.maps(np.zeros((2, 3, 224, 224), np.float32))
