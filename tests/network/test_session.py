"""What opens a network file and what it refuses."""

import logging

import numpy as np
import onnxruntime
import pytest

from flowmask.cli import main
from flowmask.errors import NetworkError, NoRoomError, RunError, SettingsError
from flowmask.network.bound_maps import BoundMaps
from flowmask.network.contract import FLOW_HEADS, KEY
from flowmask.network.gpu import CPU, CUDA
from flowmask.network.session import OnnxNetwork, _translate_errors
from flowmask.runs.batch import WRONG_USAGE
from flowmask.system.nvml import gpu_count
from tests.conftest import MODEL, needs_network

pytestmark = needs_network


def test_outputs_have_the_shapes_of_the_contract(network):
    tiles = np.random.default_rng(0).normal(0.5, 0.3, (2, network.contract.inputs, 64, 96)).astype(np.float32)
    maps = network.maps(tiles)
    assert (maps.shape, maps.dtype) == ((2, 3, 64, 96), np.float32)
    diameters = network.diameters(tiles)
    assert diameters.shape == (2,)
    assert (diameters > 0).all()
    assert (network.device, network.fallback, network.gpu_memory) == ("cpu", None, None)
    assert network.used_gpu_memory() is None


def test_a_tile_that_does_not_fit_is_one_sentence(network):
    with pytest.raises(RunError, match="the network cannot be run on one tile"):
        network.maps(np.zeros((1, 7, 64, 64), np.float32))


def test_files_that_are_no_network(tmp_path):
    with pytest.raises(NetworkError, match="there is no such network file"):
        OnnxNetwork(tmp_path / "absent.onnx", "cpu")
    (tmp_path / "cut.onnx").write_bytes(MODEL.read_bytes()[:100_000])
    with pytest.raises(NetworkError, match="cut.onnx: it is not an ONNX file, or it is damaged"):
        OnnxNetwork(tmp_path / "cut.onnx", "cpu")


def test_a_network_whose_input_is_not_the_contracts(onnx, tmp_path):
    model = onnx.load(MODEL)
    entry = next(entry for entry in model.metadata_props if entry.key == KEY)
    entry.value = entry.value.replace('"channels": "rgb"', '"channels": "green-blue"')
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(NetworkError, match="a.onnx: its inputs .* differ from those in its contract"):
        OnnxNetwork(tmp_path / "a.onnx", "cpu")


no_gpu = pytest.mark.skipif(gpu_count() > 0, reason="this machine has a GPU")


@no_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:2", "tensorrt"])
def test_a_device_that_is_asked_for_and_absent_is_one_sentence(tmp_path, capsys, device):
    with pytest.raises(
        SettingsError, match=f"`device='{device}'`: no NVIDIA GPU can be seen .*, or use `device='cpu'`"
    ):
        OnnxNetwork(MODEL, device)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"")
    assert main(["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--device", device]) == WRONG_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --device {device}: no NVIDIA GPU can be seen")
    assert list((tmp_path / "out").iterdir()) == []


@no_gpu
def test_a_file_that_is_at_fault_is_named_before_the_device(onnx, tmp_path):
    model = onnx.load(MODEL)
    model.graph.node[0].op_type = "Nonsense"
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(NetworkError, match="a.onnx: ONNX Runtime cannot open it"):
        OnnxNetwork(tmp_path / "a.onnx", "cuda")


@no_gpu
def test_auto_runs_on_the_cpu_and_says_so_where_there_might_be_a_gpu(caplog):
    with caplog.at_level(logging.WARNING):
        network = OnnxNetwork(MODEL, "auto")
    assert network.device == "cpu"
    if CUDA in onnxruntime.get_available_providers():
        assert "no NVIDIA GPU can be seen" in network.fallback
        assert network.fallback in caplog.text
    else:
        assert network.fallback is None
        assert caplog.text == ""


def test_a_bound_buffer_gives_the_bits_of_a_plain_run(network):
    random = np.random.default_rng(1)
    session = onnxruntime.InferenceSession(MODEL, providers=[CPU])
    bound = BoundMaps(session, "cpu", 0, FLOW_HEADS)
    shapes = [(3, 3, 64, 64), (3, 3, 64, 64), (2, 3, 64, 64), (1, 3, 64, 64), (4, 3, 64, 64), (2, 3, 96, 64)]
    batches = [random.normal(0.5, 0.3, shape).astype(np.float32) for shape in shapes]
    found = [bound.run(tiles) for tiles in batches]
    for tiles, maps in zip(batches, found, strict=True):
        np.testing.assert_array_equal(maps, network.maps(tiles))


def test_a_run_that_fails_leaves_a_bound_buffer_usable(network):
    bound = BoundMaps(onnxruntime.InferenceSession(MODEL, providers=[CPU]), "cpu", 0, FLOW_HEADS)
    tiles = np.random.default_rng(1).normal(0.5, 0.3, (2, 3, 64, 64)).astype(np.float32)
    bound.run(tiles)
    with pytest.raises(Exception, match="dimension|shape|Concat|Add"):
        bound.run(np.zeros((2, 3, 60, 64), np.float32))
    np.testing.assert_array_equal(bound.run(tiles[:1]), network.maps(tiles[:1]))


SAID = {
    "arena": "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Name:'Conv_111' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* "
    "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*, bool, "
    "onnxruntime::WaitNotificationFn) Failed to allocate memory for requested buffer of size 13111296",
    "limit": "bfc_arena.cc:360 Available memory of 1024 is smaller than requested bytes of 13111296",
    "CUDA": "onnxruntime::CudaCall CUDA failure 2: out of memory ; GPU=0 ; line=175 ; expr=cudaMalloc(&p, size);",
    "cuBLAS": "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; line=168 ; expr=cublasCreate(&cublas_handle_);",
    "cuDNN": "CUDNN failure 4003: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; GPU=0 ; line=73",
    "driver": "CUDA_ERROR_OUT_OF_MEMORY",
    "C++": "Non-zero status code returned while running FusedConv node. Status Message: std::bad_alloc",
}


@pytest.mark.parametrize("who", SAID)
def test_what_memory_that_runs_out_sounds_like(who):
    def run(tiles):
        raise RuntimeError(SAID[who])

    with pytest.raises(NoRoomError, match=r"the network cannot be run on 2 tiles"):
        _translate_errors(run, np.zeros((2, 3, 8, 8), np.float32))


def test_another_failure_of_a_gpu_is_none_of_memory():
    def run(tiles):
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=a")

    with pytest.raises(RunError, match="illegal memory access") as caught:
        _translate_errors(run, np.zeros((2, 3, 8, 8), np.float32))
    assert not isinstance(caught.value, NoRoomError)


def test_maps_of_another_shape_are_no_labels(onnx, tmp_path):
    model = onnx.load(MODEL)
    node = next(node for node in model.graph.node if "maps" in node.output)
    node.output[list(node.output).index("maps")] = "all"
    for name, value in (("from", 0), ("to", 1), ("axis", 1)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value]), name))
    model.graph.node.append(onnx.helper.make_node("Slice", ["all", "from", "to", "axis"], ["maps"]))
    onnx.save(model, tmp_path / "one.onnx")
    network = OnnxNetwork(tmp_path / "one.onnx", "cpu")
    with pytest.raises(RunError, match=r"the network's maps have the shape \(2, 1, 224, 224\) instead of"):
        network.maps(np.zeros((2, 3, 224, 224), np.float32))
