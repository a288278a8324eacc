"""`infer/` in the environment that ships: no torch there, and it is not missed."""

import os
import subprocess

import cv2
import pytest
import tifffile

from tests.conftest import LEAN_PYTHON, MODEL, ROOT, needs_network
from train.simulate import simulate

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("FLOWMASK_LEAN_PYTHON") and not LEAN_PYTHON.exists(),
        reason=f"there is no run-time environment at {LEAN_PYTHON}; `make test` makes it",
    ),
    needs_network,
]


def test_torch_is_absent():
    done = subprocess.run([LEAN_PYTHON, "-c", "import torch"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "No module named 'torch'" in done.stderr


@pytest.mark.slow
def test_predict_segments_without_torch(tmp_path):
    (tmp_path / "in").mkdir()
    sample = simulate("fluorescence_nuclei", (120, 150), 2, 25)
    cv2.imwrite(str(tmp_path / "in" / "a.png"), sample.image)
    path = f"{LEAN_PYTHON.parent}{os.pathsep}{os.environ['PATH']}"
    command = ["sh", ROOT / "predict.sh", tmp_path / "in", tmp_path / "out", "--diameter", "25"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tifffile.imread(tmp_path / "out" / "a_label.tiff").max() > 2


@pytest.mark.slow
def test_nothing_is_reported_home(tmp_path):
    """ONNX Runtime's telemetry leaves a device id and a queue in the home folder; ours must leave neither."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    code = f"from infer.network.session import OnnxNetwork; from pathlib import Path; OnnxNetwork(Path({str(MODEL)!r}))"
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([LEAN_PYTHON, "-c", code], check=True, cwd=ROOT, env=environment)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower()]
