"""The size model: ridge regression from style vectors of random windows to log diameter (the seed's equation 4).

Two ways to draw the windows: ours, by source as in training, cells of the mean diameter divided by up to `SPREAD` to
times that; and Cellpose's, ten of each image, cells of half to one and a half times their own size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from train.config import Config
from train.data import Prepared, weights_by_source
from train.network import FlowNetwork

DRAWS = 2000
WINDOW = 320
"""Largest side of a window in px after rescaling."""
SPREAD = 2.5
PASSES = 10
PASS_WINDOW = 512
RIDGE = 1.0
GRAIN = 16
Draw = tuple[Prepared, float, int]
"""An image, the diameter in px that its cells are to have in the window, the window's largest side."""


def fit_size(network: FlowNetwork, images: Sequence[Prepared], config: Config) -> dict[str, Tensor | float]:
    """Return the regression {weights (S,), style (S,), log_diameter}: log d = weights . (s - style) + log_diameter.

    Solves (X X^T + I) A = X Y with X the centred styles of windows and Y their centred log diameters in px of the
    window.
    """
    rng = np.random.default_rng(config.seed)
    styles, targets = [], []
    for image, diameter, side in WINDOWS[config.windows]([image for image in images if image.diameter], config, rng):
        window = _window(image, diameter, side, rng)
        if window is not None:
            styles.append(_style(network, window))
            targets.append(math.log(diameter))
    x, y = np.stack(styles).T.astype(np.float64), np.array(targets)
    mean_style, mean_target = x.mean(1), float(y.mean())
    x = x - mean_style[:, None]
    weights = np.linalg.solve(x @ x.T + RIDGE * np.eye(len(x)), x @ (y - mean_target))
    return {"weights": torch.from_numpy(weights), "style": torch.from_numpy(mean_style), "log_diameter": mean_target}


def _by_source(images: Sequence[Prepared], config: Config, rng: np.random.Generator) -> Iterator[Draw]:
    for index in rng.choice(len(images), DRAWS, p=weights_by_source(images, config)):
        yield images[index], config.mean_diameter * SPREAD ** rng.uniform(-1, 1), WINDOW


def _ten_passes(images: Sequence[Prepared], config: Config, rng: np.random.Generator) -> Iterator[Draw]:
    for image in [*images] * PASSES:
        yield image, image.diameter * rng.uniform(0.5, 1.5), PASS_WINDOW


WINDOWS: dict[str, Callable[[Sequence[Prepared], Config, np.random.Generator], Iterator[Draw]]] = {
    "by source": _by_source,
    "ten passes": _ten_passes,
}


def _window(image: Prepared, diameter: float, side: int, rng: np.random.Generator) -> npt.NDArray[np.float32] | None:
    """Return a random window (C, Y, X) in which the cells have ``diameter``; None where it shows no cell."""
    zoom = diameter / image.diameter
    shown = math.ceil(side / zoom)
    height, width = (min(shown, length) for length in image.labels.shape)
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
