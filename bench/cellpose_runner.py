"""Work that runs in cellpose's Python environment: `python -m bench.cellpose_runner TASK JOB.json`.

Each task reads its job and writes its results into the folder ``output`` of the job. Before anything is timed, it runs
once on a small input, so that no time includes a first call. The task ``measure`` also runs our engine, in our
environment, so that both engines are measured by the same lines.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.resident import forget_peak, peak, resident

Array = npt.NDArray[Any]
Job = dict[str, Any]
Engine = Callable[[str, float], Array]
"""(path of an image, diameter in px) -> labels (Y, X)."""
FIRST = "downsample.down.res_down_0.conv.conv_0.2.weight"
"""The weights of the first convolution; their shape tells how many input channels there are."""


def segment(job: Job) -> None:
    """Segment images with cellpose.

    Job: ``weights``, ``images`` [{path, diameter}]. Writes labels.npz ("0", "1", ...: (Y, X)) and seconds.json.
    """
    engine = cellpose_engine(job["weights"], "cpu")
    labels, seconds = {}, []
    for index, entry in [(0, job["images"][0]), *enumerate(job["images"])]:
        begun = time.perf_counter()
        labels[str(index)] = engine(entry["path"], entry["diameter"])
        seconds.append(time.perf_counter() - begun)
    output = Path(job["output"])
    np.savez_compressed(output / "labels.npz", **labels)  # type: ignore[arg-type]
    (output / "seconds.json").write_text(json.dumps(seconds[1:]))


def dynamics(job: Job) -> None:
    """Turn maps into labels with cellpose's dynamics on the CPU, with the default thresholds, which are ours too.

    Job: ``maps``, a .npy file (3, Y, X) float32; ``crop``, the side in px of the part that runs first. Writes
    labels.npy (Y, X) int32 and seconds.json [wall clock, CPU time].
    """
    from cellpose import dynamics

    def compute(maps: Array) -> Array:
        found: Array = dynamics.resize_and_compute_masks(
            maps[:2], maps[2], niter=200, cellprob_threshold=0.0, flow_threshold=0.4, min_size=15
        )
        return found

    maps, output = np.load(job["maps"]), Path(job["output"])
    compute(np.ascontiguousarray(maps[:, : job["crop"], : job["crop"]]))
    begun, begun_cpu = time.perf_counter(), time.process_time()
    labels = compute(maps)
    seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
    np.save(output / "labels.npy", labels.astype(np.int32))
    (output / "seconds.json").write_text(json.dumps(seconds))


def tile(job: Job) -> None:
    """Time cellpose's network on one tile of noise.

    Job: ``weights``, ``side`` in px, ``threads``, ``repeats``. Writes seconds.json: the fastest run.
    """
    import torch

    torch.set_num_threads(job["threads"])
    model = load_cellpose(job["weights"], "cpu")
    crop = np.random.default_rng(0).normal(0.5, 0.3, (1, model.nchan, job["side"], job["side"])).astype(np.float32)
    seconds = []
    for _ in range(job["repeats"] + 1):
        begun = time.perf_counter()
        with torch.no_grad():
            model.net(torch.from_numpy(crop))
        seconds.append(time.perf_counter() - begun)
    (Path(job["output"]) / "seconds.json").write_text(json.dumps(min(seconds[1:])))


def measure(job: Job) -> None:
    """Measure one engine on one image, from the path to the labels.

    Job: ``engine`` (ours or cellpose), ``network`` (file), ``small`` and ``image`` (PNG files; the small one runs
    first), ``diameter`` in px, ``device``. Writes figures.json {seconds, cells, idle, peak}: resident memory in MiB
    after imports and loading, and at its peak from then on.
    """
    engine = {"ours": our_engine, "cellpose": cellpose_engine}[job["engine"]](job["network"], job["device"])
    forget_peak()
    idle = resident()
    engine(job["small"], job["diameter"])
    begun = time.perf_counter()
    labels = engine(job["image"], job["diameter"])
    seconds = time.perf_counter() - begun
    figures = {"seconds": seconds, "cells": int(labels.max()), "idle": idle, "peak": peak()}
    (Path(job["output"]) / "figures.json").write_text(json.dumps(figures))


def our_engine(network: str, device: str) -> Engine:
    """Return our engine with an opened network."""
    from flowmask.api import load_network
    from flowmask.api import segment as segment_ours

    opened = load_network(network, device)
    return lambda path, diameter: segment_ours(path, opened, diameter=diameter).labels


def cellpose_engine(weights: str, device: str) -> Engine:
    """Return cellpose with loaded weights. Ends the program where ``device`` is a GPU that PyTorch does not see."""
    model = load_cellpose(weights, device)

    def run(path: str, diameter: float) -> Array:
        labels: Array = model.eval(read(path, model.nchan), channels=None, channel_axis=-1, diameter=diameter)[0]
        return labels

    return run


def load_cellpose(weights: str, device: str) -> Any:
    """Return cellpose's model with loaded weights; see `cellpose_engine`."""
    import torch
    from cellpose import models

    channels = torch.load(weights, weights_only=True)[FIRST].shape[1]
    model = models.CellposeModel(gpu=device != "cpu", pretrained_model=weights, nchan=channels)
    if device != "cpu" and model.device.type != "cuda":
        raise SystemExit("cellpose runs on the CPU: its PyTorch sees no GPU")
    return model


def read(path: str, channels: int) -> Array:
    """Return an image (Y, X, C): red, green and blue of a colour image, the repeated values of a grey one."""
    import cv2

    image: Any = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(
        np.repeat(image[..., None], channels, axis=-1) if image.ndim == 2 else image[..., 2::-1]
    )


TASKS = {"segment": segment, "dynamics": dynamics, "measure": measure, "tile": tile}

if __name__ == "__main__":
    TASKS[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
