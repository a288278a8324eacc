"""OpenVINO beside ONNX Runtime: the table."""

import pytest

pytest.importorskip("torch", reason="the benchmarks need PyTorch")

from bench.speed.providers import text


def test_ratios_are_to_the_provider_of_onnx_runtime():
    runs = [
        {"way": "CPUExecutionProvider", "seconds": 0.02, "cpu_seconds": 0.02, "difference": 0.0},
        {"way": "OpenVINO", "seconds": 0.03, "cpu_seconds": 0.04, "difference": 2e-6},
    ]
    group = {"network": "small", "threads": 1, "runs": runs, "available": ["A", "B"], "versions": {"openvino": "2"}}
    shown = text({"hardware": "a processor", "networks": [group]})
    row = [cell.strip() for cell in shown.splitlines()[3].split("|")[1:-1]]
    assert row == ["small", "1", "OpenVINO", "30.0", "40.0", "1.50", "2.0e-06"]
    assert shown.endswith("a processor. Versions: openvino 2. Providers of this ONNX Runtime: A, B.")
