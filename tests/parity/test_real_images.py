"""The network that ships on real images of sources that it never saw, scored by the challenge's rules."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from flowmask.labels.metrics import f1_challenge
from tests.conftest import DATA, ROOT, needs_data, needs_network
from train.data.readers import read_labels, read_shared
from train.recipes.held_out import HELD_OUT

pytestmark = [
    needs_data,
    needs_network,
]
IMAGES = 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "least"),
    [("bbbc039_fluo_nuclei_u2os", 0.85), ("yeastvision_phase_yeast_pos13", 0.8), ("usiigaci_phase_T98G", 0.5)],
)
def test_held_out_sources(tmp_path, source, least):
    _, held_out = HELD_OUT.divide(read_shared(DATA))
    items = [item for item in held_out if item.source == source][:IMAGES]
    (tmp_path / "in").mkdir()
    for item in items:
        (tmp_path / "in" / item.image.name).symlink_to(item.image)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["sh", ROOT / "predict.sh", tmp_path / "in", tmp_path / "out"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=environment)
    scores = []
    for item in items:
        labels = tifffile.imread(tmp_path / "out" / f"{item.image.stem}_label.tiff")
        assert labels.dtype == np.int16
        scores.append(f1_challenge(read_labels(item.labels), labels))
    assert np.mean(scores) > least, scores
