"""--resume skips what is complete and of the same origin, and nothing else."""

import json

import cv2
import numpy as np
import pytest
import tifffile

from flowmask.cli import main
from flowmask.labels.paths import full_path
from flowmask.labels.provenance import Provenance, description, finished
from flowmask.labels.store import LabelStore
from flowmask.labels.writers import write_labels
from flowmask.runs.batch import ALL_DONE
from tests.conftest import needs_network
from train.simulate import simulate

ORIGIN = {"image": "a", "channels": [1, 2, 3], "diameter": None}


def write(target, labels, origin=ORIGIN, diameter=1 / 3):
    with LabelStore(target.parent, labels.shape) as store:
        store.append(labels)
        write_labels(target, store, "challenge", description(origin, store.cells, diameter))


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "a_label.tiff"
    write(path, np.arange(6000, dtype=np.int32).reshape(60, 100))
    return path


def test_a_label_file_says_what_it_was_made_of(target):
    made = finished(target, ORIGIN)
    assert (made.cells, made.diameter) == (5999, 1 / 3)
    for change in ({"image": "b"}, {"channels": None}, {"diameter": 1 / 3}):
        assert finished(target, ORIGIN | change) is None
    assert tifffile.imread(target).shape == (60, 100)


def test_no_part_of_a_label_file_is_taken_for_all_of_it(target):
    whole = target.read_bytes()
    for size in range(0, len(whole), 101):
        target.write_bytes(whole[:size])
        assert finished(target, ORIGIN) is None
    target.write_bytes(whole)
    assert finished(target, ORIGIN)


@pytest.mark.parametrize(
    "text", [None, "", "ImageJ=1.54", "[]", '{"flowmask": "a"}', json.dumps({"cells": 1} | ORIGIN)]
)
def test_anybody_elses_labels_are_not_taken(tmp_path, text):
    path = tmp_path / "a_label.tiff"
    tifffile.imwrite(path, np.zeros((5, 5), np.int16), description=text, metadata=None)
    assert finished(path, ORIGIN) is None
    path.unlink()
    assert finished(path, ORIGIN) is None
    path.mkdir()
    assert finished(path, ORIGIN) is None


@pytest.mark.slow
def test_reused_ids_are_finished_with_the_file_of_all_cells_alone(tmp_path):
    labels = np.zeros((5000, 5000), np.int32)
    labels[::25, ::25] = np.arange(200 * 200).reshape(200, 200)
    path = tmp_path / "a_label.tiff"
    write(path, labels)
    assert finished(path, ORIGIN).cells == 39_999
    write(tmp_path / "b_label.tiff", labels, diameter=3)
    (tmp_path / "b_label_int32.tiff").replace(full_path(path))
    assert finished(path, ORIGIN) is None
    full_path(path).unlink()
    assert finished(path, ORIGIN) is None


def test_made_takes_what_json_gives():
    assert Provenance(**json.loads(description(ORIGIN, 3, 0.1))).diameter == 0.1


@pytest.mark.slow
@needs_network
def test_resume_skips_what_it_would_make_again(tmp_path, capsys):
    source, labels = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name, seed in (("a", 3), ("b", 4)):
        cv2.imwrite(str(source / f"{name}.png"), simulate("fluorescence_nuclei", (90, 110), seed, 26).image)

    def run(*options):
        words = ["-i", source, "-o", labels, "--report", tmp_path / "run.json", "--diameter", 26, *options]
        assert main([str(word) for word in words]) == ALL_DONE
        capsys.readouterr()
        files = json.loads((tmp_path / "run.json").read_text())["files"]
        return [file["status"] for file in files], [(file["cells"], file["diameter"], file["labels"]) for file in files]

    first, facts = run()
    assert first == ["done", "done"]
    contents = (labels / "a_label.tiff").read_bytes()
    assert run("--resume", "--batch", 4, "--threads", 1) == (["skipped", "skipped"], facts)
    stale = np.zeros((90, 110), np.int32)
    tifffile.imwrite(full_path(labels / "a_label.tiff"), stale, description=description(ORIGIN, 0, 1.0), metadata=None)
    assert run("--resume") == (["skipped", "skipped"], facts)
    (labels / "b_label.tiff").write_bytes(contents[:-1])
    assert run("--resume") == (["skipped", "done"], facts)
    assert run("--resume", "--min-size", 14)[0] == ["done", "done"]
    assert run("--resume")[0] == ["done", "done"]
    assert (labels / "a_label.tiff").read_bytes() == contents
    (source / "a.png").write_bytes((source / "b.png").read_bytes())
    assert run("--resume")[0] == ["done", "skipped"]
    assert run()[0] == ["done", "done"]
