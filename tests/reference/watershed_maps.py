"""Maps of the watershed family that no network has made, and their plans."""

import numpy as np
from scipy.ndimage import gaussian_filter

from flowmask.options import Segmentation
from tests.reference.plans import WATERSHED, plan_of


def scaled(noise, sigma):
    smooth = gaussian_filter(noise, sigma)
    return (smooth - smooth.min()) / (np.ptp(smooth) or 1)


def maps_of(shape, seed=0, sparse=False, sigma=1.5):
    """Return maps (4, Y, X): cells that fill the image, or groups of cells with background between them."""
    rng = np.random.default_rng(seed)
    distance = np.maximum(scaled(rng.random(shape), 2.5) - 0.2, 0)
    interior = scaled(rng.random(shape), sigma)
    if sparse:
        interior *= scaled(rng.random(shape), 5) > 0.55
    interior = np.clip(1.3 * interior, 0, 0.999)
    return np.stack([distance, interior, 0.3 * (1 - interior), 0.7 * (1 - interior)]).astype(np.float32)


def watershed_plan(network_shape, shape, options=Segmentation()):  # noqa: B008 (frozen)
    return plan_of(network_shape, shape, options, WATERSHED)
