"""A constant of CLAHE that its kernels share with modules that load no Numba."""

BINS = 256
"""Number of bins of a histogram."""
