"""The option --save: what is written beside the labels, for files, series and whole folders."""

import csv
import json
import os

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from flowmask.cli import main
from flowmask.outputs import output_path
from flowmask.runs.batch import ALL_DONE, SOME_FAILED, WRONG_USAGE
from tests.conftest import needs_network

pytestmark = [needs_network, pytest.mark.slow]
for needed in ("zarr", "pyarrow", "h5py"):
    pytest.importorskip(needed)


def run(folder, *options):
    words = ["-i", folder / "in", "-o", folder / "out", "--report", folder / "run.json", "--diameter", 26]
    return main([str(word) for word in (*words, *options)])


def files(folder):
    """The content of each file in the output folder; of a folder there, that of all its files."""
    return {path.name: content(path) for path in (folder / "out").iterdir()}


def content(path):
    return path.read_bytes() if path.is_file() else {inner.name: content(inner) for inner in path.iterdir()}


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_all_outputs_are_written_and_recorded(folder):
    assert run(folder, "--save", "all") == ALL_DONE
    endings = (
        "_label.tiff", "_overlay.jpg", "_cells.csv", "_cells.geojson", "_rois.zip",
        "_labels.ome.tif", "_labels.ome.zarr", "_cells.parquet", "_cells.h5ad", "_card.json",
    )  # fmt: skip
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


def test_resume_makes_a_missing_folder_again_and_removes_a_partial_one(folder, capsys):
    assert run(folder, "--save", "zarr", "--resume") == ALL_DONE
    before = files(folder)
    (folder / "out" / "a2_labels.ome.zarr").rename(folder / "out" / ".a2_labels.ome.zarr.partial.new")
    (folder / "out" / ".a2_labels.ome.zarr.partial").touch()  # as a killed run leaves it
    capsys.readouterr()
    assert run(folder, "--save", "zarr", "--resume") == ALL_DONE
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("a")]
    assert ["already done" in line for line in lines] == [True, False]
    assert files(folder) == before


def test_outputs_beside_their_images_are_not_segmented(folder):
    words = ["-i", folder / "in", "-o", folder / "in", "--save", "overlay,ome", "--diameter", 26]
    names = []
    for _ in range(2):
        assert main([str(word) for word in words]) == ALL_DONE
        names.append(sorted(path.name for path in (folder / "in").iterdir()))
    assert names[0] == names[1]


def test_resume_makes_a_missing_output_again_and_skips_complete_images(folder, capsys):
    assert run(folder, "--save", "overlay,table", "--resume") == ALL_DONE
    before = files(folder)
    (folder / "out" / "a2_overlay.jpg").unlink()
    capsys.readouterr()
    assert run(folder, "--save", "overlay,table", "--resume") == ALL_DONE
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("a")]
    assert ["already done" in line for line in lines] == [True, False]
    assert files(folder) == before


def test_resume_never_takes_an_output_of_other_labels_for_finished(folder):
    """The labels are made again without the table; the old table is then no longer that of the labels."""
    assert run(folder, "--save", "table", "--min-size", "15") == 0
    stale = (folder / "out" / "a1_cells.csv").read_text()
    assert run(folder, "--min-size", "550") == 0
    assert run(folder, "--save", "table", "--min-size", "550", "--resume") == 0
    made = (folder / "out" / "a1_cells.csv").read_text()
    assert len(made.splitlines()) == 1 + tifffile.imread(folder / "out" / "a1_label.tiff").max()
    assert made != stale


def test_resume_adds_an_output_and_keeps_the_others_and_the_verdict(folder):
    assert run(folder, "--save", "table", "--resume") == 0
    assert run(folder, "--save", "overlay", "--resume", "--report", str(folder / "one.json")) == 0
    assert run(folder, "--save", "table,overlay", "--resume", "--report", str(folder / "two.json")) == 0
    one, two = (json.loads((folder / f"{name}.json").read_text())["files"] for name in ("one", "two"))
    assert {file["status"] for file in one} == {"done"}
    assert {file["status"] for file in two} == {"skipped"}
    assert [(file["verdict"], file["reasons"]) for file in two] == [(file["verdict"], file["reasons"]) for file in one]
    assert all(file["verdict"] for file in two)


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


def test_all_outputs_of_a_file_whose_name_is_not_utf_8(folder):
    os.rename(folder / "in" / "a1.tif", os.fsencode(folder / "in") + b"/caf\xe9.tif")
    assert run(folder, "--save", "all") == ALL_DONE
    assert {row["image"] for row in rows(folder / "out" / "cells.csv")} == {"a2.tif", r"caf\udce9.tif"}
    written = [name for name in os.listdir(os.fsencode(folder / "out")) if name.startswith(b"caf\xe9_")]
    assert len(written) == 10
