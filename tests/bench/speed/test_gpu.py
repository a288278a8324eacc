"""The parts of the GPU benchmark on the CPU at small sizes, and how it reports what it cannot measure."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from bench.cellpose import environment_of  # noqa: E402
from bench.speed.gpu import Bench, _end, _infer, compare_labels, measure_tiles, report, run_slide  # noqa: E402
from flowmask.network.registry import default_network  # noqa: E402

MODEL = default_network()
needs_network = pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is missing")


def bench(folder):
    return Bench("cpu", True, 10_000, 450, Path("absent"), folder)


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
    with pytest.raises(RuntimeError, match="a.tif: it is incomplete"):
        _infer(made, tmp_path / "a.tif", "fp32")
    made.networks["fp32"] = tmp_path / "absent.onnx"
    with pytest.raises(RuntimeError, match="there is no such network file"):
        _infer(made, tmp_path / "a.tif", "fp32")


def test_a_part_that_fails_or_has_no_time_is_left_out_with_the_reason(tmp_path, capsys, monkeypatch):
    def broken(_):
        raise Fail("no such device")

    monkeypatch.setattr("bench.record.RESULTS", tmp_path / "results")
    monkeypatch.setattr("bench.speed.gpu.gpu_name", lambda index: "NVIDIA H100 80GB HBM3")
    made = bench(tmp_path)
    made.part("tiles", 10, broken)
    assert "no such device" in (tmp_path / "results" / "gpu.json").read_text()
    made.small, made.side = False, 10_000
    made.part("slide", 10_000, broken)
    made.figures["times faster than cellpose"] = 12.0
    made.figures["slide fp32, s"] = 31.0
    assert report(made) == 1
    printed = capsys.readouterr().out
    assert "left out: tiles: it failed: Fail: no such device" in printed
    assert "may take 10000 s" in printed
    lines = {line.split("|")[1].strip(): line.split("|")[-2].strip() for line in printed.splitlines() if "|" in line}
    assert lines["times faster than cellpose"] == "yes"
    assert lines["slide fp32, s"] == "no"
    assert lines["labels fp16, real images, F1 at IoU 0.9"] == ""
    for field, value in (("small", True), ("side", 2000)):
        before = getattr(made, field)
        setattr(made, field, value)
        report(made)
        assert "yes" not in capsys.readouterr().out
        setattr(made, field, before)
    monkeypatch.setattr("bench.speed.gpu.gpu_name", lambda index: "NVIDIA A10G")
    report(made)
    assert "yes" not in capsys.readouterr().out
    assert (tmp_path / "results" / "gpu.json").exists()
    assert np.isfinite(made.details["seconds of the part: tiles"])


def test_a_run_that_is_stopped_prints_its_figures(tmp_path, capsys, monkeypatch):
    def stopped(_):
        _end(signal.SIGTERM, None)

    monkeypatch.setattr("bench.record.RESULTS", tmp_path / "results")
    made = bench(tmp_path)
    made.figures["slide fp32, s"] = 31.0
    made.part("labels", 10, stopped)
    made.part("cellpose", 10, lambda _: pytest.fail("it was started"))
    assert report(made) == 0
    printed = capsys.readouterr().out
    assert "31" in printed
    assert "left out: labels: it was not finished: the run was stopped" in printed
    assert "left out: cellpose: " in printed


def test_another_python_gets_none_of_this_ones_packages_and_libraries(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/wheels")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/cuda")
    assert environment_of(sys.executable)["PYTHONPATH"] == "/wheels"
    assert not {"PYTHONPATH", "LD_LIBRARY_PATH"} & environment_of("/elsewhere/python").keys()
    assert "HOME" in environment_of("/elsewhere/python")
