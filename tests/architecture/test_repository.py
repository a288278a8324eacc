"""What git must not hold."""

import subprocess

import pytest

from tests.conftest import ROOT


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no git checkout")
def test_no_compiled_code_and_no_shared_image_is_tracked():
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "infer/cli.py" in files
    assert not [f for f in files if "__pycache__" in f or f.endswith((".pyc", ".nbi", ".nbc"))]
    assert not [f for f in files if f.endswith("_label.png")]
