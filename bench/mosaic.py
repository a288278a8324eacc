"""Simulated images and maps of any size: fields of the project's simulator side by side."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from flowmask.families.flow.targets import Flows, labels_to_flows
from flowmask.labels.labels import Labels

from train.simulate import simulate

FIELD = 500
"""Height and width of a field in px; cells are cut at its border."""
MODALITIES = ("dense_tissue", "fluorescence_nuclei")
LOGIT = 6.0
NOISE = 0.25
"""Standard deviation of the noise on each of the three maps (flows have length 5)."""
ROUGHNESS = 0.1
"""Standard deviation of a slowly varying factor on the maps: flows too short here, too long there."""


def mosaic(height: int, width: int, diameter: float, seed: int = 0) -> tuple[npt.NDArray[np.uint8], Labels]:
    """Return an image (Y, X, 3) uint8 and its labels (Y, X) int32, ids 1..n; the modalities alternate."""
    image, labels = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.int32)
    cells = 0
    for index, (top, left) in enumerate(np.ndindex(-(-height // FIELD), -(-width // FIELD))):
        sample = simulate(MODALITIES[(top + left) % 2], (FIELD, FIELD), seed + index, diameter)
        place = np.s_[top * FIELD : (top + 1) * FIELD, left * FIELD : (left + 1) * FIELD]
        rows, columns = labels[place].shape
        colour = sample.image if sample.image.ndim == 3 else sample.image[..., None]
        image[place] = colour[:rows, :columns]
        labels[place] = np.where(sample.labels > 0, sample.labels + cells, 0)[:rows, :columns]
        cells += int(sample.labels.max())
    return image, np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def network_like(labels: Labels, seed: int = 0) -> Flows:
    """Return maps (3, Y, X) float32 as a good network might give them for labels (Y, X) int32.

    True flows times 5 and a logit of +-`LOGIT` with smooth edges, both rough and noisy.
    """
    rng = np.random.default_rng(seed)
    height, width = labels.shape
    logit = cv2.GaussianBlur(np.where(labels > 0, LOGIT, -LOGIT).astype(np.float32), (0, 0), 1)
    maps = np.concatenate([5 * labels_to_flows(labels), logit[None]])
    coarse = rng.standard_normal((height // 100 + 2, width // 100 + 2), np.float32)
    maps *= 1 + ROUGHNESS * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    maps += NOISE * rng.standard_normal(maps.shape, np.float32)
    return maps
