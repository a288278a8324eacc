"""The GPU benchmark's parts on the CPU, small: what they compute, and what they say of what they cannot measure."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from flowmask.cli import MODEL  # noqa: E402
from flowmask.network.session import OnnxNetwork  # noqa: E402

from bench.ceiling import ceilings, tile_operations  # noqa: E402
from bench.gpu import Bench, _end, _infer, compare_labels, follow_paths, measure_tiles, report, run_slide  # noqa: E402
from bench.speed import environment_of  # noqa: E402
from bench.stages import stages  # noqa: E402
from train.checkpoint import load  # noqa: E402
from train.simulate import simulate  # noqa: E402

CHECKPOINT = MODEL.with_suffix(".pt")
needs_network = pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is not built")


def bench(folder):
    return Bench("cpu", True, 10_000, 450, Path("absent"), folder)


@needs_network
def test_operations_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    network, _ = load(CHECKPOINT)
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network(torch.zeros(1, 3, 64, 64))
    assert tile_operations(MODEL, 64) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_ceilings_are_rates():
    found = ceilings("cpu", 64, 4)
    assert set(found) == {f"{what}, fp{bits}" for what in ("matrix product", "convolution") for bits in (16, 32)}
    assert all(1e5 < rate < 1e14 for rate in found.values())


@needs_network
def test_every_stage_of_a_slide_has_its_time(tmp_path):
    import tifffile

    image = simulate("fluorescence_nuclei", (460, 300), 1, 30).image
    tifffile.imwrite(tmp_path / "a.tif", image)
    found = stages(tmp_path / "a.tif", OnnxNetwork(MODEL, "cpu"), 1, 1.0)
    names = ["percentiles", "reading and tiles", "network", "bare network", "blending", "dynamics", "label file"]
    assert list(found) == names
    assert all(0 < seconds < 100 for seconds in found.values())


def test_both_ways_to_follow_paths_agree(tmp_path):
    made = bench(tmp_path)
    follow_paths(made)
    assert made.details["ends of paths that differ"] == 0
    assert len(made.figures) == 2


@needs_network
def test_labels_tiles_and_slide_have_their_figures_in_both_precisions(tmp_path):
    made = bench(tmp_path)
    made.networks, made.side = {"fp32": MODEL, "fp16": MODEL}, 400
    for work in (compare_labels, measure_tiles, run_slide):
        work(made)
    assert all(made.figures[f"labels {precision}, simulated images, F1 at IoU 0.9"] == 1 for precision in made.networks)
    assert "labels fp32, real images, F1 at IoU 0.9" not in made.figures
    assert "labels of real images" in made.left_out
    assert made.figures["largest difference of maps, fp16"] == 0
    assert made.details["cells that the labels are compared by"] > 50
    for precision in made.networks:
        rates = [f"tiles a second, {precision}, {way}" for way in ("copied", "resident")]
        for name in (*rates, f"slide {precision}, s", f"stage network, {precision}, s"):
            assert made.figures[name] > 0
        assert made.details[f"slide {precision}"]["cells"] > 20
        assert 0.05 < made.figures[f"slide {precision}, host memory, GB"] < 5
    assert "slide fp32, GPU memory, GB" not in made.figures


@needs_network
def test_a_slide_that_fails_says_why(tmp_path):
    made = bench(tmp_path)
    made.networks = {"fp32": MODEL}
    (tmp_path / "a.tif").write_bytes(b"II*\0 no more")
    with pytest.raises(RuntimeError, match="a.tif: it is cut short"):
        _infer(made, tmp_path / "a.tif", "fp32")
    made.networks["fp32"] = tmp_path / "absent.onnx"
    with pytest.raises(RuntimeError, match="there is no such network file"):
        _infer(made, tmp_path / "a.tif", "fp32")


def test_a_part_that_fails_or_has_no_time_is_left_out_with_the_reason(tmp_path, capsys, monkeypatch):
    def broken(_):
        raise Fail("no such device")

    monkeypatch.setattr("bench.record.RESULTS", tmp_path / "results")
    monkeypatch.setattr("bench.gpu.gpu_name", lambda index: "NVIDIA H100 80GB HBM3")
    made = bench(tmp_path)
    made.part("tiles", 10, broken)
    assert "no such device" in (tmp_path / "results" / "gpu.json").read_text()
    made.small, made.side = False, 10_000
    made.part("slide", 10_000, broken)
    made.figures["times faster than cellpose"] = 12.0
    made.figures["slide fp32, s"] = 31.0
    assert report(made) == 1
    said = capsys.readouterr().out
    assert "left out: tiles: it failed: Fail: no such device" in said
    assert "may take 10000 s" in said
    lines = {line.split("|")[1].strip(): line.split("|")[-2].strip() for line in said.splitlines() if "|" in line}
    assert lines["times faster than cellpose"] == "yes"
    assert lines["slide fp32, s"] == "no"
    assert lines["labels fp16, real images, F1 at IoU 0.9"] == ""
    for field, value in (("small", True), ("side", 2000)):
        kept = getattr(made, field)
        setattr(made, field, value)
        report(made)
        assert "yes" not in capsys.readouterr().out
        setattr(made, field, kept)
    monkeypatch.setattr("bench.gpu.gpu_name", lambda index: "NVIDIA A10G")
    report(made)
    assert "yes" not in capsys.readouterr().out
    assert (tmp_path / "results" / "gpu.json").exists()
    assert np.isfinite(made.details["seconds of the part: tiles"])


def test_a_run_that_is_told_to_end_prints_what_it_has(tmp_path, capsys, monkeypatch):
    def told(_):
        _end(signal.SIGTERM, None)

    monkeypatch.setattr("bench.record.RESULTS", tmp_path / "results")
    made = bench(tmp_path)
    made.figures["slide fp32, s"] = 31.0
    made.part("paths", 10, told)
    made.part("cellpose", 10, lambda _: pytest.fail("it was begun"))
    assert report(made) == 0
    said = capsys.readouterr().out
    assert "31" in said
    assert "left out: paths: it was not finished: the run was told to end" in said
    assert "left out: cellpose: " in said


def test_another_python_gets_none_of_this_ones_packages_and_libraries(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/wheels")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/cuda")
    assert environment_of(sys.executable)["PYTHONPATH"] == "/wheels"
    assert not {"PYTHONPATH", "LD_LIBRARY_PATH"} & environment_of("/elsewhere/python").keys()
    assert "HOME" in environment_of("/elsewhere/python")
