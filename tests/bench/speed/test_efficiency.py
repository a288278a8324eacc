"""The efficiency benchmark: what it times, and how it reports entries that go wrong."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("psutil", reason="the benchmark needs psutil")

from bench.speed import efficiency  # noqa: E402
from bench.speed.efficiency import rank_time  # noqa: E402
from tests.conftest import ROOT  # noqa: E402

ENGINE = """#!{python}
import pathlib, sys, time
if sys.argv[1] == "kill":
    time.sleep(60)
if sys.argv[1:3] != ["container", "run"]:
    sys.exit(1)
inputs, outputs = (
    pathlib.Path(argument.split(":")[0]) for argument in sys.argv if argument.endswith(("inputs/", "outputs/"))
)
(image,) = inputs.iterdir()
labels = outputs / (image.stem + "_label.tiff")
if image.stem == "fails":
    sys.exit("no room for it")
if image.stem == "hangs":
    time.sleep(60)
if image.stem == "names":
    labels = outputs / "labels.tiff"
if image.stem == "odd":
    labels.write_text("no labels")
    sys.exit()
import tifffile
shape = (7, 7) if image.stem == "shape" else (64, 64)
if image.stem == "many":
    tifffile.imwrite(labels, [[64 * y + x for x in range(64)] for y in range(64)], dtype="int32")
else:
    tifffile.imwrite(labels, [[1] * shape[1]] * shape[0], dtype="float32" if image.stem == "noise" else "int16")
"""


@pytest.mark.parametrize(
    ("seconds", "pixels", "rank"),
    [
        (9.0, 65_536, 0.0),
        (12.5, 65_536, 2.5),
        (12.5, 1_000_000, 2.5),
        (45.0, 4_000_000, 5.0),
        (900.0, 100_000_000, 0.0),
    ],
)
def test_ten_seconds_or_ten_for_each_megapixel_cost_nothing(seconds, pixels, rank):
    assert rank_time(seconds, pixels) == rank


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What the benchmark writes about an engine whose containers go wrong by the names of their images."""
    folder = tmp_path_factory.mktemp("efficiency")
    for name in ("images", "labels", "results"):
        (folder / name).mkdir()
    for name in ("fails", "good", "hangs", "many", "names", "noise", "odd", "shape"):
        cv2.imwrite(str(folder / "images" / f"{name}.png"), np.zeros((64, 64), np.uint8))
        cv2.imwrite(str(folder / "labels" / f"{name}_label.png"), np.ones((64, 64), np.uint16))
    engine = folder / "engine"
    engine.write_text(ENGINE.format(python=sys.executable))
    engine.chmod(0o755)
    code = (
        "import sys, pathlib, bench.speed.efficiency as e, bench.record as r, bench.watched as w; "
        "e.RESULTS = r.RESULTS = pathlib.Path(sys.argv.pop(1)); w.GRACE = 1; e.main()"
    )
    options = ["--engine", engine, "--labels", folder / "labels", "--limit", "8"]
    arguments = [folder / "results", folder / "images", *options]
    call = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "results" / "efficiency.png").stat().st_size > 1000
    lines = (folder / "results" / "efficiency.csv").read_text().splitlines()
    assert lines[0] == ",".join(efficiency.COLUMNS)
    assert len(lines) == 9
    return {row["image"]: row for row in json.loads((folder / "results" / "efficiency.json").read_text())["runs"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("fails", "exit code 1: no room for it"),
        ("hangs", "stopped after 8 s"),
        ("names", "no names_label.tiff but labels.tiff"),
        ("noise", "the labels (float32) are not integers from 0 on"),
        ("many", "4096 cells are more than can be scored"),
        ("shape", "the labels have the shape (7, 7), the image (64, 64)"),
    ],
)
def test_a_run_that_goes_wrong_is_reported_and_costs_the_others_nothing(rows, image, reason):
    assert rows[f"{image}.png"]["wrong"] == reason
    assert rows[f"{image}.png"]["f1"] is None


@pytest.mark.slow
def test_labels_that_cannot_be_read_are_reported(rows):
    assert rows["odd.png"]["wrong"].startswith("odd_label.tiff cannot be read")


@pytest.mark.slow
def test_what_goes_well_is_scored(rows):
    row = rows["good.png"]
    assert (row["wrong"], row["f1"], row["pixels"]) == ("", 0.0, 4096)
    assert row["rank_seconds"] == rank_time(row["seconds"], 4096)


def test_labels_of_another_shape_are_refused_before_any_run(tmp_path, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels" / "a_label.png"), np.ones((32, 64), np.uint16))
    words = ["efficiency", str(tmp_path), "--labels", str(tmp_path / "labels"), "--engine", "absent"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        efficiency.main()
    assert "a_label.png: its shape is (32, 64), that of a.png (64, 64)" in capsys.readouterr().err
