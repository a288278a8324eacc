"""Loops in machine code: how Numba compiles them and how a build compiles them ahead of time."""
