"""The preprocessing of Mesmer in the functions of scikit-image and NumPy that it is published with.

What it does: ``percentile_threshold`` and ``histogram_normalization`` of deepcell-toolbox. The percentile is computed
in double precision here; there, its precision depends on the type of the image.
"""

import numpy as np
from skimage.exposure import equalize_adapthist, rescale_intensity


def preprocessed(values, percentile=99.9, kernel=128):
    """Return one channel (Y, X) as Mesmer's network gets it, float32."""
    values = values.astype(np.float32)
    used = values[np.nonzero(values)]
    if len(used):
        values = np.minimum(values, np.float32(np.percentile(used.astype(np.float64), percentile)))
    if (values == values[0, 0]).all():
        return np.zeros_like(values)
    return equalize_adapthist(rescale_intensity(values, out_range=(0.0, 1.0)), kernel_size=kernel)
