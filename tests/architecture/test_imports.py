"""Who may import whom: read from the source, without running it."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

FORBIDDEN = {"torch", "onnx", "dask", "matplotlib", "train", "export", "bench", "tests", "cellpose", "pandas"}
RUNTIME = {"numpy", "onnxruntime", "tifffile", "skimage", "scipy", "numba", "cv2", "imagecodecs", "infer"}
ORDER = """
    errors settings contract memory nvml outputs sniff report jobs stop apart disk claim picture colours tiff image
    labels reach compiled cores bands percentiles normalise rescale tiling flows follow metrics external session backoff
    mirror overlap blend resume masks rolling strip ids ahead store write budget diameter pipeline finished progress
    work api cli __init__ __main__
""".split()  # noqa: SIM905


def imported(path):
    """Every module that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


FILES = sorted((ROOT / "infer").glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_infer_imports_the_run_time_set_alone(path):
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & FORBIDDEN
    assert tops - RUNTIME <= set(sys.stdlib_module_names) | {"__future__"}


def test_every_file_has_its_place_in_the_order():
    assert sorted(ORDER) == [path.stem for path in FILES]


@pytest.mark.parametrize("path", [p for p in FILES if not p.stem.startswith("__")], ids=lambda p: p.stem)
def test_each_file_imports_only_from_files_above_it(path):
    above = ORDER[: ORDER.index(path.stem)]
    inner = {name.split(".")[1] for name in imported(path) if name.startswith("infer.")}
    assert inner <= set(above)


@pytest.mark.parametrize("package", ["train", "export"])
def test_arrows_point_one_way(package):
    allowed = {"train": {"infer", "train"}, "export": {"infer", "train", "export"}}[package]
    for path in (ROOT / package).rglob("*.py"):
        ours = {name.split(".")[0] for name in imported(path)} & {"infer", "train", "export", "bench", "tests"}
        assert ours <= allowed, path


OURS = ("infer", "train", "export", "bench", "tests")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in OURS
    for path in (ROOT / package).rglob("*.py")
}


def names_of(path):
    """What a module defines or imports at its top, and the names that it gives by `__getattr__`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_what_is_imported_from_a_file_of_ours_is_there():
    missing = [
        f"{path.relative_to(ROOT)}: {node.module}.{alias.name}"
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module in MODULES
        for alias in node.names
        if f"{node.module}.{alias.name}" not in MODULES and alias.name not in names_of(MODULES[node.module])
    ]
    assert not missing


def test_onnxruntime_has_one_door():
    users = [p.stem for p in FILES if any(name.split(".")[0] == "onnxruntime" for name in imported(p))]
    assert users == ["session"]


def test_help_needs_none_of_the_heavy_packages():
    code = "import sys, flowmask.cli; flowmask.cli.build_parser().format_help(); print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for heavy in ("numba", "onnxruntime", "cv2", "tifffile", "skimage", "scipy"):
        assert f"'{heavy}'" not in modules


def test_a_run_can_begin_before_numba_is_there():
    code = "import sys, flowmask.runs.process_file, flowmask.cli; sys.exit('numba' in sys.modules or 'skimage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
