"""The option --save: what is written beside the labels, for files, series and whole folders."""

import csv
import json

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from flowmask.cli import main
from flowmask.outputs import output_path
from flowmask.runs.batch import ALL_DONE, SOME_FAILED, WRONG_USAGE
from tests.conftest import needs_network
from train.simulate import simulate

pytestmark = needs_network
pytest.importorskip("roifile")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        image = simulate("fluorescence_nuclei", (90, 110), number, 26).image
        tifffile.imwrite(tmp_path / "in" / f"a{number}.tif", image, photometric="minisblack")
    return tmp_path


def run(folder, *options):
    words = ["-i", folder / "in", "-o", folder / "out", "--report", folder / "run.json", "--diameter", 26]
    return main([str(word) for word in (*words, *options)])


def files(folder):
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_all_outputs_are_written_and_recorded(folder):
    assert run(folder, "--save", "all") == ALL_DONE
    endings = ("_label.tiff", "_overlay.jpg", "_cells.csv", "_cells.geojson", "_rois.zip", "_card.json")
    shared = {"cells.csv", "report.html"}
    assert set(files(folder)) == {f"a{n}{ending}" for n in (1, 2) for ending in endings} | shared
    for entry in json.loads((folder / "run.json").read_text())["files"]:
        name = entry["file"].split("/")[-1].removesuffix(".tif")
        assert [path.split("/")[-1] for path in entry["outputs"]] == [name + ending for ending in endings[1:]]
        labels = tifffile.imread(folder / "out" / f"{name}_label.tiff")
        table = rows(folder / "out" / f"{name}_cells.csv")
        assert [int(row["area"]) for row in table] == np.bincount(labels.ravel())[1:].tolist()


def test_the_table_of_the_folder_has_all_cells(folder):
    imsave(folder / "in" / "b.png", np.repeat(tifffile.imread(folder / "in" / "a1.tif")[..., None], 3, axis=-1))
    assert run(folder, "--save", "table") == ALL_DONE
    whole = rows(folder / "out" / "cells.csv")
    for name in ("a1.tif", "a2.tif", "b.png"):
        own = [{key: value for key, value in row.items() if key != "image"} for row in whole if row["image"] == name]
        expected = rows(output_path("table", folder / "out" / f"{name.split('.')[0]}_label.tiff", 1))
        assert [{key: row[key] for key in expected[0]} for row in own] == expected
        assert {key: own[0][key] for key in own[0] if key not in expected[0]} == dict.fromkeys(
            set(own[0]) - set(expected[0]), ""
        )


def test_resume_makes_a_missing_output_again_and_skips_complete_images(folder, capsys):
    assert run(folder, "--save", "overlay,table", "--resume") == ALL_DONE
    before = files(folder)
    (folder / "out" / "a2_overlay.jpg").unlink()
    capsys.readouterr()
    assert run(folder, "--save", "overlay,table", "--resume") == ALL_DONE
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("a")]
    assert ["already done" in line for line in lines] == [True, False]
    assert files(folder) == before


def test_each_frame_has_its_own_outputs(folder):
    frames = np.stack([tifffile.imread(folder / "in" / f"a{number}.tif") for number in (1, 2)])
    for path in (folder / "in").iterdir():
        path.unlink()
    tifffile.imwrite(folder / "in" / "s.tif", frames, imagej=True, metadata={"axes": "TYX"})
    assert run(folder, "--save", "table") == ALL_DONE
    assert set(files(folder)) == {
        "s_t001_label.tiff", "s_t001_cells.csv", "s_t002_label.tiff", "s_t002_cells.csv", "cells.csv",
    }  # fmt: skip
    assert {row["image"] for row in rows(folder / "out" / "cells.csv")} == {"s.tif t001", "s.tif t002"}


def test_an_unknown_output_is_named_with_those_that_exist(folder, capsys):
    assert run(folder, "--save", "labels,outline") == WRONG_USAGE
    assert "--save outline is unknown; give some of labels, overlay, table" in capsys.readouterr().err


def test_a_file_of_the_user_is_not_replaced(folder, capsys):
    (folder / "in" / "a1_cells.csv").write_text("mine")
    words = ["-i", folder / "in" / "a1.tif", "-o", folder / "in", "--save", "table", "--diameter", 26]
    assert main([str(word) for word in words]) == SOME_FAILED
    assert "a1_cells.csv: the file exists and Flowmask did not write it" in capsys.readouterr().err
    assert (folder / "in" / "a1_cells.csv").read_text() == "mine"
