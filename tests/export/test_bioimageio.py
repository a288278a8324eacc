"""The package for bioimage.io."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the package onnx is missing, as in a run-time environment")
pytest.importorskip("torch", reason="PyTorch is missing, as in a run-time environment")

import onnxruntime  # noqa: E402

from export import bioimageio  # noqa: E402
from export.bioimageio import main  # noqa: E402
from flowmask.network.contract import Clahe  # noqa: E402
from tests.conftest import needs_network  # noqa: E402
from tests.reference.plans import FLOW  # noqa: E402


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("bioimageio") / "small.zip"
    assert main(["small", "-o", str(path)]) == 0
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
@needs_network
def test_every_file_that_is_described_is_there_with_its_digest(package):
    content = json.loads(package["rdf.yaml"])
    tensors = [tensor["test_tensor"] for tensor in content["inputs"] + content["outputs"]]
    for file in [*tensors, content["weights"]["onnx"]]:
        assert hashlib.sha256(package[file["source"]]).hexdigest() == file["sha256"]
    assert content["documentation"] in package
    assert [output["id"] for output in content["outputs"]] == ["maps", "diameter", "style"]


@pytest.mark.slow
@needs_network
def test_the_network_makes_the_test_tensors(package):
    content = json.loads(package["rdf.yaml"])
    image = np.load(io.BytesIO(package["test-image.npy"]))
    scale = content["inputs"][0]["preprocessing"][0]["kwargs"]
    low, high = np.percentile(image, [scale["min_percentile"], scale["max_percentile"]], axis=(2, 3), keepdims=True)
    session = onnxruntime.InferenceSession(package["small.onnx"], providers=["CPUExecutionProvider"])
    made = session.run(None, {"image": ((image - low) / (high - low + scale["eps"])).astype(np.float32)})
    for output, values in zip(content["outputs"], made, strict=True):
        expected = np.load(io.BytesIO(package[output["test_tensor"]["source"]]))
        assert expected.ndim == len(output["axes"])
        np.testing.assert_allclose(values, expected, atol=1e-4)
    logit = made[0][0, 2]
    assert 0.2 < (logit > 0).mean() < 0.5  # the discs of the test image cover 31 % of it


def test_a_network_whose_images_are_equalised_is_refused(tmp_path, monkeypatch, capsys):
    network = SimpleNamespace(contract=replace(FLOW, clahe=Clahe()))
    monkeypatch.setattr(bioimageio, "OnnxNetwork", lambda *_: network)
    assert main(["small", "-o", str(tmp_path / "a.zip")]) == 1
    assert "which bioimage.io cannot express" in capsys.readouterr().err


def test_a_network_of_another_family_is_refused(tmp_path, monkeypatch, capsys):
    network = SimpleNamespace(contract=replace(FLOW, family="semantic"))
    monkeypatch.setattr(bioimageio, "OnnxNetwork", lambda *_: network)
    assert main(["small", "-o", str(tmp_path / "a.zip")]) == 1
    assert "no package for bioimage.io for networks of the family 'semantic'" in capsys.readouterr().err


def test_the_readme_names_the_outputs_that_the_file_has():
    texts = [bioimageio.readme(replace(FLOW, sized=sized)) for sized in (False, True)]
    assert ["* `diameter`: " in text for text in texts] == [False, True]
    assert all("* `maps`: flow along y and x, times 5" in text for text in texts)


def test_a_network_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["absent", "-o", str(tmp_path / "a.zip")]) == 1
    assert capsys.readouterr().err.startswith("error: absent: there is no such network file")
