"""The report of a run: its pictures and numbers against the labels, and its page as an HTML parser reads it."""

import base64
import hashlib
import json
import re
import subprocess
from dataclasses import asdict
from shutil import which

import cv2
import numpy as np
import pytest
from skimage.measure import block_reduce, regionprops_table
from skimage.segmentation import find_boundaries

from flowmask import outputs
from flowmask.errors import OutputError
from flowmask.images.image import ArrayImage
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.outputs.overlay import OUTLINE, displayed
from flowmask.outputs.report import pictures
from flowmask.outputs.report.card import read_card
from flowmask.outputs.report.histogram import histogram
from flowmask.outputs.report.page import write_page
from flowmask.outputs.subject import Subject
from flowmask.runs.record import DONE, FAILED, NOT_REACHED, SKIPPED, Outcome
from tests.reference.page import Page

BEGUN, ENDED = "2026-11-30T09:05:11+00:00", "2026-11-30T09:06:26+00:00"
REASON = "the cell probability is low (median 0.70)"


def squares(height, width, side, gap):
    """Labels with squares in rows and columns, numbered by first pixel."""
    labels = np.zeros((height, width), np.int32)
    number = 0
    for y in range(gap, height - side, side + gap):
        for x in range(gap, width - side, side + gap):
            number += 1
            labels[y : y + side - number % 3, x : x + side] = number
    return labels


def table_of(labels):
    builder, cells = CellTableBuilder(), int(labels.max())
    builder.add_cells(np.full(cells, 0.9), np.full(cells, 0.1))
    builder.add_rows(labels)
    return builder.table()


def make_card(folder, name, labels, pixels, step=50, pixel_size=None, channels=None, **outcome):
    """Write the card of an image and return its outcome and its card."""
    folder.mkdir(exist_ok=True)
    display = np.array([[0.0, 60_000.0]] * len(pixels))
    made = Outcome(
        f"in/{name}", DONE, cells=int(labels.max()), diameter=26.0, seconds=1.5, peak_memory=210_000_000, device="cpu",
    )  # fmt: skip
    made = Outcome(**{**asdict(made), "verdict": "good", **outcome})
    facts = {"provenance": {"flowmask": "a1", "cells": made.cells, "diameter": 26.0}, "outcome": asdict(made)}
    names = channels or tuple(map(str, range(len(pixels))))
    subject = Subject(labels.shape, names, pixel_size, table_of(labels), display, facts)
    strips = (labels[top : top + step] for top in range(0, len(labels), step))
    target = folder / f"{name.split('.')[0]}_label.tiff"
    (path,) = outputs.write_outputs(["report"], target, subject, ArrayImage(pixels), strips)
    return Outcome(**{**asdict(made), "outputs": (str(path),), "labels": (str(target),)}), read_card(path)


def pixels_of(labels, channels=1):
    noise = np.random.default_rng(0).integers(0, 4_000, (channels, *labels.shape), np.uint16)
    return noise + np.uint16(30_000) * (labels > 0)


def record_of(*outcomes, **more):
    options = {"input": "in", "output": "out", "min_size": 20, "channels": None, "flow_threshold": 0.4}
    return {
        "begun": BEGUN, "ended": ENDED, "ending": None, "versions": {"flowmask": "0.2", "numpy": "2.0.1"},
        "options": options, "network": {"path": "models/small.onnx", "sha256": "b2"},
        "device": {"requested": "auto", "used": "cpu", "fallback": "no GPU was found"},
        "files": [asdict(outcome) for outcome in outcomes], **more,
    }  # fmt: skip


def page_of(folder, *outcomes, **more):
    path = folder / "report.html"
    write_page(path, json.loads(json.dumps(record_of(*outcomes, **more))))
    return Page(path.read_text(encoding="utf-8"))


def decoded(text, flags=cv2.IMREAD_COLOR):
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), flags)


@pytest.mark.parametrize(("shape", "step"), [((90, 110), 1), ((700, 512), 1), ((1100, 770), 2), ((1999, 310), 4)])
def test_the_outlines_are_the_borders_of_the_labels(tmp_path, shape, step):
    labels = squares(*shape, 40, 12)
    _, card = make_card(tmp_path, "a.png", labels, pixels_of(labels))
    small = labels[pictures.middles(shape[0], step)][:, pictures.middles(shape[1], step)]
    layer = decoded(card["thumbnail"]["outlines"], cv2.IMREAD_UNCHANGED)
    assert card["thumbnail"]["size"] == list(small.shape)
    np.testing.assert_array_equal(layer[..., 3] == 255, find_boundaries(small, connectivity=1, mode="inner"))
    assert set(np.unique(layer[..., 3])) == {0, 255}
    np.testing.assert_array_equal(np.unique(layer[layer[..., 3] > 0], axis=0), [[*OUTLINE[::-1], 255]])


@pytest.mark.parametrize(("shape", "step"), [((90, 110), 1), ((1101, 770), 2), ((1999, 310), 4)])
def test_the_thumbnail_is_the_mean_of_blocks(tmp_path, shape, step):
    labels = squares(*shape, 40, 12)
    pixels = pixels_of(labels)
    _, card = make_card(tmp_path, "a.png", labels, pixels)
    padded = np.pad(pixels[0].astype(float), [(0, -shape[0] % step), (0, -shape[1] % step)], constant_values=np.nan)
    means = block_reduce(padded, (step, step), np.nanmean)
    picture = decoded(card["thumbnail"]["image"])
    assert picture.shape == (*means.shape, 3)
    expected = displayed(means[None], np.array([[0.0, 60_000.0]])).astype(int)
    assert np.abs(picture[..., ::-1] - expected).mean() < 4


def test_non_finite_pixels_are_left_out_of_the_means():
    pixels = np.random.default_rng(0).standard_normal((2, 7, 9))
    pixels[0, :2, :2] = np.nan
    pixels[1, 3, 3], pixels[1, 6, 8] = np.inf, np.nan
    padded = np.pad(np.where(np.isfinite(pixels), pixels, np.nan), [(0, 0), (0, 1), (0, 1)], constant_values=np.nan)
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        expected = np.stack([block_reduce(channel, (2, 2), np.nanmean, cval=np.nan) for channel in padded])
    np.testing.assert_allclose(pictures.block_means(pixels, 2), expected)


@pytest.mark.slow
def test_the_card_does_not_depend_on_the_strips(tmp_path):
    labels = squares(1100, 1300, 9, 6)
    pixels = pixels_of(labels, 2)
    cards = [make_card(tmp_path / str(step), "a.png", labels, pixels, step)[1] for step in (7, 64, 1100)]
    assert cards[0]["detail"]
    assert cards[0] == cards[1] == cards[2]


def test_small_cells_get_a_part_in_full_size_where_most_cells_are(tmp_path):
    labels = squares(1100, 1300, 9, 6)
    labels[:, :650] = 0
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    pixels = pixels_of(labels)
    _, card = make_card(tmp_path, "a.png", labels, pixels)
    top, left, bottom, right = card["detail"]["box"]
    assert (bottom - top, right - left) == (pictures.DETAIL, pictures.DETAIL)
    inside = labels[top:bottom, left:right]
    windows = [len(np.unique(labels[y : y + 384, x : x + 384])) for y in range(0, 717, 192) for x in range(0, 917, 192)]
    assert len(np.unique(inside)) >= 0.9 * max(windows)
    layer = decoded(card["detail"]["outlines"], cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(layer[..., 3] > 0, find_boundaries(inside, connectivity=1, mode="inner"))
    shown = displayed(pixels[:, top:bottom, left:right], np.array([[0.0, 60_000.0]])).astype(int)
    assert np.abs(decoded(card["detail"]["image"])[..., ::-1] - shown).mean() < 6
    _, large = make_card(tmp_path, "b.png", squares(1100, 1300, 60, 6), pixels)
    assert large["detail"] is None


def test_outlines_on_a_bright_picture_are_dark():
    labels = squares(60, 60, 20, 5)
    for value, colour in ((10, OUTLINE), (230, pictures.DARK_OUTLINE)):
        png = pictures.outlines_png(labels, np.full((60, 60, 3), value, np.uint8))
        layer = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        assert layer[layer[..., 3] > 0][0].tolist() == [*colour[::-1], 255]


def test_histograms_count_every_cell_once():
    values = np.random.default_rng(0).lognormal(3, 1, 2000)
    found = histogram(values)
    assert sum(found.counts) == 2000
    assert found.median == np.median(values)
    assert (found.smallest, found.largest) == (values.min(), values.max())
    edges = np.linspace(found.low, found.high, len(found.counts) + 1)
    np.testing.assert_array_equal(found.counts[1:-1], np.histogram(values, edges)[0][1:-1])
    assert found.counts[-1] == (values >= edges[-2]).sum()
    assert (values > found.high).mean() <= 0.005


def test_histograms_of_few_equal_or_no_values():
    assert sum(histogram(np.array([3.0])).counts) == 1
    assert histogram(np.zeros(4)).low < 0 < histogram(np.zeros(4)).high
    assert histogram(np.array([np.nan, np.inf])) is None


def test_the_numbers_of_a_card_are_those_of_scikit_image(tmp_path):
    labels = squares(300, 400, 30, 7)
    pixels = pixels_of(labels, 2)
    _, card = make_card(tmp_path, "a.png", labels, pixels, pixel_size=0.5, channels=("DAPI", "GFP"))
    expected = regionprops_table(
        labels, pixels.transpose(1, 2, 0), properties=("equivalent_diameter_area", "intensity_mean")
    )
    diameters = expected["equivalent_diameter_area"] / 2
    assert card["diameters"]["median"] == pytest.approx(np.median(diameters))
    assert (card["diameters"]["smallest"], card["diameters"]["largest"]) == pytest.approx(
        (diameters.min(), diameters.max())
    )
    for at, found in enumerate(card["intensities"]):
        assert found["median"] == pytest.approx(np.median(expected[f"intensity_mean-{at}"]))
        assert sum(found["counts"]) == labels.max()
    assert card["covered"] == (labels > 0).mean()


@pytest.fixture
def outcomes(tmp_path):
    """Images of every kind, not in the order of the report."""
    few, many = squares(120, 100, 30, 7), squares(200, 260, 20, 7)
    good, _ = make_card(tmp_path, "good.png", many, pixels_of(many, 6))
    empty, _ = make_card(
        tmp_path, "empty.tif", np.zeros((50, 60), np.int32), np.zeros((1, 50, 60), np.uint8), verdict="check",
        reasons=("no cells were found",),
    )  # fmt: skip
    earlier, _ = make_card(
        tmp_path, "earlier.png", few, pixels_of(few), verdict="poor", reasons=(REASON,), seconds=61.0,
        warnings=("give a larger `gpu_memory`",),
    )  # fmt: skip
    skipped = Outcome(
        earlier.file, SKIPPED, labels=earlier.labels, outputs=earlier.outputs, cells=earlier.cells, diameter=26.0
    )
    bad = Outcome('in/b<i>&".tif', FAILED, 'in/b<i>&".tif: it is <b>damaged</b>; remove it.')
    second = Outcome("in/series.tif", FAILED, "in/series.tif: frame t002: it is empty.", frame="t002", frames=2)
    return [good, bad, empty, skipped, Outcome("in/late.png", NOT_REACHED), second]


def test_every_image_has_its_card_and_those_that_need_a_look_come_first(tmp_path, outcomes):
    page = page_of(tmp_path, *outcomes)
    cards = page.all("article")
    names = [page.all("h3", card)[0]["text"] for card in cards]
    expected = ['b<i>&".tif', "series.tif t002", "late.png", "earlier.png", "empty.tif", "good.png"]
    assert names == expected
    levels = ["failed", "failed", "undone", "poor", "check", "good"]
    assert [card["data-level"] for card in cards] == levels
    assert [card["in"][-1]["data-level"] for card in cards] == levels
    assert [row["text"] for row in page.all("a") if row["in"][-1]["tag"] == "th"] == expected
    assert [row["href"] for row in page.all("a") if row["in"][-1]["tag"] == "th"] == [
        f"#{card['id']}" for card in cards
    ]
    shown = {button["data-show"]: button["text"] for button in page.all("button") if "data-show" in button}
    assert shown == {
        "all": "All 6", "failed": "Failed 2", "undone": "Not done 1", "poor": "Poor 1", "check": "Check 1",
        "good": "Good 1",
    }  # fmt: skip


def test_the_numbers_are_those_of_the_record(tmp_path, outcomes):
    page = page_of(tmp_path, *outcomes)
    cells = {"good.png": outcomes[0].cells, "empty.tif": 0, "earlier.png": outcomes[3].cells}
    for card in page.all("article"):
        name = page.all("h3", card)[0]["text"]
        found = [p["text"] for p in page.all("p", card, **{"class": "cells"})]
        expected = [f"{cells[name]:,} cells"] if name in cells else []
        assert [text.split(", which")[0] for text in found] == expected, name
    tiles = {
        div["in"][-1]["class"]: div for div in page.all("div") if div["in"] and div["in"][-1].get("class") == "tiles"
    }
    assert tiles
    assert page.all("dl", **{"class": "tiles"})[0]["text"].startswith(f"Cells{sum(cells.values()):,}")
    summary = page.all("p", **{"class": "summary"})[0]["text"]
    assert summary == (
        f"{sum(cells.values())} cells in 3 images. 1 image without cells. 5 of 6 images need a look; they come first."
    )
    assert "1 min 15 s" in page.all("dl", **{"class": "tiles"})[0]["text"]


def test_failed_images_have_their_sentence_and_others_their_reasons(tmp_path, outcomes):
    page = page_of(tmp_path, *outcomes)
    bad, frame, late, earlier, empty, good = page.all("article")
    assert bad["text"].endswith("FailedIt is <b>damaged</b>; remove it.")
    assert frame["text"].endswith("FailedIt is empty.")
    assert "--resume" in late["text"]
    assert [item["text"] for item in page.all("li", empty)] == ["No cells were found"]
    assert page.all("li", good) == []
    assert page.all("img", bad) == []
    assert [item["text"] for item in page.all("li", earlier)] == [
        REASON[0].upper() + REASON[1:],
        "Give a larger --gpu-memory",
    ]
    assert "1 min 1 s, in an earlier run" in earlier["text"]
    assert "1.5 s" in good["text"]
    assert "210 MB" in good["text"]


def test_pictures_are_two_layers_within_the_page(tmp_path, outcomes):
    page = page_of(tmp_path, *outcomes)
    images = page.all("img")
    assert len(images) == 2 * 3
    for image, outlines in zip(images[::2], images[1::2], strict=True):
        card = next(each for each in image["in"] if each["tag"] == "article")
        assert image["src"].startswith("data:image/jpeg;base64,")
        assert outlines["class"] == "outlines"
        shown = decoded(image["src"].split(",")[1])
        layer = decoded(outlines["src"].split(",")[1], cv2.IMREAD_UNCHANGED)
        assert shown.shape[:2] == layer.shape[:2] == (int(image["height"]), int(image["width"]))
        assert page.all("h3", card)[0]["text"] in image["alt"]


def test_nothing_is_fetched_and_no_name_is_markup(tmp_path, outcomes):
    page = page_of(tmp_path, *outcomes)
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.all("i") == []
    assert not re.search(r"""(src|href)=["'](?!data:|#)|url\(|@import|https?:""", source)
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
    (script,) = page.all("script")
    digest = base64.b64encode(hashlib.sha256(script["text"].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r"<[^>]+ on\w+=", source)


def test_charts_have_their_cells_and_many_channels_are_folded(tmp_path, outcomes):
    page = page_of(tmp_path, *outcomes)
    good = page.all("article")[-1]
    charts = page.all("svg", good)
    assert len(charts) == 1 + 6
    for svg in charts:
        assert f"{outcomes[0].cells} cells, median" in svg["aria-label"]
        cells = [int(title["text"].split()[0]) for title in page.all("title", svg)]
        assert sum(cells) == outcomes[0].cells
        heights = [float(bar["height"]) for bar in page.all("rect", svg)]
        np.testing.assert_allclose(heights, np.array(cells) / max(cells) * 56, atol=0.06)
    folded = [svg for svg in charts if any(each["tag"] == "details" for each in svg["in"])]
    assert len(folded) == 2
    assert page.all("svg", page.all("article")[-2]) == []


def test_settings_versions_and_the_end_of_the_run_are_told(tmp_path, outcomes):
    page = page_of(tmp_path, *outcomes, ending="SIGTERM")
    run = page.all("section", **{"class": "run"})[0]
    settings, defaults = (
        {page.all("dt", row)[0]["text"]: page.all("dd", row)[0]["text"] for row in page.all("div", part)}
        for part in (page.all("dl", run)[1], page.all("dl", run)[2])
    )
    assert settings == {"--min-size": "20"}
    assert defaults == {"--channels": "not set", "--flow-threshold": "0.4"}
    assert "numpy2.0.1" in run["text"]
    assert "no GPU was found" in run["text"]
    assert "30 November 2026, 09:05 UTC" in run["text"]
    assert "stopped by SIGTERM" in page.all("p", **{"class": "stopped"})[0]["text"]


def test_headings_descend_and_controls_are_buttons(tmp_path, outcomes):
    page = page_of(tmp_path, *outcomes)
    headings = [int(element["tag"][1]) for element in page.elements if re.fullmatch(r"h\d", element["tag"])]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(headings, headings[1:], strict=False))
    assert all(button["type"] == "button" for button in page.all("button"))
    assert all(button["aria-pressed"] in ("true", "false") for button in page.all("button"))
    assert all(image["alt"] for image in page.all("img"))
    ids = [element["id"] for element in page.elements if "id" in element]
    assert len(ids) == len(set(ids))


def test_a_file_that_is_no_card_is_refused(tmp_path):
    labels = squares(60, 60, 20, 5)
    outcome, _ = make_card(tmp_path, "a.png", labels, pixels_of(labels))
    (tmp_path / "a_card.json").write_text("[]")
    with pytest.raises(OutputError, match=r"a_card.json: it is not a report card written by Flowmask"):
        page_of(tmp_path, outcome)
    assert not (tmp_path / "report.html").exists()


CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the path")
def test_a_browser_runs_the_script_of_the_page(tmp_path, outcomes):
    """The page's policy allows its own script alone; the controls appear when the script has run."""
    page_of(tmp_path, *outcomes)
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom"]
    url = (tmp_path / "report.html").as_uri()
    shown = subprocess.run([CHROMIUM, *words, url], capture_output=True, text=True, timeout=120, check=True).stdout
    (controls,) = Page(re.sub("<line([^>]*)></line>", r"<line\1/>", shown)).all("div", **{"class": "controls"})
    assert "hidden" not in controls
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "hidden" in Page(source).all("div", **{"class": "controls"})[0]
