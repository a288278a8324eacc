"""`flowmask view`: its tiles against the pixels and labels themselves, the cells it finds, and what it refuses."""

import csv
import http.client
import json
import math
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict
from shutil import which

import cv2
import numpy as np
import pytest
import tifffile
from skimage.measure import block_reduce, regionprops_table
from skimage.segmentation import find_boundaries

from flowmask.cli import flowmask
from flowmask.errors import ImageError, InputError, SettingsError
from flowmask.labels.paths import label_path
from flowmask.labels.provenance import description, read_provenance
from flowmask.labels.store import pack
from flowmask.labels.writers import write_strips
from flowmask.outputs.encode import jpeg
from flowmask.outputs.overlay import OUTLINE, display_ranges, displayed
from flowmask.runs.batch import WRONG_USAGE
from flowmask.viewer.cells import Filter
from flowmask.viewer.found import find_results
from flowmask.viewer.gallery import Gallery
from flowmask.viewer.pyramid import level_shape
from flowmask.viewer.refused import Refused
from flowmask.viewer.server import address, make_server
from flowmask.viewer.slide import QUALITY, open_slide
from tests.conftest import ROOT

HEIGHT, WIDTH = 701, 1150
CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")


def scene():
    """Labels of discs of several sizes in rows, numbered by first pixel, and a picture of them."""
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    for number, (y, x) in enumerate(((y, x) for y in range(25, HEIGHT, 50) for x in range(25, WIDTH, 50)), 1):
        cv2.circle(labels, (x, y), 12 + number % 14, number, cv2.FILLED)
    noise = np.random.default_rng(0).integers(0, 8, (HEIGHT, WIDTH))
    pixels = np.stack([60 + 120 * (labels > 0) + noise, 90 + noise, 200 - 100 * (labels > 0) + noise], axis=-1)
    return labels, pixels.astype(np.uint8)


LABELS, PIXELS = scene()
CELLS = int(LABELS.max())


def write_label_file(folder, name, labels):
    strips = (pack(labels[top : top + 64], np.uint16) for top in range(0, len(labels), 64))
    path = label_path(folder, name)
    write_strips(path, strips, labels.shape, np.uint16, description({}, int(labels.max()), 30.0), 0.5)
    return path


def write_table(folder, labels, name):
    columns = regionprops_table(labels, properties=("label", "area", "bbox", "centroid"))
    columns["probability"] = np.linspace(0.5, 1, len(columns["label"]))
    path = folder / f"{name}_cells.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Images, and labels with a table for the first one alone."""
    images, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("out")
    tifffile.imwrite(images / "a.tif", PIXELS, photometric="rgb", compression="zlib", tile=(128, 128))
    cv2.imwrite(str(images / "b.png"), PIXELS[:100, :130, ::-1])
    write_label_file(out, "a.tif", LABELS)
    write_label_file(out, "b.png", np.unique(LABELS[:100, :130], return_inverse=True)[1].reshape(100, 130))
    write_table(out, LABELS, "a")
    return images, out


@pytest.fixture(scope="module")
def slide(folders):
    found, _ = find_results(folders[1], [folders[0]])
    return open_slide(found[0])


@pytest.fixture(scope="module")
def server(folders):
    found, _ = find_results(folders[1], [folders[0]])
    gallery = Gallery(found)
    with make_server(gallery) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
        gallery.close()


def get(server, path, host=None, key=True):
    """Return status, headers and body of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=120)
    start = address(server).split("/", 3)[3] if key else ""
    headers = {"Host": host} if host else {}
    connection.request("GET", f"/{start}{path}", headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body


def ready(server, number):
    for _ in range(600):
        state = json.loads(get(server, f"images/{number}")[2])
        if "progress" not in state:
            return state
        time.sleep(0.1)
    raise AssertionError("the image does not open")


def decoded(data):
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.concatenate([picture[..., 2::-1], picture[..., 3:]], axis=-1)


def tiles_of(slide, level, tile):
    """Return a whole level, put together from its tiles."""
    height, width = level_shape(slide.shape, slide.step(level))
    rows = [[tile(row, column) for column in range(-(-width // 256))] for row in range(-(-height // 256))]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def wanted_labels(step, shown=None):
    labels = LABELS[::step, ::step]
    return labels if shown is None else np.where(np.isin(labels, shown), labels, 0)


def test_levels_go_from_one_tile_to_full_size(slide):
    assert slide.levels == 4
    assert [slide.step(level) for level in range(4)] == [8, 4, 2, 1]
    with pytest.raises(Refused):
        slide.step(4)
    with pytest.raises(Refused):
        slide.picture(3, 0, 5)


def as_tiles(picture):
    """Return a level as it looks after each of its tiles was a JPEG file."""
    rows, columns = (range(0, length, 256) for length in picture.shape[:2])
    parts = [[decoded(jpeg(picture[y : y + 256, x : x + 256], QUALITY)) for x in columns] for y in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in parts])


@pytest.mark.parametrize("level", range(4))
def test_tiles_of_the_image_are_its_pixels_or_their_means(slide, level):
    step = slide.step(level)
    edges = ((0, -HEIGHT % step), (0, -WIDTH % step), (0, 0))
    means = block_reduce(np.pad(PIXELS, edges, "edge"), (step, step, 1), np.mean)
    shown = tiles_of(slide, level, lambda row, column: decoded(slide.picture(level, row, column)))
    wanted = as_tiles(np.round(means).astype(np.uint8))
    assert shown.shape == wanted.shape
    difference = np.abs(shown.astype(int) - wanted)
    assert difference.max() == 0 if step == 1 else difference.mean() < 2.5  # means are rounded once or more often


@pytest.mark.parametrize("level", range(4))
def test_outlines_are_those_of_the_whole_level(slide, level):
    shown = tiles_of(slide, level, lambda row, column: decoded(slide.layer("outlines", level, row, column, Filter())))
    labels = wanted_labels(slide.step(level))
    crowded = slide.diameter < 7 * slide.step(level)
    cells = labels > 0 if crowded else find_boundaries(labels, connectivity=1, mode="inner")
    assert np.array_equal(shown[..., 3] > 0, cells)
    assert {tuple(colour) for colour in shown[cells][:, :3]} == {tuple(OUTLINE)}
    assert crowded == (slide.step(level) == 8)


@pytest.mark.parametrize("level", [1, 3])
def test_filled_cells_have_a_colour_each(slide, level):
    shown = tiles_of(slide, level, lambda row, column: decoded(slide.layer("fills", level, row, column, Filter())))
    labels = wanted_labels(slide.step(level))
    assert np.array_equal(shown[..., 3] > 0, labels > 0)
    colours = {number: {tuple(colour) for colour in shown[labels == number][:, :3]} for number in (1, 2, 3, 150)}
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 4


@pytest.mark.parametrize(
    ("wanted", "condition"),
    [
        (Filter(area_min=900), lambda areas, probabilities: areas >= 900),
        (Filter(area_max=900), lambda areas, probabilities: areas <= 900),
        (Filter(probability_min=0.75), lambda areas, probabilities: probabilities >= np.float32(0.75)),
        (Filter(600, 1500, 0.6, 0.8), lambda a, p: (a >= 600) & (a <= 1500) & (p >= 0.6) & (p <= 0.8)),
    ],
)
def test_a_filter_hides_cells(slide, wanted, condition):
    areas = np.bincount(LABELS.ravel())[1:]
    shown = np.flatnonzero(condition(areas, np.linspace(0.5, 1, CELLS).astype(np.float32))) + 1
    assert 0 < len(shown) < CELLS
    layer = tiles_of(slide, 3, lambda row, column: decoded(slide.layer("fills", 3, row, column, wanted)))
    assert np.array_equal(np.unique(LABELS[layer[..., 3] > 0]), shown)
    assert np.array_equal(slide.cells_in((0, 0, math.inf, math.inf), wanted), shown)


def test_the_cell_at_a_point(slide):
    for y, x in ((25, 25), (0, 0), (474, 624), (HEIGHT - 1, WIDTH - 1), (-1, 5), (5, WIDTH)):
        inside = 0 <= y < HEIGHT and 0 <= x < WIDTH
        assert slide.cell_at(y, x) == (LABELS[y, x] if inside else 0)


def test_cells_are_measured_as_scikit_image_does(slide):
    known = regionprops_table(LABELS, properties=("area", "bbox", "centroid"))
    assert np.array_equal(slide.cells.areas, known["area"])
    for at in range(4):
        assert np.array_equal(slide.cells.boxes[:, at], known[f"bbox-{at}"])
    for at in range(2):
        assert np.allclose(slide.cells.centroids[:, at], known[f"centroid-{at}"], rtol=1e-6)


def test_an_outline_encloses_its_cell(slide):
    (ring,) = slide.outline(30)
    mask = np.zeros(LABELS.shape, np.uint8)
    corners = 2 * np.array(ring)  # edges of pixels lie at even, their middles at odd positions
    wide = np.zeros((2 * HEIGHT + 1, 2 * WIDTH + 1), np.uint8)
    cv2.fillPoly(wide, [corners], 1)
    mask = wide[1::2, 1::2]
    assert np.array_equal(mask > 0, LABELS == 30)


def test_a_region_as_table_and_as_outlines(server, folders):
    ready(server, 0)
    query = "top=100&left=200&bottom=300&right=500&area_min=700"
    with (folders[1] / "a_cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    y, x, area = (np.array([float(row[name]) for row in rows]) for name in ("centroid-0", "centroid-1", "area"))
    expected = [
        row
        for row, chosen in zip(rows, (y >= 100) & (y < 300) & (x >= 200) & (x < 500) & (area >= 700), strict=True)
        if chosen
    ]
    assert 3 < len(expected) < CELLS
    status, headers, body = get(server, f"images/0/cells.csv?{query}")
    assert status == 200
    assert headers["Content-Disposition"] == 'attachment; filename="a.tif_region.csv"'
    assert list(csv.DictReader(body.decode().splitlines())) == expected
    shapes = json.loads(get(server, f"images/0/cells.geojson?{query}")[2])["features"]
    assert [shape["properties"]["name"] for shape in shapes] == [row["label"] for row in expected]
    assert [shape["properties"]["measurements"]["Area um^2"] for shape in shapes] == [
        float(row["area"]) / 4 for row in expected
    ]
    counted = json.loads(get(server, f"images/0/count?{query}")[2])
    assert counted == {"shown": int((area >= 700).sum()), "inside": len(expected)}


def test_a_cell_over_http(server):
    about = ready(server, 0)
    assert (about["height"], about["width"], about["cells"], about["pixel_size_um"]) == (HEIGHT, WIDTH, CELLS, 0.5)
    found = json.loads(get(server, "images/0/cell?y=25&x=75")[2])
    assert found["cell"] == LABELS[25, 75] == 2
    assert found["row"]["area"] == str(float((LABELS == 2).sum()))
    assert json.loads(get(server, "images/0/cell?y=0&x=0")[2]) is None
    assert json.loads(get(server, "images/0/cell?y=25&x=75&area_min=99999")[2]) is None
    status, headers, body = get(server, "images/0/outlines/3/2_1.png?area_min=700")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert decoded(body).shape == (256, 256, 4)


def test_an_image_without_table(server):
    about = ready(server, 1)
    assert not about["probability"]
    row = json.loads(get(server, "images/1/cell?y=25&x=25")[2])["row"]
    assert (row["label"], row["area"]) == ("1", str((LABELS == 1).sum()))
    whole = get(server, "images/1/cells.csv?top=0&left=0&bottom=999&right=999")[2].decode().splitlines()
    assert len(whole) == about["cells"] + 1


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}"])
def test_another_host_is_refused(server, host):
    assert get(server, "images", host.format(port=server.server_port))[0] == 404
    assert get(server, "images", f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "../images", "static/page.html", "viewer.css/..", "%2e%2e/cli.py", "server.py", "page.html", "images/99",
        "images/-1",
        "images/0/image/9/0_0.jpg", "images/0/image/3/9_9.jpg", "images/0/image/3/0_0.png", "images/0/a.tif",
        "images/0/cells.csv?top=nan&left=0&bottom=1&right=1", "images/0/cell?y=a&x=0", "images/0/cell",
        "images/0/outlines/3/0_0.png?area_min=x", "//etc/passwd",
    ],
)  # fmt: skip
def test_what_is_not_listed_is_refused(server, path):
    ready(server, 0)
    assert get(server, path)[0] == 404


def test_nothing_is_given_without_the_word_of_the_address(server):
    for path in ("", "images", "xxxxxxxxxxxxxxxx/images", "viewer.js"):
        assert get(server, path, key=False)[0] == 404
    assert address(server).startswith(f"http://127.0.0.1:{server.server_port}/")
    assert server.server_address[0] == "127.0.0.1"


def test_the_page_fetches_nothing_from_elsewhere(server):
    status, headers, body = get(server, "")
    assert status == 200
    assert b"http" not in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for name in ("viewer.css", "viewer.js", "openseadragon.js", "openseadragon.LICENSE.txt"):
        assert get(server, name)[0] == 200
    assert b"Redistribution and use" in get(server, "openseadragon.LICENSE.txt")[2]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the path")
def test_a_browser_shows_the_page(server, tmp_path):
    """The list of images is there, the first one is open, and its cells are counted."""
    ready(server, 0)
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom"]
    command = [CHROMIUM, *words, "--virtual-time-budget=8000", address(server)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout
    assert f"{CELLS:,} of {CELLS:,} cells are shown" in shown
    assert 'aria-current="true"' in shown


# Which image belongs to which labels


def test_images_are_found_by_name_and_frame(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("c.tif", "c_nuclear.tif", "c_t002.tif", "c_t002_nuclear.tif", "lost.tif"):
        write_label_file(out, name, LABELS[:70, :70])
    tifffile.imwrite(out / "other_label.tiff", np.zeros((5, 5), np.uint8))
    (tmp_path / "c.ome.tif").touch()
    found, missing = find_results(out, [tmp_path / "c.ome.tif"])
    assert [(one.image.name, one.suffix, one.name) for one in found] == [
        ("c.ome.tif", "", "c.ome.tif"),
        ("c.ome.tif", "_nuclear", "c.ome.tif nuclear"),
        ("c.ome.tif", "_t002", "c.ome.tif t002"),
        ("c.ome.tif", "_t002_nuclear", "c.ome.tif t002_nuclear"),
    ]
    assert missing == [f"{out / 'lost_label.tiff'}: its image was not found; name it: flowmask view {out} IMAGE"]


def test_the_nuclei_are_shown_on_their_frame(tmp_path):
    bright = np.tile(np.arange(70, dtype=np.uint8), (70, 1))
    frames = np.stack([bright, bright[:, ::-1]])
    tifffile.imwrite(tmp_path / "c.ome.tif", frames, ome=True, metadata={"axes": "TYX"}, photometric="minisblack")
    for name in ("c_t002.tif", "c_t002_nuclear.tif", "c_nuclear.tif"):
        write_label_file(tmp_path, name, LABELS[:70, :70])
    nuclei, frame, nuclei_of_frame = find_results(tmp_path, [tmp_path / "c.ome.tif"])[0]
    for found in (frame, nuclei_of_frame):
        shown = cv2.imdecode(np.frombuffer(open_slide(found).picture(0, 0, 0), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert shown[:, 5].mean() > shown[:, 60].mean() + 100
    with pytest.raises(ImageError, match="it has no frame nuclear, to which"):
        open_slide(nuclei)


def test_few_lines_are_about_many_labels_without_an_image(tmp_path, capsys):
    for number in range(9):
        write_label_file(tmp_path, f"{number}.tif", LABELS[:70, :70])
    (tmp_path / "8.tif").touch()
    assert flowmask(["view", str(tmp_path), str(tmp_path / "8.tif"), "--port", "80000"]) == WRONG_USAGE
    *named, others, _ = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in named] == [str(tmp_path / f"{n}_label.tiff") for n in range(5)]
    assert others == "error: the images of 3 other label files were not found either."


def test_images_are_found_by_the_cards(folders, tmp_path):
    path = write_label_file(tmp_path, "a.tif", LABELS)
    card = {
        "provenance": asdict(read_provenance(path)),
        "thumbnail": {},
        "outcome": {"file": str(folders[0] / "a.tif")},
    }
    (tmp_path / "a_card.json").write_text(json.dumps(card))
    (found,), missing = find_results(tmp_path, [])
    assert (found.image, missing) == (folders[0] / "a.tif", [])
    card["provenance"]["flowmask"] = "of other labels"
    (tmp_path / "a_card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="the images of its labels were not found; name them: flowmask view"):
        find_results(tmp_path, [])


def test_a_folder_without_labels(tmp_path, capsys):
    assert flowmask(["view", str(tmp_path), "--no-browser"]) == WRONG_USAGE
    assert "it contains no label files by Flowmask" in capsys.readouterr().err


def test_labels_of_another_size_are_named(folders, tmp_path):
    write_label_file(tmp_path, "a.tif", LABELS[:-1])
    gallery = Gallery(find_results(tmp_path, [folders[0]])[0])
    with pytest.raises(Exception, match="1150 x 700 px and .*a.tif has 1150 x 701 px; name the image"):
        gallery.slide(0)
    assert "1150 x 700 px" in gallery.state(0)["error"]
    gallery.close()


def test_label_files_with_several_channels_are_named(folders, tmp_path):
    path = label_path(tmp_path, "a.tif")
    about = description({}, 3, 30.0)
    tifffile.imwrite(path, np.stack([LABELS, LABELS], -1), planarconfig="contig", description=about, metadata=None)
    ((found, *_), _) = find_results(tmp_path, [folders[0]])
    with pytest.raises(ImageError, match="a_label.tiff: it has 2 channels, so it is not a label image"):
        open_slide(found)


def test_an_image_that_is_opened_again_begins_anew(folders):
    """Four images, of which three stay open: the fourth closes the first, also while they wait to be opened."""
    (one, *_), _ = find_results(folders[1], [folders[0]])
    gallery = Gallery([one] * 4)
    gallery.slide(0)
    first = gallery._opened[0]
    for number in (1, 2, 3):
        gallery.state(number)
    assert 0 not in gallery._opened
    assert gallery.state(0) == {"progress": 0.0}
    assert gallery._opened[0] is not first
    assert gallery.slide(0).cells
    gallery.close()


def test_an_image_that_is_no_longer_wanted_is_refused(folders):
    (one, *_), _ = find_results(folders[1], [folders[0]])
    gallery = Gallery([one])
    waiting = Future()
    waiting.cancel()
    gallery._opened[0] = waiting
    assert gallery.state(0) == {"progress": 0.0}
    with pytest.raises(Refused):
        gallery.slide(0)
    gallery.close()


def test_an_unexpected_error_is_answered_and_logged(server, monkeypatch, caplog):
    def broken(*_):
        return {}["a bug"]

    monkeypatch.setattr(server.RequestHandlerClass.gallery, "names", broken)
    status, _, body = get(server, "images")
    assert (status, body) == (500, b"unexpected error ('a bug'); please report it.")
    assert "KeyError" in caplog.text


def test_the_table_of_other_labels_is_named(folders, tmp_path):
    write_label_file(tmp_path, "a.tif", LABELS)
    write_table(tmp_path, np.where(LABELS < CELLS, LABELS, 0), "a")
    ((found, *_), _) = find_results(tmp_path, [folders[0]])
    with pytest.raises(InputError, match="a_cells.csv: it is not the table of these labels"):
        open_slide(found)


def test_a_port_in_use(server):
    with pytest.raises(SettingsError, match="choose another one with --port"):
        make_server(Gallery([]), server.server_port)


def test_an_image_of_many_channels_is_shown_in_colours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 60_000, (4, 90, 80), np.uint16)
    tifffile.imwrite(tmp_path / "m.tif", pixels, imagej=True, metadata={"axes": "CYX"})
    write_label_file(tmp_path, "m.tif", LABELS[:90, :80])
    slide = open_slide(find_results(tmp_path, [tmp_path / "m.tif"])[0][0])
    from flowmask.images.readers import open_image

    shown = displayed(pixels, display_ranges(open_image(tmp_path / "m.tif")))
    assert slide.picture(0, 0, 0) == jpeg(shown, QUALITY)


@pytest.mark.slow
def test_memory_on_a_wide_slide(tmp_path):
    """A row of tiles, and of strips, as wide as those of a slide of 40,000 x 40,000 px."""
    from bench.speed.viewer import make_slide

    make_slide(tmp_path, 4096, 40_000)
    words = [sys.executable, "-m", "bench.speed.viewer", "--folder", str(tmp_path)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout)["peak_mib"] < 500
