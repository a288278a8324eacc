"""Work that runs in the Python environment of another program: `python -m bench.peer_runner TASK JOB.json`.

Each task reads its job and writes ``figures.json`` into the folder ``output`` of the job. The task ``measure`` also
runs Flowmask, in its own environment, so that all programs are measured by the same lines.

Trained networks of cellpose 4, StarDist and InstanSeg are downloads, which are not part of their packages. They run
here with the architecture of their standard networks and random weights, and the threshold that begins the making of
labels is out of reach, because random maps would make labels of noise. So these programs find nothing, and their time
is that of reading, the network and joining its tiles. With trained weights they need more.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.cellpose_runner import cellpose_engine, our_engine, read
from bench.resident import peak

Array = npt.NDArray[Any]
Job = dict[str, Any]
Engine = Callable[[str], Array]
"""Path of an image -> labels (Y, X)."""
NOTHING = 1e9
"""A threshold that no pixel of a map reaches."""


def flowmask(job: Job) -> Engine:
    """Return Flowmask with the network of the job."""
    run = our_engine(job["network"], "cpu")
    return lambda path: run(path, job["diameter"])


def cellpose3(job: Job) -> Engine:
    """Return cellpose 3.1 with the weights of the job."""
    run = cellpose_engine(job["network"], "cpu")
    return lambda path: run(path, job["diameter"])


def cellpose4(job: Job) -> Engine:
    """Return cellpose 4 with random weights in its default precision; at its diameter of 30 px it rescales nothing."""
    import torch

    _define_torchvision_operators()
    from cellpose.models import CellposeModel
    from cellpose.vit import CPSAM

    weights = Path(job["output"]) / "cellpose4"
    torch.manual_seed(0)
    CPSAM().save_model(str(weights))
    model = CellposeModel(gpu=False, pretrained_model=str(weights))
    weights.unlink()

    def run(path: str) -> Array:
        labels: Array = model.eval(
            read(path, 3), channel_axis=-1, diameter=job["diameter"], cellprob_threshold=NOTHING
        )[0]
        return labels

    return run


def _define_torchvision_operators() -> None:
    """Declare two operators of torchvision, where the build of PyTorch for CPUs does not find them.

    The import of torchvision fails without them. cellpose does not call them.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def stardist(job: Job) -> Engine:
    """Return StarDist with random weights and the settings of its network for stained tissue, 2D_versatile_he."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from csbdeep.utils import normalize
    from stardist.models import Config2D, StarDist2D
    from tifffile import imread

    model = StarDist2D(Config2D(n_rays=32, grid=(2, 2), n_channel_in=3), name=None, basedir=None)

    def run(path: str) -> Array:
        image = normalize(imread(path), 1, 99.8, axis=(0, 1))
        tiles = model._guess_n_tiles(image)
        found = model.predict_instances(image, prob_thresh=NOTHING, n_tiles=tiles, show_tile_progress=False)
        labels: Array = found[0]
        return labels

    return run


def instanseg(job: Job) -> Engine:
    """Return InstanSeg with random weights and the default architecture of its training, compiled to TorchScript."""
    import torch
    from instanseg import InstanSeg
    from instanseg.utils.loss.instanseg_loss import InstanSeg as Loss
    from instanseg.utils.loss.instanseg_loss import InstanSeg_Torchscript
    from instanseg.utils.models.InstanSeg_UNet import InstanSeg_UNet
    from tifffile import imread

    torch.manual_seed(0)
    network = InstanSeg_UNet(3, layers=np.array([256, 128, 64, 32]), out_channels=[[2, 2, 1]], norm="BATCH")
    network = Loss(device="cpu", cells_and_nuclei=False).initialize_pixel_classifier(network, MLP_width=5)
    scripted = torch.jit.script(InstanSeg_Torchscript(network, pixel_size=0.5))
    model = InstanSeg(scripted, device="cpu", verbosity=0)

    def run(path: str) -> Array:
        found = model.eval_medium_image(imread(path), 0.5, return_image_tensor=False, seed_threshold=NOTHING)
        labels: Array = found[0, 0].numpy()
        return labels

    return run


ENGINES = {
    "flowmask": (flowmask, ("onnxruntime", "numba")),
    "cellpose3": (cellpose3, ("cellpose", "torch")),
    "cellpose4": (cellpose4, ("cellpose", "torch")),
    "stardist": (stardist, ("stardist", "tensorflow-cpu")),
    "instanseg": (instanseg, ("instanseg-torch", "torch")),
}
"""The programs, and the packages whose versions are recorded."""


def measure(job: Job) -> None:
    """Measure one program on one image, from the path to the labels.

    Job: ``engine`` (of `ENGINES`), ``network`` (file, for those that have one), ``small`` and ``image`` (TIFF files;
    the small one runs first), ``diameter`` in px. Figures: seconds, cpu_seconds and cells of the image, peak_mb of the
    whole process, versions.
    """
    make, packages = ENGINES[job["engine"]]
    engine = make(job)
    engine(job["small"])
    begun, begun_cpu = time.perf_counter(), time.process_time()
    labels = engine(job["image"])
    figures = {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - begun_cpu,
        "cells": int(labels.max()),
        "peak_mb": peak() * 2**20 / 1e6,
        "versions": {name: version(name) for name in packages},
    }
    (Path(job["output"]) / "figures.json").write_text(json.dumps(figures))


def providers(job: Job) -> None:
    """Time a network on one tile of noise with ONNX Runtime's providers for CPUs and with OpenVINO, in turns.

    Job: ``network``, ``side`` in px, ``threads``, ``repeats``. Figures: available, the providers of the installed ONNX
    Runtime; versions; runs, for each way seconds and cpu_seconds of its fastest repeat and the largest difference of
    its maps from those of ONNX Runtime's own CPU provider.
    """
    import onnxruntime

    crop = np.random.default_rng(0).normal(0.5, 0.3, (1, 3, job["side"], job["side"])).astype(np.float32)
    ways = _sessions(job["network"], job["threads"], crop) | _openvino(job["network"], job["threads"], crop)
    maps = {name: way() for name, way in ways.items()}  # the first run of each makes room for the others
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(job["repeats"]):
        for name, way in ways.items():
            begun, begun_cpu = time.perf_counter(), time.process_time()
            way()
            times[name].append((time.perf_counter() - begun, time.process_time() - begun_cpu))
    first = next(iter(maps.values()))
    runs = [
        {
            "way": name,
            "seconds": min(wall for wall, _ in times[name]),
            "cpu_seconds": min(cpu for _, cpu in times[name]),
            "difference": float(np.abs(maps[name] - first).max()),
        }
        for name in ways
    ]
    names = ("onnxruntime", "onnxruntime-openvino", "openvino")
    figures = {"available": onnxruntime.get_available_providers(), "versions": _installed(names), "runs": runs}
    (Path(job["output"]) / "figures.json").write_text(json.dumps(figures))


def _sessions(network: str, threads: int, crop: Array) -> dict[str, Callable[[], Array]]:
    """Return a call for each provider for CPUs that this ONNX Runtime has; its own one first."""
    import onnxruntime

    options: dict[str, dict[str, str]] = {
        "CPUExecutionProvider": {},
        "OpenVINOExecutionProvider": {"device_type": "CPU", "num_of_threads": str(threads), "precision": "FP32"},
        "XnnpackExecutionProvider": {"intra_op_num_threads": str(threads)},
    }

    def call(name: str) -> Callable[[], Array]:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(network, settings, providers=[(name, options[name])])
        output = session.get_outputs()[0].name
        return lambda: session.run([output], {"image": crop})[0]

    return {name: call(name) for name in options if name in onnxruntime.get_available_providers()}


def _openvino(network: str, threads: int, crop: Array) -> dict[str, Callable[[], Array]]:
    """Return a call of OpenVINO without ONNX Runtime; none where it is not installed."""
    if not _installed(("openvino",)):
        return {}
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(network, "CPU", settings)
    return {"OpenVINO": lambda: model({"image": crop})[0]}


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    from importlib.metadata import PackageNotFoundError

    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


TASKS = {"measure": measure, "providers": providers}

if __name__ == "__main__":
    TASKS[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
