"""Runs in the cellpose environment: segment the images of a job with cellpose 3.1.

Reads JOB.json {weights, images: [{path, diameter}], output} and writes output/labels.npz ("0", "1", ...)
and output/seconds.json. The first image is run once more beforehand, so that no time holds a first call.
"""

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from cellpose import models

FIRST = "downsample.down.res_down_0.conv.conv_0.2.weight"


def as_input(path: str, channels: int) -> np.ndarray:
    """Return (Y, X, C): red, green, blue of a colour image, grey repeated."""
    image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    image = np.repeat(image[..., None], channels, axis=-1) if image.ndim == 2 else image[..., 2::-1]
    return np.ascontiguousarray(image)


def channels_of(weights: str) -> int:
    """Return the number of input channels of a cellpose checkpoint."""
    return torch.load(weights, weights_only=True)[FIRST].shape[1]


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    weights = job["weights"]
    model = models.CellposeModel(gpu=False, pretrained_model=weights, nchan=channels_of(weights))
    labels, seconds = {}, []
    for index, entry in [(0, job["images"][0]), *enumerate(job["images"])]:
        image = as_input(entry["path"], model.nchan)
        begun = time.perf_counter()
        masks, _, _ = model.eval(image, channels=None, channel_axis=-1, diameter=entry["diameter"])
        seconds.append(time.perf_counter() - begun)
        labels[str(index)] = masks
    np.savez_compressed(Path(job["output"]) / "labels.npz", **labels)
    (Path(job["output"]) / "seconds.json").write_text(json.dumps(seconds[1:]))


if __name__ == "__main__":
    main()
