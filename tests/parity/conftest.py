"""What the parity tests share: files that cellpose itself wrote."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def cellpose_python() -> Path:
    """The Python of the environment that holds cellpose 3.1."""
    if named := os.environ.get("FLOWMASK_CELLPOSE_PYTHON"):
        return Path(named)
    python = ROOT / ".venv-cellpose/bin/python"
    if not python.exists():
        pytest.skip(f"no cellpose environment at {python}; `make test` makes it")
    return python


@pytest.fixture(scope="session")
def cellpose_files(cellpose_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that make_cellpose_files.py fills; made once per session."""
    folder = tmp_path_factory.mktemp("cellpose")
    script = Path(__file__).with_name("make_cellpose_files.py")
    subprocess.run([cellpose_python, script, folder], check=True, timeout=1800)
    return folder
