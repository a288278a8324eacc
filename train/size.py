"""The size model: ridge regression from style vectors of random windows to log diameter (the seed's equation 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from train.config import Config
from train.data import SIMULATED, Prepared, weights_by_source
from train.network import FlowNetwork

DRAWS = 2000
WINDOW = 320
"""Largest side of a window in px after rescaling."""
SPREAD = 2.5
"""Windows show cells of the mean diameter divided by up to this, times up to this."""
RIDGE = 1.0
GRAIN = 16


def fit_size(network: FlowNetwork, images: Sequence[Prepared], config: Config) -> dict[str, Tensor | float]:
    """Return the regression {weights (S,), style (S,), log_diameter}: log d = weights . (s - style) + log_diameter.

    Solves (X X^T + I) A = X Y with X the centred styles of `DRAWS` windows, drawn by source as in training, each
    at a random scale, and Y their centred log diameters in px of the window.
    """
    rng = np.random.default_rng(config.seed)
    sized = [image for image in images if image.diameter]
    shares = {p.source: config.simulated_share for p in sized if p.source.startswith(SIMULATED)} | config.shares
    chosen = rng.choice(len(sized), DRAWS, p=weights_by_source(sized, shares, config.source_limit))
    styles, targets = [], []
    for index in chosen:
        diameter = config.mean_diameter * SPREAD ** rng.uniform(-1, 1)
        window = _window(sized[index], diameter, rng)
        if window is not None:
            styles.append(_style(network, window))
            targets.append(math.log(diameter))
    x, y = np.stack(styles).T.astype(np.float64), np.array(targets)
    mean_style, mean_target = x.mean(1), float(y.mean())
    x = x - mean_style[:, None]
    weights = np.linalg.solve(x @ x.T + RIDGE * np.eye(len(x)), x @ (y - mean_target))
    return {"weights": torch.from_numpy(weights), "style": torch.from_numpy(mean_style), "log_diameter": mean_target}


def _window(image: Prepared, diameter: float, rng: np.random.Generator) -> npt.NDArray[np.float32] | None:
    """Return a random window (C, Y, X) in which the cells have ``diameter``; None where it shows no cell."""
    zoom = diameter / image.diameter
    side = math.ceil(WINDOW / zoom)
    height, width = (min(side, length) for length in image.labels.shape)
    top, left = (
        int(rng.integers(length - size + 1)) for length, size in zip(image.labels.shape, (height, width), strict=True)
    )
    region = np.s_[top : top + height, left : left + width]
    if not image.labels[region].any():
        return None
    shape = [max(GRAIN, GRAIN * round(size * zoom / GRAIN)) for size in (height, width)]
    pixels = cv2.resize(image.image[region].astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
    pixels = np.rot90(pixels.reshape(*shape, -1), rng.integers(4))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


@torch.inference_mode()
def _style(network: FlowNetwork, window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    _, style = network.encode(torch.from_numpy(window)[None])
    return style.flatten().numpy()
