"""Several label images of one image: each is the one of a run for it alone, and the network runs once."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import flowmask
from flowmask import cli
from flowmask.errors import SettingsError
from flowmask.labels.paths import maps_path
from flowmask.network.session import OnnxNetwork
from flowmask.runs.batch import ALL_DONE, WRONG_USAGE
from tests.conftest import ROOT
from tests.reference.two_heads import DIAMETER, write_cells, write_network

EACH = {"whole-cell": "", "nuclear": "_nuclear"}
SAVED = ("labels", "overlay", "table", "geojson", "rois", "ome", "zarr", "parquet", "anndata")
KILLED = """
import os, signal, sys, flowmask, flowmask.runs.process_file as process
write = process.write_labels
process.write_labels = lambda target, *rest: (
    os.kill(os.getpid(), signal.SIGKILL) if target.name == sys.argv[3] else write(target, *rest)
)
flowmask.segment_many(sys.argv[1], sys.argv[2], sys.argv[4], resume=True, diameter=30, compartment="both")
"""
"""A run that is killed just before it writes the label file of this name."""


@pytest.fixture(scope="module")
def network(onnx, tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "both.onnx"
    write_network(onnx, path)
    return path


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    write_cells(path)
    return path


@pytest.fixture
def tiles(monkeypatch):
    """A list that gets the number of tiles of each call of the network."""
    calls, maps = [], OnnxNetwork.maps
    monkeypatch.setattr(OnnxNetwork, "maps", lambda self, tiles: (calls.append(len(tiles)), maps(self, tiles))[1])
    return calls


def many(image, out, network, compartment="both", **more):
    return flowmask.segment_many(image, out, network, diameter=DIAMETER, compartment=compartment, **more)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder, stem):
    """The content of each file about one label image, by what follows its name; folders as one."""
    found = {}
    for path in folder.iterdir():
        if path.name.startswith(stem) and not path.name.startswith(f"{stem}_nuclear"):
            files = [path] if path.is_file() else sorted(inner for inner in path.rglob("*") if inner.is_file())
            found[path.name.removeprefix(stem)] = [file.read_bytes() for file in files]
    return found


@pytest.fixture(scope="module")
def alone(network, tmp_path_factory):
    """The folder of a run for each compartment alone."""
    folder = tmp_path_factory.mktemp("alone")
    write_cells(folder / "a.tif")
    for compartment in EACH:
        many(folder / "a.tif", folder / compartment, network, compartment)
    return folder


def check(out, alone):
    """Assert that the label files in ``out`` are those of the runs for one compartment."""
    for compartment, suffix in EACH.items():
        expected = (alone / compartment / "a_label.tiff").read_bytes()
        assert (out / f"a{suffix}_label.tiff").read_bytes() == expected


def test_both_are_the_runs_for_each_alone_and_the_network_runs_once(image, network, tmp_path, tiles):
    for needed in ("zarr", "pyarrow", "h5py"):
        pytest.importorskip(needed)
    outputs, outcomes = flowmask.Output(save=SAVED), {}
    for compartment, suffix in EACH.items():  # some outputs contain their own name
        named = Path(shutil.copy(image, tmp_path / f"a{suffix}.tif"))
        (outcomes[compartment],) = many(named, tmp_path / compartment, network, compartment, outputs=outputs)
    once = sum(tiles) // 2
    assert once > 1
    tiles.clear()
    both = many(image, tmp_path / "both", network, outputs=outputs)
    assert sum(tiles) == once
    assert [(one.frame, one.frames, one.status) for one in both] == [(None, 2, "done"), ("nuclear", 2, "done")]
    assert [one.cells for one in both] == [outcomes["whole-cell"].cells, outcomes["nuclear"].cells] == [12, 4]
    for (compartment, suffix), outcome in zip(EACH.items(), both, strict=True):
        expected, found = (contents(tmp_path / name, f"a{suffix}") for name in (compartment, "both"))
        assert found.keys() == expected.keys()
        assert len(found) == len(SAVED)
        different = [ending for ending in expected if found[ending] != expected[ending]]
        assert different == []
        assert outcome.labels == (str(tmp_path / "both" / f"a{suffix}_label.tiff"),)
        assert outcome.verdict == outcomes[compartment].verdict
    assert not [name for name in names(tmp_path / "both") if name.startswith(".")]
    with open(tmp_path / "both" / "cells.csv", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["a.tif"] * 12 + ["a.tif nuclear"] * 4


def test_the_command_its_record_and_its_report_name_both(image, network, tmp_path, capsys):
    words = ["segment", image, "-o", tmp_path / "out", "--model", network, "--diameter", DIAMETER, "--save", "report"]
    words += ["--compartment", "both", "--report", tmp_path / "run.json"]
    assert cli.flowmask([str(word) for word in words]) == ALL_DONE
    printed = capsys.readouterr()
    assert [line.split(" cells")[0] for line in printed.out.splitlines()] == ["a.tif: 12", "a.tif nuclear: 4"]
    assert printed.err.splitlines()[-2].startswith("2 label images, 16 cells")
    entries = json.loads((tmp_path / "run.json").read_text())["files"]
    assert [(one["file"], one["frame"], one["frames"]) for one in entries] == [
        (str(image), None, 2), (str(image), "nuclear", 2),
    ]  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text()
    assert "a.tif nuclear</h3>" in page
    assert "a.tif</h3>" in page


@pytest.mark.parametrize(("killed_at", "again"), [("a_label.tiff", 0), ("a_nuclear_label.tiff", 0)])
def test_a_killed_run_goes_on_from_the_cached_maps(image, network, alone, tmp_path, tiles, killed_at, again):
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, image, out, killed_at, network], cwd=ROOT)
    assert done.returncode == -9
    assert not (out / killed_at).exists()
    assert maps_path(out / "a_label.tiff").exists()
    outcomes = many(image, out, network, resume=True)
    assert sum(tiles) == again
    assert [one.status for one in outcomes] == ["done" if killed_at == "a_label.tiff" else "skipped", "done"]
    check(out, alone)
    assert names(out) == ["a_label.tiff", "a_nuclear_label.tiff"]


def test_resume_makes_only_what_is_missing(image, network, alone, tmp_path, tiles):
    out = tmp_path / "out"
    many(image, out, network, "nuclear")
    os.replace(out / "a_label.tiff", out / "a_nuclear_label.tiff")
    tiles.clear()
    assert [one.status for one in many(image, out, network, resume=True)] == ["done", "skipped"]
    assert sum(tiles) > 0
    check(out, alone)
    assert [one.status for one in many(image, out, network, resume=True)] == ["skipped", "skipped"]
    (out / "a_nuclear_label.tiff").unlink()
    assert [one.status for one in many(image, out, network, resume=True)] == ["skipped", "done"]
    check(out, alone)
    assert names(out) == ["a_label.tiff", "a_nuclear_label.tiff"]


def test_a_label_image_that_fails_costs_itself_and_leaves_no_maps(image, network, alone, tmp_path, tiles, capsys):
    out = tmp_path / "out"
    (out / "a_nuclear_label.tiff").mkdir(parents=True)
    cells, nuclei = many(image, out, network)
    assert (cells.status, nuclei.status) == ("done", "failed")
    assert nuclei.reason.startswith(f"{image}: nuclear: ")
    assert names(out) == ["a_label.tiff", "a_nuclear_label.tiff"]
    assert (out / "a_label.tiff").read_bytes() == (alone / "whole-cell" / "a_label.tiff").read_bytes()


def test_each_frame_of_a_series_has_both(network, tmp_path, tiles):
    write_cells(tmp_path / "s.ome.tif", frames=2)
    both = many(tmp_path / "s.ome.tif", tmp_path / "both", network)
    once = sum(tiles)
    assert [one.frame for one in both] == ["t001", "t001_nuclear", "t002", "t002_nuclear"]
    for compartment, suffix in EACH.items():
        many(tmp_path / "s.ome.tif", tmp_path / compartment, network, compartment)
        for frame in ("t001", "t002"):
            found = (tmp_path / "both" / f"s_{frame}{suffix}_label.tiff").read_bytes()
            assert found == (tmp_path / compartment / f"s_{frame}_label.tiff").read_bytes()
    assert sum(tiles) == 3 * once
    assert len(names(tmp_path / "both")) == 4


def test_another_image_with_the_name_of_the_nuclei_keeps_its_labels(image, network, tmp_path):
    write_cells(image.with_name("a_nuclear.tif"), shape=(100, 100))
    outcomes = many(image.parent, tmp_path / "out", network)
    assert [one.status for one in outcomes] == ["done", "failed", "done", "done"]
    assert "two images of this run would be written to a_nuclear_label.tiff" in outcomes[1].reason
    assert outcomes[2].labels == (str(tmp_path / "out" / "a_nuclear_label.tiff"),)


def test_what_holds_one_label_image_refuses_both(image, network, tmp_path, capsys):
    for function in (flowmask.segment, lambda *args, **more: list(flowmask.segment_rows(*args, **more))):
        with pytest.raises(
            SettingsError, match=r"`compartment='both'` asks for 2 label images, but this call gives one"
        ):
            function(image, network, compartment="both", diameter=DIAMETER)
    words = ["-i", image, "-o", tmp_path / "out", "--model", network, "--compartment", "both", "--ids", "challenge"]
    assert cli.main([str(word) for word in words]) == WRONG_USAGE
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: --compartment both asks for 2 label images, but --ids challenge means one label file for each image; "
        "choose --compartment whole-cell or --compartment nuclear."
    )
