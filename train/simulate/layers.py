"""Labels of cells that lie over one another: what is hidden, and which cell a pixel belongs to."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from train.simulate.fields import Labels
from train.simulate.placement import tidy


def seen(near: Labels, far: Labels, share: float) -> Labels:
    """Return `far` (Y, X) without the cells of which `near` leaves at most `share` (0..1) visible.

    The cells that stay are whole, also under `near`, and keep their numbers, so that
    numbers may be missing.
    """
    whole = np.bincount(far.ravel())
    visible = np.bincount(far[near == 0], minlength=len(whole))
    keep = visible > share * whole
    keep[0] = False
    return np.where(keep[far], far, 0).astype(np.int32)


def in_front(near: Labels, far: Labels) -> Labels:
    """Return the labels (Y, X) of two layers in one: where both have a cell, `near` wins."""
    shifted = np.where(far > 0, far + int(near.max(initial=0)), 0)
    return tidy(np.where(near > 0, near, shifted).astype(np.int32))


def at_most(rng: Generator, labels: Labels, count: int) -> Labels:
    """Return `count` cells of `labels` drawn at random, or all if there are no more than that."""
    cells = int(labels.max(initial=0))
    if cells <= count:
        return labels
    keep = np.zeros(cells + 1, bool)
    keep[1 + rng.permutation(cells)[:count]] = True
    return tidy(np.where(keep[labels], labels, 0).astype(np.int32))
