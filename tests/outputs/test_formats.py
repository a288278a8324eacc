"""Labels as OME-TIFF and OME-Zarr, tables as Parquet and AnnData: read back with the libraries of these formats."""

import csv
import hashlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from flowmask import outputs
from flowmask.errors import OutputError, SettingsError
from flowmask.images.image import ArrayImage
from flowmask.images.readers import open_image
from flowmask.labels.labels import UINT16_CELLS
from flowmask.outputs import ome_tiff, ome_zarr, parquet, pyramid
from flowmask.outputs.pyramid import level_shapes
from flowmask.outputs.subject import Subject
from tests.outputs.test_outputs import labels, pixels, subject, table_of, write

__all__ = ["labels", "pixels", "subject"]
EXTRAS = {"zarr": "zarr", "parquet": "pyarrow", "anndata": "h5py"}
NEW = ("ome", *EXTRAS)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def small_pyramid(monkeypatch):
    """Tiles of 64 px and a pyramid for images as small as those of these tests."""
    monkeypatch.setattr(pyramid, "LARGE", 150)
    monkeypatch.setattr(pyramid, "SMALLEST", 40)
    for module in (pyramid, ome_tiff, ome_zarr):
        monkeypatch.setattr(module, "TILE", 64)


def halved(image, times):
    """Every second row and column, again and again."""
    return image[:: 2**times, :: 2**times]


@pytest.mark.usefixtures("small_pyramid")
@pytest.mark.parametrize("step", [1, 13, 64, 230])
def test_ome_tiff_has_the_labels_at_every_level(tmp_path, labels, pixels, subject, step):
    (path,) = write(tmp_path, subject, labels, pixels, ["ome"], step)
    assert path.name == "a_labels.ome.tif"
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert len(file.series) == 1
        assert (file.series[0].axes, file.series[0].dtype) == ("YX", np.uint16)
        levels = [level.asarray() for level in file.series[0].levels]
        assert all(level.keyframe.is_tiled and level.keyframe.compression == 8 for level in file.series[0].levels)
    assert (
        [level.shape for level in levels] == level_shapes(labels.shape) == [(230, 170), (115, 85), (58, 43), (29, 22)]
    )
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(level, halved(labels, number))


@pytest.mark.slow
def test_ome_xml_has_names_and_pixel_size(tmp_path, labels, pixels, subject):
    ome_types = pytest.importorskip("ome_types")
    named = Subject(subject.shape, subject.channels, 0.5, subject.cells, subject.display, name="slide <1> µ")
    (path,) = write(tmp_path, named, labels, pixels, ["ome"])
    with tifffile.TiffFile(path) as file:
        assert len(file.pages.first.tags.valueof(330, ())) == 0  # no pyramid
        (image,) = ome_types.from_xml(file.ome_metadata).images
    assert (image.name, image.pixels.channels[0].name) == ("slide <1> µ", "cells")
    assert (image.pixels.physical_size_x, image.pixels.physical_size_y) == (0.5, 0.5)
    assert image.pixels.physical_size_x_unit.value == "µm"
    unknown = Subject(subject.shape, subject.channels, None, subject.cells, subject.display)
    (path,) = write(tmp_path, unknown, labels, pixels, ["ome"])
    with tifffile.TiffFile(path) as file:
        assert ome_types.from_xml(file.ome_metadata).images[0].pixels.physical_size_x is None


@pytest.mark.usefixtures("small_pyramid")
@pytest.mark.parametrize("step", [1, 13, 64, 230])
def test_ome_zarr_has_the_labels_at_every_level(tmp_path, labels, pixels, subject, step):
    zarr = pytest.importorskip("zarr")
    (path,) = write(tmp_path, subject, labels, pixels, ["zarr"], step)
    assert path.name == "a_labels.ome.zarr"
    root = zarr.open_group(path, mode="r")
    assert root["labels"].attrs["ome"] == {"version": "0.5", "labels": ["cells"]}
    group = root["labels/cells"]
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5"
    assert "image-label" in ome
    (multiscale,) = ome["multiscales"]
    assert [(axis["name"], axis["unit"]) for axis in multiscale["axes"]] == [("y", "micrometer"), ("x", "micrometer")]
    datasets = multiscale["datasets"]
    assert [group[level["path"]].shape for level in datasets] == level_shapes(labels.shape)
    for number, level in enumerate(datasets):
        array = group[level["path"]]
        assert (array.dtype, array.metadata.dimension_names) == (np.uint16, ("y", "x"))
        np.testing.assert_array_equal(array[:], halved(labels, number))
        (transformation,) = level["coordinateTransformations"]
        assert transformation == {"type": "scale", "scale": [0.5 * 2**number] * 2}


@pytest.mark.slow
@pytest.mark.usefixtures("small_pyramid")
def test_more_ids_than_uint16_holds_are_int32(tmp_path):
    zarr = pytest.importorskip("zarr")
    ids = np.arange(1, UINT16_CELLS + 2, dtype=np.int32).reshape(256, 256)
    many = Subject(ids.shape, ("0",), None, table_of(ids), np.zeros((1, 2)))
    image = np.zeros((1, *ids.shape), np.uint8)
    tiff, folder = write(tmp_path, many, ids, image, ["ome", "zarr"])
    for found in (tifffile.imread(tiff), zarr.open_group(folder, mode="r")["labels/cells/0"][:]):
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, ids)


@pytest.mark.parametrize(("name", "package"), [("ome", "tifffile"), *EXTRAS.items()])
def test_files_are_the_same_whatever_the_strips(tmp_path, labels, pixels, subject, name, package):
    pytest.importorskip(package)
    folders = tmp_path / "one", tmp_path / "other"
    for folder, step in zip(folders, (7, 230), strict=True):
        folder.mkdir()
        write(folder, subject, labels, pixels, [name], step)
    assert digests(folders[0]) == digests(folders[1]) != {}


def rows_of_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def equal_to_the_csv(columns, rows):
    """Whether columns {name: (cells,)} hold the same values as the text of a CSV file, in the same order."""
    assert list(columns) == list(rows[0])
    for name, values in columns.items():
        expected = np.array([row[name] for row in rows], np.float64)
        np.testing.assert_array_equal(np.asarray(values, np.float64), expected.astype(values.dtype), err_msg=name)


@pytest.mark.slow
def test_parquet_has_the_table_with_types(tmp_path, labels, pixels, subject, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet, "ROWS", 10)
    table, path = write(tmp_path, subject, labels, pixels, ["table", "parquet"])
    file = pq.ParquetFile(path)
    assert file.num_row_groups == -(-labels.max() // 10)
    found = file.read()
    types = {field.name: str(field.type) for field in found.schema}
    assert (types["label"], types["area"], types["bbox-0"]) == ("int32", "int64", "int32")
    assert (types["centroid-0"], types["probability"], types["intensity_mean-DAPI"]) == ("double", "float", "double")
    assert types["touches_border"] == "bool"
    equal_to_the_csv({name: found[name].to_numpy() for name in found.column_names}, rows_of_csv(table))


@pytest.mark.slow
def test_anndata_has_intensities_measurements_and_places(tmp_path, labels, pixels, subject):
    anndata = pytest.importorskip("anndata")
    pytest.importorskip("h5py")
    named = Subject(subject.shape, subject.channels, 0.5, subject.cells, subject.display, name="slide µ")
    table, path = write(tmp_path, named, labels, pixels, ["table", "anndata"])
    rows = rows_of_csv(table)
    found = anndata.read_h5ad(path)
    assert found.X.dtype == np.float32
    means = [[float(row[f"intensity_mean-{channel}"]) for channel in ("DAPI", "GFP")] for row in rows]
    np.testing.assert_array_equal(found.X, np.array(means, np.float32))
    assert list(found.var_names) == ["DAPI", "GFP"]
    assert list(found.obs_names) == [row["label"] for row in rows]
    equal_to_the_csv({name: found.obs[name].to_numpy() for name in found.obs}, rows)
    places = [[float(row["centroid-1"]), float(row["centroid-0"])] for row in rows]
    np.testing.assert_array_equal(found.obsm["spatial"], places)
    assert (found.uns["image"], found.uns["pixel_size_um"]) == ("slide µ", 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTRAS)
def test_an_image_without_cells(tmp_path, name):
    package = pytest.importorskip({"anndata": "anndata", "parquet": "pyarrow.parquet", "zarr": "zarr"}[name])
    none = np.zeros((50, 60), np.int32)
    empty = Subject(none.shape, ("0",), None, table_of(none), np.zeros((1, 2)))
    (path,) = write(tmp_path, empty, none, np.zeros((1, *none.shape), np.uint8), [name])
    if name == "zarr":
        assert package.open_group(path, mode="r")["labels/cells/0"][:].max() == 0
    elif name == "parquet":
        assert package.read_table(path).num_rows == 0
    else:
        assert package.read_h5ad(path).shape == (0, 1)


@pytest.mark.parametrize(("name", "package"), [("ome", "tifffile"), *EXTRAS.items()])
def test_nothing_is_left_of_an_image_that_fails(tmp_path, labels, pixels, subject, name, package):
    pytest.importorskip(package)

    def strips():
        yield labels[:100]
        raise OutputError("the disk is full")

    with pytest.raises(OutputError, match="the disk is full"):
        outputs.write_outputs([name], tmp_path / "a_label.tiff", subject, ArrayImage(pixels), strips())
    assert list(tmp_path.iterdir()) == []


def test_one_sentence_names_all_packages_that_are_missing(monkeypatch):
    monkeypatch.setattr(outputs, "find_spec", lambda name: None)
    sentence = r'`save=.zarr,parquet.` needs zarr and pyarrow, .* pip install "flowmask\[zarr,table\]"'
    with pytest.raises(SettingsError, match=sentence):
        outputs.check_names(["overlay", "zarr", "parquet"])


def test_both_sides_of_a_pixel_are_kept(tmp_path, labels, pixels, subject):
    flat = replace(subject, pixel_size_um=0.5, pixel_sides_um=(0.25, 1.0))
    (path,) = write(tmp_path, flat, labels, pixels, ["ome"])
    info = open_image(path).info
    assert (info.pixel_size_um, info.pixel_sides_um) == (0.5, (0.25, 1.0))
    second = ome_zarr.label_metadata("a", 2, flat.sides)["multiscales"][0]["datasets"][1]
    assert second["coordinateTransformations"][0]["scale"] == [0.5, 2.0]
