"""ROIs, GeoJSON and zip files, byte by byte, against roifile, json and zipfile."""

import io
import json
import zipfile

import numpy as np
import pytest

from flowmask.labels.outlines import simplified
from flowmask.outputs.complete_cells import Cells
from flowmask.outputs.geojson import features
from flowmask.outputs.ring_text import ring_text
from flowmask.outputs.rois import rois
from flowmask.system import zip_file
from tests.outputs.test_outputs import labels, table_of

__all__ = ["labels"]
MOVE, LINE, CLOSE = 0, 1, 4


def cells_of(labels, top=0, left=0):
    """All cells of labels whose first pixel is (top, left) of the image."""
    boxes = table_of(labels).bbox + np.array([top, left] * 2, np.int32)
    return Cells(np.arange(1, labels.max() + 1), boxes, labels, top, left)


def roi_of_roifile(number, outline):
    roifile = pytest.importorskip("roifile")
    rings = [ring[:, ::-1] for part in outline for ring in part]
    if len(rings) == 1:
        roi = roifile.ImagejRoi.frompoints(rings[0], name=str(number))
        roi.roitype = roifile.ROI_TYPE.TRACED
        return roi.tobytes()
    path = []
    for ring in rings:
        path += [MOVE, *ring[0], *(value for point in ring[1:] for value in (LINE, *point)), CLOSE]
    roi = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, name=str(number))
    corners = np.concatenate(rings)
    roi.left, roi.top = map(int, corners.min(axis=0))
    roi.right, roi.bottom = map(int, corners.max(axis=0))
    roi.multi_coordinates, roi.shape_roi_size = np.array(path, np.float32), len(path)
    return roi.tobytes()


@pytest.mark.parametrize("corner", [(0, 0), (40_000, 33_000), (60_400, 7), (3, 90_000)])
def test_rois_are_those_of_roifile(labels, corner):
    cells = cells_of(labels, *corner)
    expected = [roi_of_roifile(*each) for each in zip(cells.numbers, cells.outlines, strict=True)]
    lines = {sum(map(len, outline)) for outline in cells.outlines}
    assert 1 in lines
    assert len(lines) > 1
    assert rois(cells) == expected


def test_a_roi_of_more_points_than_16_bits_count():
    comb = np.ones((2, 33_001), np.int32)
    comb[0, 1::2] = 0
    cells = cells_of(comb)
    assert len(cells.outlines[0][0][0]) > 65_535
    assert rois(cells) == [roi_of_roifile(1, cells.outlines[0])]


@pytest.mark.parametrize("size", [None, 0.5, 0.2137])
def test_features_are_those_of_json(labels, size):
    cells = cells_of(labels, 990, 99_900)
    for number, outline, shape, text in zip(
        cells.numbers.tolist(), cells.outlines, cells.shapes.tolist(), features(cells, size), strict=True
    ):
        parts = [[ring[:, ::-1].tolist() for ring in simplified(part)] for part in outline]
        parts = [[[*ring, ring[0]] for ring in part] for part in parts]
        kind, coordinates = ("Polygon", parts[0]) if len(parts) == 1 else ("MultiPolygon", parts)
        measurements = {"Area px^2": shape[0], "Perimeter px": round(shape[3], 3)}
        if size:
            measurements["Area um^2"] = round(shape[0] * size**2, 6)
        expected = {
            "type": "Feature",
            "geometry": {"type": kind, "coordinates": coordinates},
            "properties": {"objectType": "detection", "name": str(number), "measurements": measurements},
        }
        assert text == json.dumps(expected, separators=(",", ":"))


def test_coordinates_are_those_of_json_up_to_the_largest_image():
    values = [0, 0.5, 1, 9, 9.5, 10, 99.5, 100, 999.5, 1000, 60_535.5, 99_999.5, 100_000, 1_000_000, 8_388_607.5]
    points = np.array([[y, x] for y in values for x in values], np.float32)
    ends = np.zeros(1, np.int64)
    text = ring_text(points, np.array([len(points)]), ends).tobytes().decode()
    ring = points[:, ::-1].tolist()
    assert text == json.dumps([*ring, ring[0]], separators=(",", ":"))
    assert ends == len(text)


@pytest.mark.parametrize("limit", [None, "MOST_FILES", "MOST_BYTES"])
def test_a_zip_file_is_that_of_zipfile(monkeypatch, limit):
    if limit:  # as if the file were so large that it needs fields of 64 bits
        monkeypatch.setattr(zip_file, limit, 2000)
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT" if limit == "MOST_FILES" else "ZIP64_LIMIT", 2000)
    random = np.random.default_rng(0)
    contents = {f"{number}.roi": random.integers(0, 9, number % 700, np.uint8).tobytes() for number in range(2100)}
    ours, theirs = io.BytesIO(), io.BytesIO()
    writer = zip_file.ZipWriter(ours)
    for first in range(0, len(contents), 300):  # files may be added in any portions, also none
        some = dict([*contents.items()][first : first + 300])
        writer.add([*some], [*some.values()])
    writer.add([], [])
    with zipfile.ZipFile(theirs, "w") as file:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # the same on Windows
            file.writestr(entry, data, zipfile.ZIP_STORED)
    writer.close()
    assert ours.getvalue() == theirs.getvalue()
    monkeypatch.undo()
    with zipfile.ZipFile(ours) as file:
        assert {name: file.read(name) for name in file.namelist()} == contents
