"""The image, run by the challenge's command line.

FLOWMASK_IMAGE names a built image; FLOWMASK_ENGINE the engine, else podman or docker, whichever is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

IMAGE = os.environ.get("FLOWMASK_IMAGE", "")
ENGINE = os.environ.get("FLOWMASK_ENGINE") or next(filter(shutil.which, ("podman", "docker")), "")

pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif(not IMAGE, reason="FLOWMASK_IMAGE does not name a built image"),
    pytest.mark.skipif(not shutil.which(ENGINE or "podman"), reason="neither podman nor docker (FLOWMASK_ENGINE)"),
]

SHAPE = (96, 128)
NAMES = ("grey8.png", "deep.png", "colour.tif", "deep_grey.tiff", "colour_photo.jpg", "grey8_old.bmp")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ENGINE, "container", "run", "--rm", *arguments], capture_output=True, text=True)


def predict(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    volumes = [f"-v{folder}/{name}/:/workspace/{name}/" for name in ("inputs", "outputs")]
    return run("-m", "4G", "--network", "none", *options, *volumes, IMAGE, "/bin/bash", "-c", "sh predict.sh")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``inputs``, one image for each of NAMES, and empty ``outputs``."""
    for name in ("inputs", "outputs"):
        (tmp_path / name).mkdir()
    for name in NAMES:
        path = tmp_path / "inputs" / name
        picture = _discs(colour=name.startswith("colour"), wide=name.startswith("deep"))
        if path.suffix in (".tif", ".tiff"):
            tifffile.imwrite(path, picture)
        else:
            assert cv2.imwrite(str(path), picture)
    return tmp_path


def _discs(colour: bool, wide: bool) -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    discs = np.where((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2 < 100, 200, 20).astype(np.uint8)
    if colour:
        discs = np.stack([discs, discs // 2, 255 - discs], axis=-1)
    return discs.astype(np.uint16) * 257 if wide else discs


def check_labels(outputs: Path) -> None:
    assert {p.name for p in outputs.iterdir()} == {f"{Path(name).stem}_label.tiff" for name in NAMES}
    for path in outputs.iterdir():
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            labels = file.asarray()
        assert labels.dtype == np.int16
        assert labels.shape == SHAPE
        assert labels.min() >= 0


def test_challenge_command_line(folder: Path) -> None:
    done = predict(folder, "--gpus", "device=0")
    assert done.returncode == 0, done.stderr
    check_labels(folder / "outputs")


@pytest.mark.parametrize("options", [("--user", "12345"), ("--user", "12345", "--read-only", "--tmpfs", "/tmp")])
def test_any_user(folder: Path, options: tuple[str, ...]) -> None:
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    (folder / "outputs").chmod(0o777)
    done = predict(folder, *options)
    assert done.returncode == 0, done.stderr
    check_labels(folder / "outputs")


def test_root_gives_way_to_the_owner_of_the_outputs(folder: Path) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder to another user")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    os.chown(folder / "outputs", 12345, 54321)
    done = predict(folder, "--cap-drop", "DAC_OVERRIDE")
    assert done.returncode == 0, done.stderr
    check_labels(folder / "outputs")
    assert {(p.stat().st_uid, p.stat().st_gid) for p in (folder / "outputs").iterdir()} == {(12345, 54321)}


def test_no_torch() -> None:
    done = run(IMAGE, "python", "-c", "import torch")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_kernels_are_compiled_ahead_and_numba_is_not_there() -> None:
    code = (
        "import flowmask.families.flow.strip, flowmask.kernels.compiled, sys\n"
        "sys.exit(flowmask.kernels.compiled.AHEAD is None or 'numba' in sys.modules)"
    )
    assert run(IMAGE, "python", "-c", code).returncode == 0
