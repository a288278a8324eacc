"""The Python environments that benchmarks run in besides their own."""

from __future__ import annotations

import os
from pathlib import Path

from bench.record import ROOT


def cellpose_python() -> Path:
    """Return the Python that has cellpose 3.1: FLOWMASK_CELLPOSE_PYTHON, otherwise that of `make bench`."""
    return Path(os.environ.get("FLOWMASK_CELLPOSE_PYTHON", ROOT / ".venv-cellpose/bin/python"))
