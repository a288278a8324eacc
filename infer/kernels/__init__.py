"""Compiled loops: Numba compiles them at first use, or `python -m infer.kernels.build` ahead of time."""
