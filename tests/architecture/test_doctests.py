"""Every public function has an example in its docstring, and the examples do what they say."""

import ast
import doctest
from importlib import import_module

import pytest

from tests.conftest import MODEL, ROOT

INFER = ROOT / "infer"
NEEDS_NETWORK = ("load_network(", "default_network()")
EXAMPLES = {
    ".".join(("flowmask", *path.relative_to(INFER).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(INFER.rglob("*.py"))
    if ">>> " in path.read_text()
}
"""Modules with examples."""
GPU = "its result depends on the GPU and the driver; the tests pretend both"
PROCESS = "it starts or ends a process, or compiles code"
DECORATOR = "the kernels that it decorates have examples"
CLUSTER = "it needs a cluster, whose processes take seconds to start"
TERMINAL = "it prints on stderr or loads modules, and returns nothing"
OBJECT = "its argument is a page or a series of tifffile, which a short example cannot make"
WRITER = "it is a step of `write_outputs`, which has an example"
SAVES = "its arguments are those of an image in the midst of a run; `write_outputs` has an example"
VENDOR = "its argument is a file of a microscope's vendor"
FOLDER = "its argument is a folder that a package of an extra writes"
TRAINING = "it needs PyTorch and minutes"
SERVES = "it serves a page until it is interrupted"
RUNS = "its arguments are those of an image in the midst of a run on a cluster"
STEP = "it is a step of `label_rows` of the same file, which has an example"
WITHOUT = {
    "families/watershed/decode.py: cells_of": STEP,
    "families/watershed/decode.py: collect": STEP,
    "images/old_jpeg.py: decode_old_jpeg": OBJECT,
    "images/ome_zarr.py: open_ome_zarr": FOLDER,
    "images/vendors/czi.py: open_czi": VENDOR,
    "images/vendors/lif.py: open_lif": VENDOR,
    "images/vendors/nd2.py: open_nd2": VENDOR,
    "runs/process.py: run": PROCESS,
    "runs/process.py: set_up_logging": TERMINAL,
    "runs/process.py: start": PROCESS,
    "runs/prepare.py: prepare": PROCESS,
    "runs/prepare.py: prepare_from": PROCESS,
    "cli.py: console": PROCESS,
    "cluster/address.py: connected": CLUSTER,
    "cluster/address.py: dashboard": CLUSTER,
    "cluster/executor.py: on_cluster": CLUSTER,
    "cluster/executor.py: over_workers": CLUSTER,
    "cluster/worker.py: segment_on_worker": CLUSTER,
    "cluster/worker.py: tell_idle": CLUSTER,
    "runs/shared.py: count": RUNS,
    "runs/shared.py: help_others": RUNS,
    "runs/shared.py: label_rows": RUNS,
    "sharing/share.py: help_with": RUNS,
    "training.py: run_training": TRAINING,
    "families/__init__.py: preload": TERMINAL,
    "images/tiff_info.py: describe": OBJECT,
    "images/tiff_info.py: display_only": OBJECT,
    "kernels/build.py: main": PROCESS,
    "kernels/compiled.py: inlined": DECORATOR,
    "kernels/compiled.py: kernel": DECORATOR,
    "kernels/compiled.py: part": DECORATOR,
    "network/gpu.py: memory_limit": GPU,
    "network/gpu.py: open_on_gpu": GPU,
    "network/gpu.py: used_memory": GPU,
    "outputs/geojson.py: write_geojson": WRITER,
    "outputs/h5ad.py: write_h5ad": WRITER,
    "outputs/ome_tiff.py: write_ome_tiff": WRITER,
    "outputs/ome_zarr.py: write_ome_zarr": WRITER,
    "outputs/overlay.py: write_overlay": WRITER,
    "outputs/parquet.py: write_parquet": WRITER,
    "outputs/report/card.py: write_card": WRITER,
    "outputs/rois.py: write_rois": WRITER,
    "outputs/table.py: write_table": WRITER,
    "runs/batch.py: run": PROCESS,
    "runs/executor.py: here": PROCESS,
    "runs/page.py: write_report": SAVES,
    "runs/process_file.py: outcomes": PROCESS,
    "runs/request.py: save_folder_table": SAVES,
    "runs/request.py: segmented": PROCESS,
    "runs/screen.py: complain": TERMINAL,
    "runs/worker.py: in_worker": PROCESS,
    "viewer/server.py: view": SERVES,
}
"""Public functions that may do without an example, and why a short one cannot be checked by hand."""


def functions_without_example():
    """Return the public functions of the package whose docstring has no example."""
    return {
        f"{path.relative_to(INFER).as_posix()}: {node.name}"
        for path in INFER.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        if ">>> " not in (ast.get_docstring(node) or "")
    }


def test_every_public_function_has_an_example():
    assert functions_without_example() == set(WITHOUT)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name):
    text = EXAMPLES[name].read_text()
    if not MODEL.is_file() and any(call in text for call in NEEDS_NETWORK):
        pytest.skip(f"the network file {MODEL.name} is missing")
    module = import_module(name)
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted == text.count(">>> ")


def test_there_are_examples():
    assert {"flowmask.api", "flowmask.options", "flowmask.families.blocks"} <= EXAMPLES.keys()
