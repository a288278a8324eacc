"""What the parity tests share: cellpose's own files, and the export as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Export = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def cellpose_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that make_cellpose_files.py fills; made once per session."""
    python = Path(os.environ.get("FLOWMASK_CELLPOSE_PYTHON", ROOT / ".venv-cellpose/bin/python"))
    if not python.exists():
        pytest.skip(f"no cellpose environment at {python}; name its Python in FLOWMASK_CELLPOSE_PYTHON")
    folder = tmp_path_factory.mktemp("cellpose")
    script = Path(__file__).with_name("make_cellpose_files.py")
    subprocess.run([python, script, folder], check=True, timeout=600)
    return folder


@pytest.fixture(scope="session")
def run_export() -> Export:
    """Run ``python -m export`` with the given arguments and return the finished process."""
    pytest.importorskip("torch")

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "export", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    return run
