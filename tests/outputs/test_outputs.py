"""The outputs of an image against the programs and libraries that read them."""

import csv
import gzip
import json
import zipfile

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask
from skimage.io import imread
from skimage.measure import label, regionprops_table

from flowmask import outputs
from flowmask.errors import OutputError, SettingsError
from flowmask.images.image import ArrayImage
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.labels.paths import ENDINGS
from flowmask.options import SAVED
from flowmask.outputs.complete_cells import complete_cells
from flowmask.outputs.overlay import OUTLINE, displayed, outline_pixels
from flowmask.outputs.subject import Subject, channel_names

SHAPE = (230, 170)


def table_of(labels):
    builder = CellTableBuilder()
    count = int(labels.max())
    builder.add_cells(np.linspace(0.5, 1, count), np.linspace(0, 0.4, count))
    builder.add_rows(labels)
    return builder.table()


@pytest.fixture(scope="module")
def labels():
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 3)
    regions = label(smooth > 0.03, connectivity=2).astype(np.int32)
    assert regions.max() > 30
    return regions


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 60_000, (2, *SHAPE), np.uint16)


@pytest.fixture(scope="module")
def subject(labels):
    display = np.array([[0.0, 60_000.0]] * 2)
    return Subject(SHAPE, ("DAPI", "GFP"), 0.5, table_of(labels), display)


def write(folder, subject, labels, pixels, names, step=64):
    strips = (labels[top : top + step] for top in range(0, len(labels), step))
    return outputs.write_outputs(names, folder / "a_label.tiff", subject, ArrayImage(pixels), strips)


@pytest.mark.parametrize("step", [1, 13, 64, 230])
def test_every_cell_comes_once_and_whole(labels, subject, step):
    strips = [labels[top : top + step] for top in range(0, len(labels), step)]
    found = []
    for cells in complete_cells(strips, subject.cells.bbox):
        found += cells.numbers.tolist()
        for number, box in zip(cells.numbers, cells.boxes, strict=True):
            np.testing.assert_array_equal(box, subject.cells.bbox[number - 1])
            top, bottom = box[0] - cells.top, box[2] - cells.top
            window = cells.labels[top:bottom, box[1] - cells.left : box[3] - cells.left]
            np.testing.assert_array_equal(window, labels[box[0] : box[2], box[1] : box[3]])
    assert sorted(found) == list(range(1, labels.max() + 1))
    last_rows = subject.cells.bbox[np.array(found) - 1, 2]
    assert (np.diff(last_rows) >= 0).all()


def test_files_are_the_same_whatever_the_strips(tmp_path, labels, pixels, subject):
    folders = tmp_path / "one", tmp_path / "other"
    for folder, step in zip(folders, (7, 230), strict=True):
        folder.mkdir()
        write(folder, subject, labels, pixels, ("table", "rois", "overlay", "geojson"), step)
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name


def test_the_table_is_that_of_scikit_image(tmp_path, labels, pixels, subject):
    (path,) = write(tmp_path, subject, labels, pixels, ["table"])
    assert path.name == "a_cells.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("label", "bbox", "centroid", "area", "perimeter", "eccentricity", "solidity")
    intensities = ("intensity_mean", "intensity_std", "intensity_min", "intensity_max")
    expected = regionprops_table(labels, pixels.transpose(1, 2, 0), properties=(*names, *intensities))
    expected = {name.replace("-0", "-DAPI").replace("-1", "-GFP") if "intensity" in name else name: values
                for name, values in expected.items()}  # fmt: skip
    expected["area_um2"] = expected["area"] / 4
    for name, values in expected.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values, rtol=1e-6, atol=1e-9, err_msg=name)
    assert [float(row["probability"]) for row in rows] == pytest.approx(np.linspace(0.5, 1, labels.max()))
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    assert [row["label"] for row in rows if row["touches_border"] == "1"] == [str(cell) for cell in border if cell]


def filled(parts):
    """The mask of polygons given as lists of rings of (x, y), of which the first is the outer one."""
    mask = np.zeros(SHAPE, bool)
    for outer, *holes in parts:
        inside = polygon2mask(SHAPE, np.array(outer)[:, ::-1] - 0.5)
        for hole in holes:
            inside &= ~polygon2mask(SHAPE, np.array(hole)[:, ::-1] - 0.5)
        mask |= inside
    return mask


def test_geojson_holds_the_pixels_of_every_cell(tmp_path, labels, pixels, subject):
    (path,) = write(tmp_path, subject, labels, pixels, ["geojson"])
    features = json.loads(path.read_text())["features"]
    kinds = {feature["geometry"]["type"] for feature in features}
    assert kinds == {"Polygon", "MultiPolygon"}
    assert sorted(int(feature["properties"]["name"]) for feature in features) == list(range(1, labels.max() + 1))
    for feature in features:
        assert feature["properties"]["objectType"] == "detection"
        coordinates = feature["geometry"]["coordinates"]
        parts = coordinates if feature["geometry"]["type"] == "MultiPolygon" else [coordinates]
        assert all(ring[0] == ring[-1] and len(ring) >= 4 for part in parts for ring in part)
        cell = labels == int(feature["properties"]["name"])
        np.testing.assert_array_equal(filled(parts), cell)
        assert feature["properties"]["measurements"]["Area px^2"] == cell.sum()


def test_many_cells_are_compressed(tmp_path, labels, pixels, subject, monkeypatch):
    monkeypatch.setattr(outputs.geojson, "COMPRESSED", 10)
    (path,) = write(tmp_path, subject, labels, pixels, ["geojson"])
    assert path.name == "a_cells.geojson.gz"
    assert len(json.loads(gzip.decompress(path.read_bytes()))["features"]) == labels.max()


def test_rois_hold_the_pixels_of_every_cell(tmp_path, labels, pixels, subject):
    roifile = pytest.importorskip("roifile")
    (path,) = write(tmp_path, subject, labels, pixels, ["rois"])
    rois = roifile.roiread(path)
    assert [int(roi.name) for roi in rois] == sorted({int(roi.name) for roi in rois}, key=[
        int(name.removesuffix(".roi")) for name in zipfile.ZipFile(path).namelist()
    ].index)  # fmt: skip
    assert len(rois) == labels.max()
    for roi in rois:
        rings = roi.coordinates(multi=True)
        parts = np.logical_xor.reduce([filled([[ring]]) for ring in rings])  # holes lie inside outer rings
        np.testing.assert_array_equal(parts, labels == int(roi.name))


def test_a_missing_package_gives_a_sentence_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(outputs, "find_spec", lambda name: None)
    outputs.check_names(["table", "geojson", "rois", "overlay"])
    with pytest.raises(SettingsError, match=r'`save=.zarr.` needs .* pip install "flowmask\[zarr\]"'):
        outputs.check_names(["table", "zarr"])


def test_every_output_has_a_name_of_the_option_and_a_known_ending(tmp_path):
    assert ("labels", *outputs.KINDS) == SAVED
    for kind in outputs.KINDS.values():
        assert {kind.ending(0), kind.ending(10**9)} <= set(ENDINGS)


def test_the_overlay_shows_the_image_and_the_outlines(tmp_path, labels, pixels, subject):
    (path,) = write(tmp_path, subject, labels, pixels, ["overlay"])
    picture = imread(path).astype(int)
    assert picture.shape == (*SHAPE, 3)
    outline = outline_pixels(labels)
    assert np.abs(picture[outline] - OUTLINE).mean() < 60
    assert np.abs(picture[~outline] - OUTLINE).mean() > 100


def test_a_large_image_is_shown_at_most_2000_px_wide(tmp_path):
    labels, pixels = np.zeros((30, 4100), np.int32), np.full((1, 30, 4100), 7, np.uint8)
    labels[4:20, 100:200] = 1
    wide = Subject(labels.shape, ("0",), None, table_of(labels), np.array([[0.0, 10.0]]))
    (path,) = write(tmp_path, wide, labels, pixels, ["overlay"], step=7)
    assert imread(path).shape == (10, 1367, 3)


def test_colour_images_are_shown_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    shown = displayed(image, np.array([[0.0, 255.0]] * 3))
    np.testing.assert_allclose(shown, image.transpose(1, 2, 0), atol=1)


def test_8_bits_are_shown_as_the_same_values_of_16_bits():
    image = np.random.default_rng(0).integers(0, 256, (2, 30, 40), np.uint8)
    display = np.array([[7.0, 90.0], [0.0, 0.0]])
    np.testing.assert_array_equal(displayed(image, display), displayed(image.astype(np.uint16), display))


def test_nothing_is_left_where_an_output_cannot_be_written(tmp_path, labels, pixels, subject):
    (tmp_path / "a_cells.csv").mkdir()
    with pytest.raises(OutputError, match="a_cells.csv"):
        write(tmp_path, subject, labels, pixels, ["table"])
    assert [path.name for path in tmp_path.iterdir()] == ["a_cells.csv"]


def test_incomplete_or_repeated_names_of_channels_are_numbers():
    assert channel_names(("a", "a"), 2) == ("0", "1")
    assert channel_names(("a",), 2) == ("0", "1")
    assert channel_names(("a", ""), 2) == ("0", "1")
