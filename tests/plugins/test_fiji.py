"""The macro for Fiji, run by ImageJ itself."""

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import flowmask
from tests.conftest import ROOT, needs_network
from train.simulate.modalities import simulate

IJ = Path("/usr/share/java/ij.jar")
MACRO = """
open("{folder}/a.png");
runMacro("{macro}", "{command}|small|26");
text = "";
for (i = 0; i < roiManager("count"); i++) {{
    roiManager("select", i);
    getStatistics(area);
    text = text + area + "\\n";
}}
File.saveString(text, "{folder}/out.csv");
run("Quit");
"""


@needs_network
@pytest.mark.slow
@pytest.mark.skipif(
    not IJ.exists() or not shutil.which("xvfb-run"), reason="ImageJ or Xvfb is missing (Debian: imagej)"
)
def test_the_macro_brings_the_outline_of_every_cell(tmp_path):
    image = simulate("fluorescence_nuclei", (150, 170), 7, 26).image
    cv2.imwrite(str(tmp_path / "a.png"), image)
    command = tmp_path / "flowmask"
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH={":".join(filter(None, sys.path))} exec {sys.executable} -m flowmask "$@"\n'
    )
    command.chmod(0o755)
    values = {"folder": tmp_path, "macro": ROOT / "plugins/fiji/Flowmask.ijm", "command": command}
    (tmp_path / "test.ijm").write_text(MACRO.format(**values))
    call = ["xvfb-run", "-a", "java", f"-Djava.io.tmpdir={tmp_path}", "-jar", IJ, "-batch", tmp_path / "test.ijm"]
    subprocess.run(call, timeout=240, capture_output=True, check=False)
    areas = np.loadtxt(tmp_path / "out.csv", ndmin=1)
    cells = flowmask.segment(image, diameter=26).cells
    assert len(areas) == len(cells) > 5
    np.testing.assert_array_equal(np.sort(areas), np.sort(cells.area))
