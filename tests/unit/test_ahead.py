"""Kernels compiled ahead of time: found, without Numba, the same labels; and not found once a source has changed."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from infer.ahead import HOMES

ROOT = Path(__file__).resolve().parents[2]
LABELS = """
import sys, numpy as np
from infer.compiled import AHEAD
from infer.ids import reused_ids
from infer.flows import labels_to_flows
from infer.settings import Settings
from infer.strip import label_rows
maps = np.random.default_rng(5).normal(size=(3, 700, 300)).astype(np.float32)
for axis in (1, 2):
    maps = sum(np.roll(maps, shift, axis) for shift in range(-4, 5)) / 3
parts = [maps[:, :400], maps[:, 400:]]
labels = np.concatenate(list(label_rows(parts, (700, 300), (900, 350), Settings(flow_threshold=2.0))))
ids = reused_ids(np.array([[0, 0, 9, 9], [3000, 0, 3009, 9]], np.int32), (5000, 5000))
np.savez(sys.argv[1], labels=labels, flows=labels_to_flows(labels), ids=ids)
print(AHEAD is not None, "numba" in sys.modules, labels.max() > 20)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package with its kernels compiled ahead."""
    if not (shutil.which("gcc") and shutil.which("g++") and find_spec("setuptools")):
        pytest.skip("compiling ahead needs gcc, g++ and setuptools")
    folder = tmp_path_factory.mktemp("ahead")
    shutil.copytree(ROOT / "infer", folder / "infer", ignore=shutil.ignore_patterns("__pycache__", "_ahead_*"))
    made = subprocess.run([sys.executable, "-m", "infer.ahead"], cwd=folder, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


def run(folder, out):
    done = subprocess.run([sys.executable, "-c", LABELS, str(out)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_compiled_ahead_or_now_the_arrays_are_the_same(copy, tmp_path):
    assert run(copy, tmp_path / "ahead.npz").startswith("True False True")
    assert run(ROOT, tmp_path / "now.npz").startswith("False True True")
    assert (tmp_path / "ahead.npz").read_bytes() == (tmp_path / "now.npz").read_bytes()


def test_every_file_with_kernels_is_compiled(copy):
    homes = {path.stem for path in (ROOT / "infer").glob("*.py") if "@kernel(" in path.read_text()}
    assert homes == set(HOMES)


def test_once_is_enough_and_a_changed_source_is_not_overlooked(copy, tmp_path):
    again = subprocess.run([sys.executable, "-m", "infer.ahead"], cwd=copy, capture_output=True, text=True)
    assert "up to date" in again.stdout
    with (copy / "infer" / "reach.py").open("a") as file:
        file.write("\n")
    assert run(copy, tmp_path / "other.npz").startswith("False True True")
