"""The record of a run: everything that a program would ask, for every file."""

import hashlib
import json

import cv2
import numpy as np
import onnxruntime
import pytest
import tifffile

from flowmask import __version__
from flowmask.cli import main
from flowmask.runs import prepare
from flowmask.runs import record as record_module
from flowmask.runs.batch import ALL_DONE, SOME_FAILED, WRONG_USAGE
from tests.conftest import MODEL, needs_network
from train.simulate import simulate

pytestmark = needs_network
SAMPLE = simulate("fluorescence_nuclei", (90, 110), 3, 26)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), SAMPLE.image)
    return tmp_path


def run(folder, *options):
    words = ["-i", folder / "in", "-o", folder / "out", "--report", folder / "run.json", "--diameter", 26, *options]
    return main([str(word) for word in words])


def record(folder):
    return json.loads((folder / "run.json").read_text())


def test_all_that_was_asked_for_and_all_that_became_of_it(folder):
    (folder / "in" / "b.tif").write_bytes(b"II*\0 and no more")
    cv2.imwrite(str(folder / "in" / "a.x.png"), SAMPLE.image)
    assert run(folder, "--min-size", "20", "--device", "cpu", "--ids", "challenge") == SOME_FAILED
    made = record(folder)
    assert (made["exit_code"], made["ending"]) == (SOME_FAILED, None)
    assert made["begun"] <= made["ended"]
    assert made["versions"]["flowmask"] == __version__
    assert made["versions"]["onnxruntime"] == onnxruntime.__version__
    assert made["versions"]["numpy"] == np.__version__
    assert made["network"] == {"path": str(MODEL), "sha256": hashlib.sha256(MODEL.read_bytes()).hexdigest()}
    assert made["device"] == {"requested": "cpu", "used": "cpu", "fallback": None}
    assert made["options"]["input"] == str(folder / "in")
    assert (made["options"]["min_size"], made["options"]["flow_threshold"]) == (20, 0.4)
    assert [file["file"] for file in made["files"]] == [str(folder / "in" / n) for n in ("a.x.png", "a.png", "b.tif")]
    same_name, good, bad = made["files"]
    labels = tifffile.imread(folder / "out" / "a_label.tiff")
    assert (good["status"], good["reason"]) == ("done", None)
    assert good["labels"] == [str(folder / "out" / "a_label.tiff")]
    assert (good["cells"], good["diameter"]) == (labels.max(), 26)
    assert 0 < good["seconds"] < 60
    assert 50e6 < good["peak_memory"] < 20e9
    assert (good["device"], good["fallback"], good["peak_gpu_memory"]) == ("cpu", None, None)
    assert (same_name["status"], bad["status"]) == ("failed", "failed")
    assert "has the same name up to its first dot" in same_name["reason"]
    assert "b.tif: it is incomplete" in bad["reason"]
    assert bad["cells"] is None


def test_the_folder_of_the_record_is_made(folder):
    """It may be the output folder of a first run."""
    path = folder / "out" / "records" / "run.json"
    assert run(folder, "--report", path, "--model", folder / "absent.onnx") == WRONG_USAGE
    assert json.loads(path.read_text())["exit_code"] == WRONG_USAGE


def test_a_run_that_cannot_start_has_a_record_too(folder):
    assert run(folder, "--model", folder / "absent.onnx") == WRONG_USAGE
    made = record(folder)
    assert made["exit_code"] == WRONG_USAGE
    assert "absent.onnx: there is no such network file" in made["ending"]
    assert made["network"]["sha256"] is None
    assert made["files"] == []


def test_a_record_that_cannot_be_written_stops_the_run_before_any_work(folder, capsys):
    (folder / "run.json").mkdir()
    assert run(folder) == WRONG_USAGE
    assert "run.json: the file exists and is not a Flowmask run record" in capsys.readouterr().err
    assert not (folder / "out").exists()


@pytest.mark.slow
def test_a_record_in_the_images_folder_is_no_image(folder):
    words = ["-i", folder / "in", "-o", folder / "out", "--report", folder / "in" / "run.json", "--diameter", "26"]
    for _ in range(2):
        assert main([str(word) for word in words]) == ALL_DONE
        assert [len(json.loads((folder / "in" / "run.json").read_text())["files"])] == [1]
    assert sorted(path.name for path in (folder / "in").iterdir()) == ["a.png", "run.json"]


@pytest.mark.parametrize("name", ["in/a.png", "network.onnx", "notes.txt", "link"])
def test_a_record_takes_the_place_of_nothing_but_a_record(folder, capsys, name):
    (folder / "network.onnx").write_bytes(MODEL.read_bytes())
    (folder / "notes.txt").write_text('{"mine": 1}')
    (folder / "link").symlink_to("absent")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(folder, "--report", folder / name, "--model", folder / "network.onnx") == WRONG_USAGE
    assert f"{name}: the file exists and is not a Flowmask run record" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (folder / "link").is_symlink()


def test_a_record_takes_the_place_of_no_label_of_its_own_run(folder, capsys):
    (folder / "out").mkdir()
    assert run(folder, "--report", folder / "out" / "a_label.tiff") == SOME_FAILED
    assert "a_label.tiff: the file exists and is not a Flowmask run record" in capsys.readouterr().err
    assert tifffile.imread(folder / "out" / "a_label.tiff").max() > 0


@pytest.mark.parametrize("images", [1, 3])
def test_the_network_file_is_read_once_for_its_digest(folder, monkeypatch, images):
    for index in range(1, images):
        cv2.imwrite(str(folder / "in" / f"{index}.png"), SAMPLE.image)
    read = []
    for module in (prepare, record_module):
        monkeypatch.setattr(module, "digest", lambda path, real=module.digest: read.append(path) or real(path))
    assert run(folder, "--device", "cpu", "--resume") == ALL_DONE
    assert read == [MODEL]
    made = record(folder)
    assert made["network"]["sha256"] == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert {file["network"] for file in made["files"]} == {made["network"]["sha256"]}
    assert len(made["files"]) == images
