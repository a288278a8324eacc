"""One engine in a process of its own: `python -m bench.speed_side ours|cellpose JOB.json`, in its environment.

Reads JOB.json {network, small, image, diameter, device, output}: a network file, two PNG images, the small one of
which goes first so that no time holds a first call. Writes output {seconds, cells, idle, peak}: resident memory in MiB
after imports and loading, and at its peak from then on. The time runs from the path to the labels.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.resident import forget_peak, peak, resident


def ours(network: str, diameter: float, device: str) -> Callable[[str], np.ndarray]:
    """Return a function from an image's path to its labels (Y, X)."""
    from flowmask.api import load_network, segment
    from flowmask.options import Settings

    opened, settings = load_network(network, device), Settings(diameter=diameter)
    return lambda path: segment(path, opened, settings).labels


def cellpose(network: str, diameter: float, device: str) -> Callable[[str], np.ndarray]:
    """Return a function from an image's path to its labels (Y, X)."""
    from cellpose import models

    from bench.cellpose_side import as_input, channels_of

    model = models.CellposeModel(gpu=device != "cpu", pretrained_model=network, nchan=channels_of(network))
    if device != "cpu" and model.device.type != "cuda":
        raise SystemExit("cellpose runs on the CPU: its PyTorch sees no GPU")
    return lambda path: model.eval(as_input(path, model.nchan), channels=None, channel_axis=-1, diameter=diameter)[0]


def main() -> None:
    engine, job = {"ours": ours, "cellpose": cellpose}[sys.argv[1]], json.loads(Path(sys.argv[2]).read_text())
    segment = engine(job["network"], job["diameter"], job["device"])
    forget_peak()
    idle = resident()
    segment(job["small"])
    begun = time.perf_counter()
    labels = segment(job["image"])
    seconds = time.perf_counter() - begun
    figures = {"seconds": seconds, "cells": int(labels.max()), "idle": idle, "peak": peak()}
    Path(job["output"]).write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
