"""The Python environment of cellpose 3.1, and how work is run there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.record import ROOT


def cellpose_python() -> Path:
    """Return the Python that has cellpose 3.1: FLOWMASK_CELLPOSE_PYTHON, otherwise that of `make bench`."""
    return Path(os.environ.get("FLOWMASK_CELLPOSE_PYTHON", ROOT / ".venv-cellpose/bin/python"))


def environment_of(python: str | Path) -> dict[str, str]:
    """Return the environment variables for a Python.

    Another Python than this one does not get the package and library folders of this one.
    """
    own = {} if str(python) == sys.executable else {"PYTHONPATH", "LD_LIBRARY_PATH"}
    return {name: value for name, value in os.environ.items() if name not in own}


def run_task(python: str | Path, task: str, job: dict[str, Any], folder: Path, limit: float | None = None) -> None:
    """Run a task of `bench.cellpose_runner` with a Python; the results are in ``folder`` afterwards.

    ``limit``: seconds. Raises CalledProcessError where the task fails, TimeoutExpired where it takes too long.
    """
    path = folder / "job.json"
    path.write_text(json.dumps(job | {"output": str(folder)}))
    command = [str(python), "-m", "bench.cellpose_runner", task, str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=limit, env=environment_of(python))
