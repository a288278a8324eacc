"""The option --save report: one page for all images of a run."""

import json

import numpy as np
import pytest
import tifffile

from flowmask.cli import main
from flowmask.runs.batch import ALL_DONE, SOME_FAILED, WRONG_USAGE
from tests.conftest import needs_network
from tests.reference.page import Page

pytestmark = [needs_network, pytest.mark.slow]


def run(folder, *options):
    words = ["-i", folder / "in", "-o", folder / "out", "--save", "report", "--report", folder / "run.json"]
    return main([str(word) for word in (*words, "--diameter", 26, *options)])


def entries(folder):
    """Name, level and first lines of each card of the page."""
    page = Page((folder / "out" / "report.html").read_text(encoding="utf-8"))
    return [
        (
            page.all("h3", card)[0]["text"],
            card["data-level"],
            [found["text"].split(",")[0] for found in page.all("p", card) if found.get("class") in ("cells", "reason")],
            "in an earlier run" in card["text"],
        )
        for card in page.all("article")
    ]


def record(folder):
    return {file["file"].split("/")[-1]: file for file in json.loads((folder / "run.json").read_text())["files"]}


def in_words(cells):
    return f"{cells} cell{'s' * (cells != 1)}"


def test_the_page_agrees_with_the_record_and_the_labels(folder, capsys):
    (folder / "in" / "b.tif").write_bytes(b"II*\0 and no more")
    assert run(folder) == SOME_FAILED
    assert f"the report is {folder / 'out' / 'report.html'}" in capsys.readouterr().err
    made = record(folder)
    first, *others = entries(folder)
    sentence = made["b.tif"]["reason"].removeprefix(f"{folder / 'in' / 'b.tif'}: ")
    assert first[:2] == ("b.tif", "failed")
    assert sentence.lower().startswith(first[2][0].lower())
    for name, level, (cells,), _ in others:
        assert level == made[name]["verdict"]
        assert cells == in_words(made[name]["cells"])
        labels = tifffile.imread(folder / "out" / f"{name.removesuffix('.tif')}_label.tiff")
        assert cells == in_words(int(labels.max()))
    assert sorted(name for name, *_ in others) == ["a1.tif", "a2.tif"]


def test_resume_keeps_the_cards_of_earlier_runs(folder):
    assert run(folder, "--resume") == ALL_DONE
    before = entries(folder)
    for name in ("report.html", "a2_card.json", "a2_label.tiff"):
        (folder / "out" / name).unlink()
    assert run(folder, "--resume") == ALL_DONE
    assert {name: file["status"] for name, file in record(folder).items()} == {"a1.tif": "skipped", "a2.tif": "done"}
    after = entries(folder)
    assert [entry[:3] for entry in after] == [entry[:3] for entry in before]
    assert {entry[0]: entry[3] for entry in after} == {"a1.tif": True, "a2.tif": False}


def test_a_card_of_other_labels_is_made_again(folder):
    assert run(folder) == ALL_DONE
    before = record(folder)["a1.tif"]["cells"]
    options = ["--min-size", "450"]
    assert run(folder, "--save", "labels", *options) == ALL_DONE
    fewer = record(folder)["a1.tif"]["cells"]
    assert fewer < before
    assert run(folder, "--resume", *options) == ALL_DONE
    assert record(folder)["a1.tif"]["status"] == "done"
    assert {entry[0]: entry[2] for entry in entries(folder)}["a1.tif"] == [in_words(fewer)]


def test_images_that_were_not_reached_are_listed(folder):
    (folder / "in" / "a0.tif").write_bytes(b"II*\0 and no more")
    assert run(folder, "--strict") == SOME_FAILED
    assert [entry[:2] for entry in entries(folder)] == [
        ("a0.tif", "failed"), ("a1.tif", "undone"), ("a2.tif", "undone"),
    ]  # fmt: skip


def test_each_frame_has_its_card(folder):
    frames = np.stack([tifffile.imread(folder / "in" / f"a{number}.tif") for number in (1, 2)])
    for path in (folder / "in").iterdir():
        path.unlink()
    tifffile.imwrite(folder / "in" / "s.tif", frames, imagej=True, metadata={"axes": "TYX"})
    assert run(folder) == ALL_DONE
    assert sorted(entry[0] for entry in entries(folder)) == ["s.tif t001", "s.tif t002"]


def test_a_page_of_the_user_is_not_replaced(folder, capsys):
    (folder / "out").mkdir()
    (folder / "out" / "report.html").write_text("<h1>mine</h1>")
    assert run(folder) == WRONG_USAGE
    assert "report.html: the file exists and Flowmask did not write it" in capsys.readouterr().err
    assert (folder / "out" / "report.html").read_text() == "<h1>mine</h1>"
    assert not list((folder / "out").glob("*_label.tiff"))
