"""The decoder of Mesmer in the functions of scikit-image and SciPy that it is published with.

What it does: ``deep_watershed`` and ``fill_holes`` of deepcell-toolbox, with the values of ``deepcell/applications/
mesmer.py``: no smoothing of the inner distance, sigma 2 for the interior, disk(2), 15 px for small objects and holes.
In the scikit-image of that time, ``min_size`` and ``area_threshold`` removed what is smaller; today's ``max_size``
also removes what is as large.
"""

import warnings

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.measure import label, regionprops
from skimage.morphology import disk, h_maxima, remove_small_holes, remove_small_objects
from skimage.segmentation import watershed


def filled(labels, size):
    out = labels.copy()
    for cell in regionprops(labels):
        if cell.euler_number < 1:
            patch = out[cell.slice]
            solid = remove_small_holes(patch == cell.label, max_size=size - 1, connectivity=1)
            out[cell.slice] = np.where(solid, cell.label, patch)
    return out


def deep_watershed(distance, interior, maxima_threshold, interior_threshold, min_size=15, holes=15):
    """Return labels (Y, X) in the order of the markers; distance, interior: (Y, X) float32."""
    interior = gaussian_filter(interior, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        markers = label(h_maxima(distance, maxima_threshold, disk(2)))
        labels = watershed(-interior, markers, mask=interior > interior_threshold)
        labels = remove_small_objects(labels, max_size=max(0, min_size - 1))
        return filled(labels, holes)
