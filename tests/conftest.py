"""What the test files share: paths, the default network, and when a test is skipped."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import tifffile

import flowmask
from flowmask.kernels.compiled import HOMES
from flowmask.network.registry import default_network

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
"""The labelled images, where this machine has them."""
MODEL = default_network()
"""The default network of this checkout."""
LEAN_PYTHON = Path(os.environ.get("FLOWMASK_LEAN_PYTHON") or ROOT / ".venv/bin/python")
"""The Python of an environment with the run-time packages alone."""
needs_network = pytest.mark.skipif(not MODEL.is_file(), reason=f"the network file {MODEL.name} is missing")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the labelled images are not at {DATA}")


class WithoutTorch:
    """An entry of `sys.meta_path` that finds no PyTorch, as in an environment without it."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("a run without the tests of PyTorch does not load it", name=name)


def pytest_configure(config):
    """Hide PyTorch from a run that leaves its tests out, and share the cores between the processes of `pytest -n`."""
    if "not torch" in config.option.markexpr:
        sys.meta_path.insert(0, WithoutTorch)
    if "PYTEST_XDIST_WORKER" in os.environ:
        number, count = (os.environ[f"PYTEST_XDIST_WORKER{suffix}"] for suffix in ("", "_COUNT"))
        take_share_of_cores(int(number.removeprefix("gw")), int(count))


def take_share_of_cores(number, count):
    """Let this process use only its share of the cores, so that several do not start a thread on every core each."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[number % len(cores) :: count])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what needs the environment of the package cellpose."""
    for item in items:
        if {"cellpose_python", "cellpose_files"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.cellpose)


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels():
    """Compile all kernels first, so that no command that a test runs says on stderr that it compiles them.

    `python -m infer` keeps code of its own, because there the package has another name.
    """
    for home in HOMES:
        import_module(f"flowmask.{home}")
    imports = "\n".join(f"import infer.{home}" for home in HOMES)
    subprocess.run([sys.executable, "-c", imports], cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def network():
    """The default network, open on the CPU."""
    if not MODEL.is_file():
        pytest.skip(f"the network file {MODEL.name} is missing")
    return flowmask.load_network(MODEL, device="cpu")


def write_nuclei(path, shape, seed):
    """Write a simulated image (Y, X) of nuclei with a diameter of 26 px as TIFF."""
    from train.simulate import simulate

    tifffile.imwrite(path, simulate("fluorescence_nuclei", shape, seed, 26).image, photometric="minisblack")


@pytest.fixture
def folder(tmp_path):
    """A folder whose subfolder in/ holds two small images of nuclei, a1.tif and a2.tif."""
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        write_nuclei(tmp_path / "in" / f"a{number}.tif", (90, 110), number)
    return tmp_path


@pytest.fixture(scope="session")
def onnx():
    """The package onnx, which is not part of the run-time set."""
    return pytest.importorskip("onnx", reason="the package onnx is missing, as in a run-time environment")


@pytest.fixture(scope="session")
def cellpose_python() -> Path:
    """The Python of the environment that holds cellpose 3.1."""
    if named := os.environ.get("FLOWMASK_CELLPOSE_PYTHON"):
        return Path(named)
    python = ROOT / ".venv-cellpose/bin/python"
    if not python.exists():
        pytest.skip(f"there is no cellpose environment at {python}; `make test` makes it")
    return python


@pytest.fixture(scope="session")
def cellpose_files(cellpose_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that make_cellpose_files.py fills; made once per session."""
    folder = tmp_path_factory.mktemp("cellpose")
    script = ROOT / "tests/parity/make_cellpose_files.py"
    subprocess.run([cellpose_python, script, folder], check=True, timeout=1800)
    return folder
