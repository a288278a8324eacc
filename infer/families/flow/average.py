"""The maps of several flow networks as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..blocks import Maps


def average(maps: Sequence[Maps]) -> Maps:
    """Return the average of the maps (B, 3, Y, X) float32 of several networks: flow dy * 5, flow dx * 5, cell logit.

    The odds of a cell, exp(logit), are the mean of the odds, so that a cell that only one network sees is not lost. Its
    flow is the mean of the flows weighted by the probabilities, because a network knows no flow where it sees no cell.

    >>> sees = np.array([-5, 0, np.log(9)], np.float32).reshape(1, 3, 1, 1)  # odds of 9, probability 0.9
    >>> doubts = np.array([0, 5, -np.log(9)], np.float32).reshape(1, 3, 1, 1)  # odds of 1/9, probability 0.1
    >>> np.round(average([sees, doubts]).ravel(), 3)  # the last one is log((9 + 1 / 9) / 2)
    array([-4.5  ,  0.5  ,  1.516], dtype=float32)
    """
    logits = np.stack([each[:, 2] for each in maps])
    largest = logits.max(0)
    with np.errstate(over="ignore"):  # exp(88.8) is infinite in float32, and 1 / infinity is the right probability
        probabilities = 1 / (1 + np.exp(-logits))
    weights = probabilities / np.maximum(probabilities.sum(0), np.finfo(np.float32).tiny)
    result = np.empty_like(maps[0])
    result[:, :2] = sum(weight[:, None] * each[:, :2] for weight, each in zip(weights, maps, strict=True))
    result[:, 2] = largest + np.log(np.exp(logits - largest).mean(0))
    return result
