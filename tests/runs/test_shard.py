"""The option --shard: the parts of a job array together are one run."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmask.cli import main
from flowmask.runs.batch import ALL_DONE, SOME_FAILED
from flowmask.runs.shard import Shard
from tests.conftest import ROOT, needs_network, write_nuclei

NAMES = "abcdefg"
BAD = "d.tif"
SHARED = (("cells", "csv"), ("report", "html"), ("run", "json"))
"""Name and suffix of the files about a whole run."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number, name in enumerate(NAMES):
        write_nuclei(folder / f"{name}.tif", (70 + 10 * number, 90), number)
    (folder / BAD).write_bytes(b"II*\0 and no more")
    return folder


def words(images, out, *options):
    files = ["-i", images, "-o", out, "--save", "table,report", "--report", out / "run.json"]
    return [str(word) for word in (*files, "--diameter", 26, *options)]


def run(images, out, *options):
    out.mkdir(exist_ok=True)
    return main(words(images, out, *options))


def per_image(out):
    """The content of each file of one image."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] in NAMES and path.name[1] == "_"}


def per_image_but_times(out):
    """As `per_image`, without the cards, which hold the times."""
    return {name: content for name, content in per_image(out).items() if not name.endswith("_card.json")}


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def in_record(path):
    return [(Path(file["file"]).name, file["status"], file["cells"]) for file in json.loads(path.read_text())["files"]]


@given(st.sets(st.text("abcXYZ012._- ", min_size=1, max_size=6), max_size=30), st.integers(1, 12), st.randoms())
def test_each_path_is_in_exactly_one_shard_whatever_the_order(names, count, random):
    paths = [Path("in", name) for name in names if name not in (".", "..")]
    shards = [Shard(number, count).of(paths) for number in range(1, count + 1)]
    assert sorted(path for shard in shards for path in shard) == sorted(paths)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    random.shuffle(paths)
    assert [Shard(number, count).of(paths) for number in range(1, count + 1)] == shards


@pytest.mark.slow
@needs_network
def test_the_shards_together_are_one_run(images, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(images, whole) == SOME_FAILED
    capsys.readouterr()
    assert [run(images, parts, "--shard", f"{number}/3") for number in (1, 2, 3)] == [SOME_FAILED, ALL_DONE, ALL_DONE]
    assert "3 images to segment (shard 1/3 of 7 images); the labels go to" in capsys.readouterr().err
    assert per_image_but_times(parts) == per_image_but_times(whole)
    assert per_image(parts).keys() == per_image(whole).keys()
    shared = {path.name for path in parts.iterdir()} - per_image(parts).keys()
    assert shared == {f"{stem}_{n}of3.{end}" for n in (1, 2, 3) for stem, end in SHARED}
    table = [row for number in (1, 2, 3) for row in rows(parts / f"cells_{number}of3.csv")]
    assert sorted(table, key=lambda row: row["image"]) == rows(whole / "cells.csv")
    record = [file for number in (1, 2, 3) for file in in_record(parts / f"run_{number}of3.json")]
    assert sorted(record, key=lambda file: file[0]) == in_record(whole / "run.json")
    assert json.loads((parts / "run_2of3.json").read_text())["options"]["shard"] == "2/3"


@pytest.mark.slow
@needs_network
def test_resume_without_a_shard_writes_one_table_and_one_page_of_all(images, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(images, whole)
    for number in (1, 2, 3):
        run(images, parts, "--shard", f"{number}/3", "--resume")
    capsys.readouterr()
    assert run(images, parts, "--resume") == SOME_FAILED
    assert capsys.readouterr().out.count("already done") == len(NAMES) - 1
    assert (parts / "cells.csv").read_bytes() == (whole / "cells.csv").read_bytes()
    assert (parts / "report.html").read_text().count("<article") == len(NAMES)


@needs_network
def test_two_names_for_one_label_file_are_refused_in_the_shard_of_the_second(images, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.tif", "a.tiff"):
        (folder / name).write_bytes((images / "a.tif").read_bytes())
    assert run(folder, tmp_path / "out", "--shard", "1/2") == ALL_DONE
    assert run(folder, tmp_path / "out", "--shard", "2/2") == SOME_FAILED
    assert "a.tiff: a.tif has the same name up to its suffix" in capsys.readouterr().err


@needs_network
@pytest.mark.slow
def test_two_shards_at_once_in_one_folder(images, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(images, whole)
    parts.mkdir()
    started = [
        subprocess.Popen([sys.executable, "-m", "infer", *words(images, parts, "--shard", f"{n}/2")], cwd=ROOT)
        for n in (1, 2)
    ]
    assert [one.wait(300) for one in started] == [ALL_DONE, SOME_FAILED]
    assert per_image_but_times(parts) == per_image_but_times(whole)


@needs_network
def test_a_shard_without_images_is_done(images, tmp_path, capsys):
    assert run(images, tmp_path / "out", "--shard", "20/20") == ALL_DONE
    assert "0 images (shard 20/20 of 7 images), 0 cells" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "3/0", "a/b", "-1/3", "1/3/5"])
def test_what_is_no_shard_is_one_sentence(images, tmp_path, capsys, text):
    with pytest.raises(SystemExit):
        run(images, tmp_path / "out", f"--shard={text}")
    assert (
        f"{text} is not a shard; give NUMBER/COUNT with a number from 1 to the count, such as 3/20; `"
        in capsys.readouterr().err
    )
