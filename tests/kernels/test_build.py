"""Kernels compiled ahead of time: found, without Numba, the same labels; and not found once a source has changed."""

import platform
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from flowmask.kernels.compiled import HOMES, SOURCES
from flowmask.system.cpu import is_x86_64_v3
from tests.conftest import ROOT, needs_network
from tests.reference.imports import imported

MODULES = {
    ".".join(path.relative_to(ROOT / "infer").with_suffix("").parts): path for path in (ROOT / "infer").rglob("*.py")
}
LABELS = """
import sys, numpy as np
from infer.kernels.compiled import AHEAD
from infer.labels.reused_ids import reused_ids
from infer.families.flow.targets import labels_to_flows
from infer.options import Segmentation
from infer.families.flow.strip import label_rows
maps = np.random.default_rng(5).normal(size=(3, 700, 300)).astype(np.float32)
for axis in (1, 2):
    maps = sum(np.roll(maps, shift, axis) for shift in range(-4, 5)) / 3
parts = [maps[:, :400], maps[:, 400:]]
labels = np.concatenate(list(label_rows(parts, (700, 300), (900, 350), Segmentation(flow_threshold=2.0))))
ids = reused_ids(np.array([[0, 0, 9, 9], [3000, 0, 3009, 9]], np.int32), (5000, 5000))
np.savez(sys.argv[1], labels=labels, flows=labels_to_flows(labels), ids=ids)
print(AHEAD is not None, "numba" in sys.modules, labels.max() > 20)
"""


EXAMPLES = """
import doctest, sys
from importlib import import_module
from infer.kernels.compiled import AHEAD
flags = doctest.IGNORE_EXCEPTION_DETAIL  # errors have another module here: infer.errors
found = [doctest.testmod(import_module(name), optionflags=flags) for name in sys.argv[1:]]
print(AHEAD is not None, sum(one.failed for one in found), sum(one.attempted for one in found))
"""


def copied(folder):
    folder.mkdir(exist_ok=True)
    (folder / "models").symlink_to(ROOT / "models")
    shutil.copytree(ROOT / "infer", folder / "infer", ignore=shutil.ignore_patterns("__pycache__", "_ahead_*"))
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package with its kernels compiled ahead."""
    if not (shutil.which("gcc") and shutil.which("g++") and find_spec("setuptools")):
        pytest.skip("compiling ahead needs gcc, g++ and setuptools")
    folder = copied(tmp_path_factory.mktemp("ahead"))
    made = subprocess.run([sys.executable, "-m", "infer.kernels.build"], cwd=folder, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


def run(folder, out):
    done = subprocess.run([sys.executable, "-c", LABELS, str(out)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_compiled_ahead_or_now_the_arrays_are_the_same(copy, tmp_path):
    assert run(copied(tmp_path), tmp_path / "now.npz").startswith("False True True")
    expected = (tmp_path / "now.npz").read_bytes()
    for module in copy.glob("infer/kernels/_ahead_*"):
        if "_v3" not in module.name or is_x86_64_v3():
            folder = tmp_path / module.name
            copied(folder)
            shutil.copy(module, folder / "infer" / "kernels")
            assert run(folder, tmp_path / "ahead.npz").startswith("True False True")
            assert (tmp_path / "ahead.npz").read_bytes() == expected


@pytest.mark.slow
def test_the_module_for_this_processor_is_used(copy):
    code = "import infer.kernels.compiled; print(infer.kernels.compiled.AHEAD.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    names = {module.name.split(".")[0] for module in copy.glob("infer/kernels/_ahead_*")}
    assert len(names) == 1 + (platform.machine() in ("x86_64", "AMD64"))
    assert done.stdout.strip().split(".")[-1] == (max if is_x86_64_v3() else min)(names)


@pytest.mark.slow
@needs_network
def test_examples_in_docstrings_hold_with_compiled_kernels_too(copy):
    counts = {name: path.read_text().count(">>> ") for name, path in MODULES.items()}
    names = [f"infer.{name}".removesuffix(".__init__") for name, count in counts.items() if count]
    done = subprocess.run([sys.executable, "-c", EXAMPLES, *names], cwd=copy, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"True 0 {sum(counts.values())}\n", 0), done.stderr


def test_every_file_with_kernels_is_compiled():
    homes = {name for name, path in MODULES.items() if "@kernel(" in path.read_text()}
    assert homes == set(HOMES)


@pytest.mark.parametrize("source", SOURCES)
def test_what_kernels_are_made_of_counts(source):
    ours = {name.removeprefix("infer.") for name in imported(MODULES[source], ROOT) if name.startswith("infer.")}
    assert ours <= set(SOURCES)
    assert ours or source not in HOMES


@pytest.mark.slow
@pytest.mark.parametrize(
    "array", ["np.zeros((4, 4), np.int64)", "np.zeros((4, 8), np.int32)[:, ::2]", "np.zeros(4, 'i4')"]
)
def test_an_array_of_another_kind_is_refused(copy, array):
    code = f"import numpy as np; from infer.families.flow.targets import label_boxes; label_boxes({array}, 1)"
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert "TypeError: label_boxes: argument 1 must be a C-contiguous array with 2 axes of i4" in done.stderr


@pytest.mark.slow
def test_a_damaged_module_is_not_used(copy, tmp_path):
    shutil.copytree(copy, tmp_path / "damaged")
    modules = sorted((tmp_path / "damaged" / "infer" / "kernels").glob("_ahead_*"))
    for module in modules:
        module.write_bytes(b"no module")
    code = "import infer.kernels.compiled; print(infer.kernels.compiled.AHEAD)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "damaged", capture_output=True, text=True)
    assert done.stdout == "None\n"
    for module in modules:
        if "_v3" not in module.name or is_x86_64_v3():
            assert f"{module}: the compiled kernels cannot be loaded" in done.stderr


@pytest.mark.slow
def test_code_that_is_kept_is_not_that_of_other_sources(tmp_path):
    """Numba looks at the file of a kernel alone; what the kernel calls lies in another one here."""
    code = (
        "import numpy as np; from infer.labels.reused_ids import reused_ids\n"
        "print(reused_ids(np.array([[0, 0, 5, 5], [9, 9, 14, 14]], np.int32), (5000, 5000)))"
    )
    folder = copied(tmp_path)
    outputs = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
        outputs.append(done.stdout)
        labels = folder / "infer" / "labels" / "labels.py"
        changed = re.sub("^INT16_CELLS, (.*) = .*, ", r"INT16_CELLS, \1 = 1, ", labels.read_text(), flags=re.MULTILINE)
        assert changed.count("\nINT16_CELLS, UINT16_CELLS = 1, 65_535\n") == 1
        labels.write_text(changed)
    assert outputs == ["[0 1 2]\n", "None\n"]


@pytest.mark.slow
def test_once_is_enough_and_a_changed_source_is_not_overlooked(copy):
    again = subprocess.run([sys.executable, "-m", "infer.kernels.build"], cwd=copy, capture_output=True, text=True)
    assert "up to date" in again.stdout
    with (copy / "infer" / "families" / "flow" / "constants.py").open("a") as file:
        file.write("\n")
    code = "import infer.kernels.compiled; print(infer.kernels.compiled.AHEAD)"
    assert subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True).stdout == "None\n"
