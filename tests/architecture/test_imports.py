"""Who may import whom: read from the source, without running it."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache

import pytest

from flowmask.families import FAMILIES, family_of
from flowmask.network.contract import Contract
from tests.conftest import ROOT
from tests.reference.imports import imported

INFER = ROOT / "infer"
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
RULE = DESIGN.split("\n## Import rule\n")[1].split("\n## ")[0]
"""The section of docs/design.md that gives the order of the folders and that of the packages."""
NAMES_IN_CODE = re.compile(r"`([\w/]+)`")
FOLDERS = [name.strip("/") for name in NAMES_IN_CODE.findall(RULE.split("have an order: ")[1].split(".")[0])]
"""A folder imports itself, and those before it."""
CELLS = [line.split("|")[1] for line in RULE.splitlines() if line.startswith("| `")]
ORDER = [name.strip("/") for cell in CELLS for name in NAMES_IN_CODE.findall(cell)] + ["__init__", "__main__"]
"""A module imports its own package, and those before it."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULE_OF = {"opencv-python-headless": "cv2", "scikit-image": "skimage"}
"""The modules of packages with another name."""


def modules_of(requirements):
    """Return the modules that packages of pyproject.toml provide."""
    names = (re.split(r"[<>=\[]", requirement)[0] for requirement in requirements)
    return {MODULE_OF.get(name, name) for name in names}


RUNTIME = modules_of(PROJECT["dependencies"])
EXTRAS = {
    folder: modules_of(package for extra in extras for package in PROJECT["optional-dependencies"][extra])
    for folder, extras in {
        "cluster": ["cluster"],
        "images": ["zarr"],
        "outputs": ["outputs"],
        "vendors": ["formats"],
    }.items()
}
"""Folder -> the packages of extras that its modules import: inside functions, or in a module that only they import."""
HEAVY = ("torch", "train", "numpy", "numba", "onnxruntime", "cv2", "tifffile", "imagecodecs", "skimage", "scipy")
FILES = sorted(INFER.rglob("*.py"))
NAMES = [path.relative_to(INFER).as_posix() for path in FILES]


def package(name):
    """Return the entry of `ORDER` for the dotted name of a module of infer/."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def too_high(path, root=ROOT):
    """Return what a file of infer/ imports from packages that do not stand before its own."""
    own = package(".".join(path.relative_to(root).with_suffix("").parts))
    ours = [name for name in imported(path, root) if name.split(".")[0] == "infer"]
    return [name for name in ours if package(name) != own and ORDER.index(package(name)) > ORDER.index(own)]


def test_every_package_has_its_place_in_the_order():
    there = {package(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in FILES}
    assert sorted(ORDER) == sorted(there)


def test_packages_import_only_from_those_before_them():
    assert [(name, wrong) for name, path in zip(NAMES, FILES, strict=True) for wrong in too_high(path)] == []


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """A folder with a copy of infer/."""
    folder = tmp_path_factory.mktemp("copies")
    for path in FILES:
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    return folder


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("tiles/grid.py", "from ..families import Family"),
        ("tiles/grid.py", "from ..families.flow.follow import follow"),
        ("tiles/grid.py", "def f():\n    from .. import pipeline"),
        ("families/flow/block.py", "from ... import runs"),
        ("families/flow/block.py", "from ...runs import jobs"),
        ("options.py", "from .system.cpu import cores"),
        ("budget.py", "from .pipeline import plan_image"),
        ("pipeline.py", "from . import load_network"),
        ("system/cpu.py", "import infer.images.image"),
    ],
)
def test_the_rule_sees_what_breaks_it(copies, place, line):
    copy, text = copies / "infer" / place, (INFER / place).read_text()
    copy.write_text(text)
    assert too_high(copy, copies) == []
    copy.write_text(f"{text}\n{line}\n")
    assert len(too_high(copy, copies)) == 1


def test_infer_imports_the_run_time_set_alone():
    allowed = RUNTIME | {"infer"} | set(sys.stdlib_module_names)
    others = {
        name: {full.split(".")[0] for full in imported(path, ROOT)} - allowed - EXTRAS.get(path.parent.name, set())
        for name, path in zip(NAMES, FILES, strict=True)
    }
    assert {name: packages for name, packages in others.items() if packages} == {}


@pytest.mark.slow
def test_each_package_of_the_run_time_set_is_used():
    """Numba is imported by name, so that `kernels.compiled` is the only module that loads it.

    scikit-image is one of the packages that were fixed for the project; only the demo uses it.
    """
    used = {name.split(".")[0] for path in FILES for name in imported(path, ROOT)}
    assert used & RUNTIME == RUNTIME - {"numba", "skimage"}
    assert [name for name, path in zip(NAMES, FILES, strict=True) if 'import_module("numba' in path.read_text()] == [
        "kernels/build.py",
        "kernels/compiled.py",
    ]


def test_the_installed_package_holds_every_package():
    """The folders of infer/ are installed as flowmask, those of the training in flowmask/trainer."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    names = {"infer": "flowmask"} | {name: f"flowmask.trainer.{name}" for name in ("train", "export", "retrain")}
    folders = {
        ".".join((new, *path.parent.relative_to(ROOT / old).parts))
        for old, new in names.items()
        for path in (ROOT / old).rglob("*.py")
    }
    assert folders | {"flowmask.models"} == set(setuptools["packages"])


@pytest.mark.slow
def test_onnxruntime_has_one_door():
    users = {
        package(".".join(path.relative_to(ROOT).parts))
        for path in FILES
        if "onnxruntime" in {name.split(".")[0] for name in imported(path, ROOT)}
    }
    assert users == {"network"}


def outside_families():
    return [path for path in FILES if path.relative_to(INFER).parts[0] != "families"]


@pytest.mark.slow
def test_no_module_outside_families_imports_one_family():
    own = {f"infer.families{module}".rpartition(".")[0] for module in FAMILIES.values()}
    assert all((ROOT / name.replace(".", "/") / "family.py").is_file() for name in own)
    users = {
        path.relative_to(INFER).as_posix(): name
        for path in outside_families()
        for name in imported(path, ROOT)
        if name.startswith(tuple(own))
    }
    assert users == {}


def test_no_module_outside_families_names_an_option_of_a_family():
    words = set()
    for family in FAMILIES:
        words |= family_of(Contract("n", "rgb", 30.0, 30.0, False, "CC0", "none", family=family)).options
    assert "flow_threshold" in words
    users = {
        (path.relative_to(INFER).as_posix(), word)
        for path in outside_families()
        for word in words
        if word in path.read_text()
    }
    assert {word for name, word in users if name == "options.py"} == words
    assert {name for name, _ in users} == {"options.py"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_import_only_from_those_before_them(folder):
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    allowed = FOLDERS[: FOLDERS.index(folder) + 1]
    for path in files:
        tops = {name.split(".")[0] for name in imported(path, ROOT)}
        assert {"infer" if top == "flowmask" else top for top in tops} & set(FOLDERS) <= set(allowed), path


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
}


@cache
def names_of(path):
    """What a module defines or imports at its top, and the names that it gives by `__getattr__`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def full_name(path, node):
    """Return the module of a ``from ... import``, with flowmask's own as infer."""
    parts = path.relative_to(ROOT).parent.parts
    above = parts[: len(parts) + 1 - node.level] if node.level else ()
    name = ".".join([*above, *([node.module] if node.module else [])])
    return "infer" + name.removeprefix("flowmask") if name.split(".")[0] == "flowmask" else name


@pytest.mark.slow
def test_what_is_imported_from_a_file_of_ours_is_there():
    found = [
        (f"{path.relative_to(ROOT)}: {name}.{alias.name}", name, alias.name)
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for name in [full_name(path, node)]
        if name.split(".")[0] in FOLDERS
        for alias in node.names
    ]
    missing = [
        text
        for text, name, wanted in found
        if f"{name}.{wanted}" not in MODULES and (name not in MODULES or wanted not in names_of(MODULES[name]))
    ]
    assert len(found) > 1000
    assert not missing


def loaded_by(code):
    """Return the modules that are loaded once the code has run in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('loaded', *sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.rpartition("loaded ")[2].split())


def test_the_engine_needs_neither_scikit_image_nor_scipy():
    """Numba looks for scipy.linalg and does without it."""
    modules = loaded_by("""
sys.modules |= dict.fromkeys(("skimage", "scipy", "scipy.linalg"))
import numpy
from flowmask.labels.measure import measure
measure(numpy.ones((2, 3), numpy.int32), 0, numpy.zeros((1, 4), numpy.int32), numpy.zeros(1, numpy.int64))
""")
    assert "flowmask.labels.measure" in modules


def test_help_needs_none_of_the_heavy_packages():
    code = """
import contextlib, flowmask, flowmask.cli
flowmask.cli.build_parser().format_help()
flowmask.cli.build_commands().format_help()
flowmask.cli.flowmask(["models"])
for arguments in (["--help"], ["segment", "--help"], ["train", "--help"]):
    with contextlib.suppress(SystemExit):
        flowmask.cli.flowmask(arguments)
"""
    modules = loaded_by(code)
    assert "flowmask.cli" in modules
    assert not modules & set(HEAVY)


def test_the_network_can_be_opened_before_the_rest_is_loaded():
    modules = loaded_by("import flowmask.runs.prepare")
    assert {"flowmask.network.session", "onnxruntime"} <= modules
    assert not modules & {"tifffile", "cv2", "flowmask.pipeline", "flowmask.runs.process_file"}


@pytest.mark.slow
def test_a_run_can_begin_before_numba_is_there():
    modules = loaded_by("import flowmask.runs.process_file, flowmask.cli")
    assert {"flowmask.network.session", "onnxruntime"} <= modules
    assert not modules & {"numba", "skimage", "scipy"}


@pytest.mark.parametrize("module", ["infer", "flowmask"])
def test_the_package_runs_under_either_name(module):
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {'python -m infer' if module == 'infer' else 'flowmask'} ")
