"""What a session on a GPU is asked for, and what comes of its refusals: CUDA is pretended, the processor computes."""

from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest

import flowmask
from flowmask.errors import NoRoomError, SettingsError
from flowmask.network import gpu as gpu_module
from flowmask.network import session
from flowmask.network.bound_maps import SHRINK, BoundMaps
from flowmask.network.gpu import CONTEXT, CPU, CUDA, SHARE, TENSORRT
from flowmask.network.halving import Halving
from flowmask.network.session import OnnxNetwork
from flowmask.options import Options
from flowmask.runs.jobs import Job
from flowmask.runs.prepare import prepare
from flowmask.runs.record import FAILED
from flowmask.system.nvml import GpuMemory
from tests.conftest import MODEL, needs_network

pytestmark = needs_network
GIB = 2**30
REAL = onnxruntime.InferenceSession


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with 8 GiB free of 9: what sessions were asked for, and how many tiles at once there is memory for."""
    pretended = SimpleNamespace(requests=[], most=99, runs=[], given_back=[], memory=GpuMemory(8 * GIB, GIB), own=None)

    class Session(REAL):
        def __init__(self, path, options, providers, **others):
            super().__init__(path, options, providers=[CPU])
            self._pretended = [one[0] if isinstance(one, tuple) else one for one in providers]
            pretended.requests.append(dict(one for one in providers if isinstance(one, tuple)))

        def get_providers(self):
            return self._pretended

        def run(self, outputs, given, options=None):
            if options:
                pretended.given_back.append(options.get_run_config_entry(SHRINK))
            return super().run(outputs, given, options)

        def run_with_iobinding(self, binding, options=None):
            tiles = binding.tiles
            pretended.runs.append(tiles)
            if tiles > pretended.most:
                raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")
            super().run_with_iobinding(binding, options)

    class Bound(BoundMaps):
        def __init__(self, opened, device, index, heads):
            assert device == "cuda"
            super().__init__(opened, "cpu", 0, heads)

        def _make_room(self, shape):
            super()._make_room(shape)
            self._binding.tiles = shape[0]

    monkeypatch.setattr(session.onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(session.onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(session.onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(session, "BoundMaps", Bound)
    monkeypatch.setattr(gpu_module, "gpu_memory", lambda index: pretended.memory)
    monkeypatch.setattr(gpu_module, "own_memory", lambda index: pretended.own)
    monkeypatch.setattr(gpu_module, "gpu_count", lambda: 2)
    return pretended


@pytest.fixture
def half(onnx, tmp_path):
    """The path of the network with a tensor of half precision in it."""
    model = onnx.load(MODEL)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float16), "spare"))
    onnx.save(model, tmp_path / "half.onnx")
    return tmp_path / "half.onnx"


def test_cuda_is_asked_for_no_search_no_doubling_and_no_tf32(gpu):
    network = OnnxNetwork(MODEL, "cuda:1", gpu_memory="3G")
    (providers,) = gpu.requests
    assert providers[CUDA] == {
        "device_id": "1",
        "gpu_mem_limit": str(network.gpu_memory),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }
    assert (network.device, network.fallback) == ("cuda:1", None)
    assert network.runtime.endswith(CUDA)


def test_half_precision_keeps_the_tensor_cores(gpu, half):
    OnnxNetwork(half, "cuda")
    assert gpu.requests[0][CUDA]["use_tf32"] == "1"


@pytest.mark.parametrize("in_half", [False, True])
def test_tensorrt_may_compute_in_half_precision_where_the_network_does(gpu, tmp_path, monkeypatch, half, in_half):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    OnnxNetwork(half if in_half else MODEL, "tensorrt")
    assert gpu.requests[0][TENSORRT]["trt_fp16_enable"] == str(in_half)


@pytest.mark.parametrize(
    ("limit", "room"), [(None, int(SHARE * 8 * GIB)), ("3G", 3 * GIB), ("100G", int(SHARE * 8 * GIB))]
)
def test_nine_tenths_of_what_is_free_are_taken_at_most(gpu, limit, room):
    assert OnnxNetwork(MODEL, "cuda", gpu_memory=limit).gpu_memory == room - CONTEXT


def test_a_gpu_without_room_is_refused_by_name_and_passed_over_by_auto(gpu, caplog):
    gpu.memory = GpuMemory(GIB, 8 * GIB)
    with pytest.raises(SettingsError, match=r"`device='cuda'`: less than 1.5G of GPU memory may be used"):
        OnnxNetwork(MODEL, "cuda")
    assert OnnxNetwork(MODEL, "auto").device == "cpu"
    assert "the network runs on the CPU: less than 1.5G" in caplog.text


def test_tensorrt_keeps_its_engines_in_a_folder_that_is_made(gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    network = OnnxNetwork(MODEL, "tensorrt")
    cache = gpu.requests[0][TENSORRT]["trt_engine_cache_path"]
    assert network.device == "tensorrt"
    assert (tmp_path / "cache").resolve() in (tmp_path / cache).resolve().parents
    assert (tmp_path / cache).is_dir()


def test_memory_in_use_is_that_of_the_process_or_what_has_come_since(gpu):
    network = OnnxNetwork(MODEL, "cuda")
    gpu.memory = GpuMemory(5 * GIB, 4 * GIB)
    assert network.used_gpu_memory() == 3 * GIB
    gpu.own = 2 * GIB
    assert network.used_gpu_memory() == 2 * GIB


def test_a_session_that_refuses_gets_half_as_many_tiles_and_gives_the_same_maps(gpu, caplog):
    tiles = np.random.default_rng(0).normal(0.5, 0.3, (7, 3, 64, 64)).astype(np.float32)
    expected = OnnxNetwork(MODEL, "cpu").maps(tiles)
    gpu.most = 2
    found = Halving(OnnxNetwork(MODEL, "cuda")).maps(tiles)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert gpu.runs == [7, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1]
    assert gpu.given_back == ["cpu:0"] * 2
    assert "not enough memory for 7 tiles at once; the rest of this image runs 3 at a time." in caplog.text
    gpu.most = 0
    with pytest.raises(NoRoomError, match="cannot be run on one tile .*; use a machine with more memory"):
        Halving(OnnxNetwork(MODEL, "cuda")).maps(tiles)


@pytest.mark.slow
def test_an_image_has_the_labels_of_the_cpu_on_a_gpu_that_refuses(gpu):
    y, x = np.mgrid[:230, :1000]
    image = np.exp(-(((y % 40) - 20) ** 2 + ((x % 40) - 20) ** 2) / 120).astype(np.float32)
    expected = flowmask.segment(image, OnnxNetwork(MODEL, "cpu"), flowmask.Segmentation(diameter=30)).labels
    gpu.most = 2
    found = flowmask.segment(image, OnnxNetwork(MODEL, "cuda"), flowmask.Segmentation(diameter=30)).labels
    assert max(gpu.runs) > 2
    assert expected.max() > 50
    np.testing.assert_array_equal(found, expected)


def test_what_tiles_of_other_shapes_left_is_given_back_before_fewer_go_through(gpu, monkeypatch, caplog):
    tiles = np.random.default_rng(0).normal(0.5, 0.3, (4, 3, 64, 64)).astype(np.float32)
    network = OnnxNetwork(MODEL, "cuda")
    gpu.most = 2
    give_back = network._bound._free_unused
    monkeypatch.setattr(network._bound, "_free_unused", lambda: give_back() or setattr(gpu, "most", 4))
    assert Halving(network).maps(tiles).shape == (4, 3, 64, 64)
    assert gpu.runs == [4, 4]
    assert caplog.text == ""


def test_a_failure_that_stays_is_the_last_outcome_of_its_process(gpu, tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8))
    segment = prepare([MODEL], Options(flowmask.Segmentation(diameter=30), flowmask.Runtime(device="cuda")), False)
    job = Job(tmp_path / "a.png", tmp_path / "a_label.tiff")
    assert not list(segment(job))[-1].last

    def fail(binding, options=None):
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=a")

    monkeypatch.setattr(session.onnxruntime.InferenceSession, "run_with_iobinding", lambda self, *given: fail(*given))
    outcome = list(segment(job))[-1]
    assert (outcome.status, outcome.last) == (FAILED, True)
    assert "a.png: the GPU failed while the network ran (CUDA failure 700: an illegal memory access" in outcome.reason
    assert gpu.given_back == []


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_gpu_that_is_not_there_is_not_called_full(gpu, monkeypatch, gpus):
    monkeypatch.setattr(gpu_module, "gpu_count", lambda: gpus)
    monkeypatch.setattr(gpu_module, "_gpu_session", lambda *given: "libcuda.so.1: cannot open shared object file")
    with pytest.raises(SettingsError) as error:
        OnnxNetwork(MODEL, "cuda:1", gpu_memory="1G")
    assert "can be seen (with Docker: --gpus), and CUDA did not load (libcuda.so.1: " in str(error.value)
    assert "); install NVIDIA driver R580 or newer, or use `device='cpu'`." in str(error.value)
    assert "1.5G" not in str(error.value)


def test_a_gpu_that_is_full_is_not_said_to_need_another_driver(gpu, monkeypatch):
    monkeypatch.setattr(gpu_module, "_gpu_session", lambda *given: "CUDA failure 2: out of memory")
    with pytest.raises(
        SettingsError, match=r"CUDA did not load \(CUDA failure 2: out of memory\); free some GPU memory, or"
    ):
        OnnxNetwork(MODEL, "cuda")


@pytest.mark.slow
def test_the_largest_group_of_tiles_goes_first_so_that_room_is_made_once(gpu):
    y, x = np.mgrid[:300, :1500]
    image = np.exp(-(((y % 40) - 20) ** 2 + ((x % 40) - 20) ** 2) / 120).astype(np.float32)
    image[:, 300:900] = 0
    network, made = OnnxNetwork(MODEL, "cuda"), []
    make_room = network._bound._make_room
    network._bound._make_room = lambda shape: made.append(shape[0]) or make_room(shape)
    flowmask.segment(image, network, runtime=flowmask.Runtime(batch=3), diameter=30)
    assert made == [3]
    assert len(gpu.runs) > 2
