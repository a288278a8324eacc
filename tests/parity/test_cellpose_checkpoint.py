"""A converted cellpose checkpoint gives cellpose's own maps, style and diameter."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from export.cli import main  # noqa: E402
from flowmask.network.contract import from_metadata  # noqa: E402
from tests.conftest import ROOT  # noqa: E402


@pytest.fixture
def refused(tmp_path, capsys):
    """Run an export that must fail; return its one line of stderr after checking that no file is left."""

    def run(*arguments: str | Path) -> str:
        assert main([*map(str, arguments), "-o", str(tmp_path / "net.onnx")]) == 1
        text = capsys.readouterr().err
        assert text.count("\n") == 1, text
        assert not list(tmp_path.glob("*net.onnx"))
        assert not list(tmp_path.glob(".export-*"))
        return text

    return run


@pytest.mark.parametrize(
    ("case", "options", "sized"),
    [
        ("plain", (), False),
        ("parallel", (), False),
        ("early", ("--diameter", "30"), False),
        ("three-channels", (), False),
        ("tuned", (), True),
    ],
)
def test_same_outputs_as_cellpose(cellpose_files, tmp_path, case, options, sized):
    weights, path = cellpose_files / case, tmp_path / "net.onnx"
    size = ("--size", f"{weights}_size.npy") if sized else ()
    assert main(["--cellpose", str(weights), *size, *options, "-o", str(path)]) == 0
    expected = np.load(f"{weights}.npz")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == (["maps", "diameter", "style"] if sized else ["maps", "style"])
    for name, got in zip(names, session.run(None, {"image": expected["image"]}), strict=True):
        limit = 1e-4 * max(1.0, float(np.abs(expected[name]).max()))
        difference = float(np.abs(got - expected[name]).max())
        print(f"{case} {name}: {difference:.2e}, limit {limit:.2e}")
        assert got.shape == expected[name].shape
        assert difference <= limit, (name, difference)


def test_contract_of_a_checkpoint(cellpose_files, tmp_path):
    path = tmp_path / "net.onnx"
    arguments = ["--cellpose", cellpose_files / "plain", "-o", path, "--licence", "CC0", "--name", "mine"]
    subprocess.run([sys.executable, "-m", "export", *arguments], cwd=ROOT, check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    contract = from_metadata(session.get_modelmeta().custom_metadata_map, str(path))
    assert (contract.name, contract.channels, contract.licence) == ("mine", "cellpose", "CC0")
    assert (contract.mean_diameter, contract.train_diameter, contract.sized) == (30.0, 21.5, False)
    assert contract.data == "converted from the cellpose checkpoint plain"


@pytest.mark.parametrize(
    ("case", "options", "message"),
    [
        ("early", (), "--diameter"),
        ("plain", ("--diameter", "30"), "leave --diameter out"),
        ("denoise", (), "denoising"),
        ("one-channel", (), "takes 1 channels"),
        ("absent", (), "cannot be opened"),
    ],
)
def test_refuses_what_it_cannot_convert(cellpose_files, refused, case, options, message):
    text = refused("--cellpose", cellpose_files / case, *options)
    assert message in text and case in text or case == "one-channel"


def test_refuses_missing_keys(cellpose_files, refused, tmp_path):
    state = torch.load(cellpose_files / "plain", weights_only=True)
    del state["upsample.up.res_up_2.conv.conv_1.full.bias"]
    state["surprise"] = torch.zeros(1)
    torch.save(state, tmp_path / "short")
    text = refused("--cellpose", tmp_path / "short")
    assert "1 entries missing (up.2.style.0.bias) and 1 unknown (surprise)" in text


def test_refuses_other_networks_and_files(refused, tmp_path):
    torch.save({"net.encoder.patch_embed1.proj.weight": torch.zeros(3)}, tmp_path / "transformer")
    assert "transformer" in refused("--cellpose", tmp_path / "transformer")
    (tmp_path / "text").write_text("no checkpoint at all")
    assert "no checkpoint" in refused("--cellpose", tmp_path / "text")
    (tmp_path / "empty").touch()
    assert "no checkpoint" in refused("--cellpose", tmp_path / "empty")


class Evil:
    """Unpickles into a call of os.mkdir."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_size_file_cannot_run_code(cellpose_files, refused, tmp_path):
    np.save(tmp_path / "evil_size.npy", {"A": Evil(tmp_path / "made"), "smean": 0})
    arguments = ("--cellpose", cellpose_files / "plain", "--size", tmp_path / "evil_size.npy")
    text = refused(*arguments)
    assert "mkdir" in text
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [np.zeros(4), {"A": np.zeros(256)}])
def test_refuses_other_size_files(cellpose_files, refused, tmp_path, content):
    np.save(tmp_path / "size.npy", content)
    arguments = ("--cellpose", cellpose_files / "plain", "--size", tmp_path / "size.npy")
    assert "no size file" in refused(*arguments)


def test_refuses_a_size_file_of_another_width(cellpose_files, refused):
    size = cellpose_files / "tuned_size.npy"
    assert "256 values" in refused("--cellpose", cellpose_files / "early", "--diameter", "30", "--size", size)
