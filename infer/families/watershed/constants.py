"""Constants of the decoder, as Mesmer uses them (``deepcell/applications/mesmer.py``, whole cells and nuclei)."""

from __future__ import annotations

SIGMA = 2.0
"""Standard deviation in network pixels of the Gaussian filter of the interior map."""
RADIUS = 8
"""Half width of this filter in network pixels: 4 standard deviations, as in SciPy."""
REACH = 2
"""Two pixels are neighbours for the maxima if their distance is at most this, in network pixels (``disk(2)``)."""
HOLE = 15
"""Holes of fewer network pixels are filled."""
STRIP = 128
"""Network rows that are processed at a time."""
