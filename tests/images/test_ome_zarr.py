"""OME-Zarr folders of versions 0.1 to 0.5, written here with the package zarr and with metadata as in the standard."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile

import flowmask
from flowmask.cli import flowmask as command
from flowmask.errors import ImageError
from flowmask.images.file_type import fingerprint, image_name
from flowmask.images.readers import open_frames, open_image
from flowmask.images.report import describe_file
from flowmask.runs.batch import ALL_DONE, SOME_FAILED
from flowmask.runs.jobs import find_images, plan
from flowmask.viewer.found import find_results
from tests.conftest import ROOT, needs_network, write_nuclei

zarr = pytest.importorskip("zarr", reason="the package zarr is missing")
STACK = np.random.default_rng(8).integers(0, 60000, (2, 2, 3, 50, 70)).astype(np.uint16)
"""(T, C, Z, Y, X)."""
TYPES = {"t": "time", "c": "channel"}


def write(path, pixels, letters, version="0.5", names=(), scale=0.25, unit="micrometer", **more):
    """Write an OME-Zarr image of two levels. more: changes of the metadata of its multiscale image."""
    v3 = version == "0.5"
    group = zarr.create_group(path, zarr_format=3 if v3 else 2)
    levels = []
    for step in (1, 2):
        level = pixels[tuple(slice(None, None, step if axis in "yx" else 1) for axis in letters)]
        chunks = tuple(32 if axis in "yx" else 1 for axis in letters)
        group.create_array(f"s{step}", shape=level.shape, chunks=chunks, dtype=level.dtype)[:] = level
        steps = [scale * step if axis in "yx" else 1 for axis in letters]
        levels.append({"path": f"s{step}", "coordinateTransformations": [{"type": "scale", "scale": steps}]})
    axes = [{"name": letter, "type": TYPES.get(letter, "space")} for letter in letters]
    for axis in axes:
        if axis["type"] == "space" and unit:
            axis["unit"] = unit
    image = {"name": "cells", "axes": axes, "datasets": levels} | ({} if v3 else {"version": version}) | more
    about = {"multiscales": [image]} | ({"omero": {"channels": [{"label": name} for name in names]}} if names else {})
    group.attrs.update({"ome": {"version": version, **about}} if v3 else about)
    return path


def everything(image):
    pixels = image.read(0, 0, *image.shape[1:])
    assert (pixels.shape, pixels.dtype) == (image.shape, image.dtype)
    return pixels


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "f4"])
def test_windows_are_those_of_the_array(tmp_path, version, dtype):
    pixels = STACK[0, :, 0].astype(dtype)
    image = open_image(write(tmp_path / "a.ome.zarr", pixels, "cyx", version, ("DAPI", "CD3")))
    np.testing.assert_array_equal(everything(image), pixels)
    for top, left, bottom, right in ((0, 0, 1, 1), (31, 5, 33, 64), (49, 69, 50, 70), (32, 32, 50, 64)):
        np.testing.assert_array_equal(image.read(top, left, bottom, right), pixels[:, top:bottom, left:right])
    assert image.info.file_type == f"OME-Zarr {version}"
    assert (image.info.channel_names, image.info.pixel_size_um) == (("DAPI", "CD3"), 0.25)
    assert (image.info.levels, image.info.name, image.info.notes) == (((50, 70), (25, 35)), "cells", ())


def test_planes_frames_and_projections_are_chosen_as_in_a_tiff_file(tmp_path):
    path = write(tmp_path / "a.zarr", STACK, "tczyx")
    with pytest.raises(ImageError, match=r"a.zarr: it is a stack of 3 planes \(axes TCZYX\); choose one with `plane`"):
        open_image(path)
    frames = open_frames(path, plane=2)
    assert frames.suffixes == ("_t001", "_t002")
    for number, (_, image) in enumerate(frames):
        np.testing.assert_array_equal(everything(image), STACK[number, :, 1])
    np.testing.assert_array_equal(everything(open_frames(path, project="max")[1][1]), STACK[1].max(1))
    found = describe_file(path)
    assert (found["planes"], found["frames"], found["channels"]) == (3, ["T2"], 2)


def test_axes_in_another_order(tmp_path):
    pixels = STACK[0, :, 0]
    np.testing.assert_array_equal(everything(open_image(write(tmp_path / "a.zarr", pixels.T, "xyc"))), pixels)


@pytest.mark.parametrize(("version", "axes"), [("0.1", None), ("0.2", None), ("0.3", list("tczyx"))])
def test_older_versions(tmp_path, version, axes):
    path = write(tmp_path / "a.zarr", STACK[:1, :, :1], "tczyx", version, axes=axes)
    np.testing.assert_array_equal(everything(open_image(path)), STACK[0, :, 0])


def test_axes_that_cannot_be_understood(tmp_path):
    pixels = STACK[0, :, 0]
    with pytest.raises(ImageError, match="a.zarr: its metadata do not name its axes"):
        open_image(write(tmp_path / "a.zarr", pixels, "cyx", axes=[]))
    with pytest.raises(ImageError, match=r"b.zarr: its axes \(y, x\) do not fit an array of shape \(2, 50, 70\)"):
        open_image(write(tmp_path / "b.zarr", pixels, "cyx", axes=["y", "x"]))


@pytest.mark.parametrize(
    ("unit", "more", "expected"),
    [
        ("nanometer", {"scale": 250}, 0.25),
        ("micrometer", {"coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}, 0.125),
        (None, {}, None),
        ("parsec", {}, None),
    ],
)
def test_pixel_sizes(tmp_path, unit, more, expected):
    info = open_image(write(tmp_path / "a.zarr", STACK[0, :, 0], "cyx", unit=unit, **more)).info
    assert info.pixel_size_um == (expected and pytest.approx(expected))


def test_plates_and_folders_of_several_images_name_what_to_give(tmp_path):
    pixels = STACK[0, :, 0]
    for well in ("A/1", "B/3"):
        write(tmp_path / "p.ome.zarr" / well / "0", pixels, "cyx")
        images = {"ome": {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}}
        zarr.open_group(tmp_path / "p.ome.zarr" / well).attrs.update(images)
        zarr.open_group(tmp_path / "p.ome.zarr" / well[0])
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "B/3", "rowIndex": 1, "columnIndex": 2}]
    zarr.open_group(tmp_path / "p.ome.zarr").attrs.update({"ome": {"version": "0.5", "plate": {"wells": wells}}})
    plate = tmp_path / "p.ome.zarr"
    with pytest.raises(ImageError, match=f"it is a plate, .* more of them: {plate}/A/1/0, {plate}/B/3/0.$"):
        open_image(tmp_path / "p.ome.zarr")
    with pytest.raises(ImageError, match=f"it is a well, .* more of them: {plate}/A/1/0, {plate}/A/1/1.$"):
        open_image(tmp_path / "p.ome.zarr" / "A" / "1")
    images = sorted((tmp_path / "p.ome.zarr").glob("*/*/0"))
    jobs, conflicts = plan(images, tmp_path / "out")
    assert ([job.target.name for job in jobs], conflicts) == (["p_A_1_0_label.tiff", "p_B_3_0_label.tiff"], [])
    np.testing.assert_array_equal(everything(open_image(images[1])), pixels)


def test_the_folder_that_bioformats2raw_writes(tmp_path):
    root = zarr.create_group(tmp_path / "a.zarr", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    root.create_group("OME", attributes={"series": ["0"]})
    pixels = STACK[0, :, 0]
    write(tmp_path / "a.zarr" / "0", pixels, "cyx", "0.4")
    image = open_image(tmp_path / "a.zarr")
    assert image.info.notes == ("The image in it is 0.",)
    np.testing.assert_array_equal(everything(image), pixels)
    write(tmp_path / "a.zarr" / "1", pixels, "cyx", "0.4")
    with pytest.raises(ImageError, match="a.zarr: it holds 2 images; give .* them: .*/a.zarr/0, .*/a.zarr/1.$"):
        open_image(tmp_path / "a.zarr")


def test_zarr_folders_that_are_no_images(tmp_path):
    zarr.create_group(tmp_path / "group.zarr")
    label = write(tmp_path / "group.zarr" / "label.zarr", STACK[0, 0, 0], "yx", "0.4")
    zarr.open_group(label).attrs["image-label"] = {"source": {"image": "../../"}}
    zarr.create_array(tmp_path / "array.zarr", shape=(50, 70), dtype="u1")
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text("{")
    for name, message in (
        ("group", "without an OME-Zarr"),
        ("array", "is a plain Zarr array"),
        ("group.zarr/label", "it is a label image"),
        ("damaged", "cannot be"),
    ):
        with pytest.raises(ImageError, match=f"{name}.zarr: .*{message}"):
            open_image(tmp_path / f"{name}.zarr")


def test_what_is_missing_or_damaged_is_said(tmp_path):
    path = write(tmp_path / "a.zarr", STACK[0, 0, 0], "yx", "0.4")
    chunks = sorted(file for file in (path / "s1").iterdir() if file.name[0].isdigit())
    assert len(chunks) == 6
    chunks[0].unlink()
    image = open_image(path)
    assert image.info.notes == ("1 of its 6 chunks are not stored; they count as 0.",)
    assert not image.read(0, 0, 32, 32).any()
    chunks[1].write_bytes(b"damaged")
    with pytest.raises(ImageError, match=rf"^{path}: its OME-Zarr 0.4 data cannot be read \(.*; open it and save it"):
        image.read(0, 0, 32, 64)
    for chunk in chunks[1:]:
        chunk.unlink()
    with pytest.raises(ImageError, match="a.zarr: its pixels are missing, because none of its chunks is stored"):
        open_image(path)
    shutil.rmtree(path / "s2")
    with pytest.raises(ImageError, match="a.zarr: its level s2 is missing; copy the whole folder again."):
        open_image(path)


def test_shards(tmp_path):
    path = write(tmp_path / "a.zarr", STACK[0, 0, 0], "yx")
    group = zarr.open_group(path)
    group.create_array("s1", shape=(50, 70), chunks=(8, 8), shards=(32, 32), dtype="u2", overwrite=True)[:] = STACK[
        0, 0, 0
    ]
    image = open_image(path)
    np.testing.assert_array_equal(everything(image)[0], STACK[0, 0, 0])
    assert image.info.notes == ()
    (path / "s1" / "c" / "1" / "2").unlink()
    assert open_image(path).info.notes == ("1 of its 6 chunks are not stored; they count as 0.",)


def test_metadata_that_claim_a_huge_image_are_refused(tmp_path):
    path = write(tmp_path / "a.zarr", STACK[0, 0, 0], "yx")
    for row in (path / "s1" / "c").iterdir():
        if row.name != "0":
            shutil.rmtree(row)
    about = json.loads((path / "s1" / "zarr.json").read_text())
    (path / "s1" / "zarr.json").write_text(json.dumps(about | {"shape": [200_000, 1000]}))
    with pytest.raises(ImageError, match="its header gives 200,000 x 1,000 px with 1 channel"):
        open_image(path)


def test_without_the_package_one_sentence_says_how_to_install_it(tmp_path):
    path = write(tmp_path / "a.zarr", STACK[0, 0, 0], "yx")
    code = (
        "import sys; sys.modules['zarr'] = None\nfrom infer.cli import flowmask\n"
        f"sys.exit(flowmask(['info', {str(path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (
        1,
        f"error: {path}: the package zarr, which reads OME-Zarr, is not installed; install it with "
        'pip install "flowmask[zarr]", or save the image as TIFF.\n',
    )


def test_the_fingerprint_is_that_of_all_files(tmp_path):
    path = write(tmp_path / "a.zarr", STACK[0, 0, 0], "yx", "0.4")
    before = fingerprint(path)
    shutil.copytree(path, tmp_path / "copy.zarr")
    assert fingerprint(tmp_path / "copy.zarr") == before
    (path / "s2" / "0.0").write_bytes((path / "s2" / "0.1").read_bytes())
    assert fingerprint(path) != before


def test_an_image_of_the_folder_in_which_a_run_starts_has_its_whole_name(tmp_path, monkeypatch):
    path = write(tmp_path / "a.zarr", STACK[0, 0, 0], "yx")
    monkeypatch.chdir(path)
    assert image_name(path / "s1") == image_name((path / "s1").relative_to(path)) == "a_s1"


@needs_network
@pytest.mark.slow
def test_a_folder_run_segments_ome_zarr_as_tiff(tmp_path, capsys):
    images, out = tmp_path / "in", tmp_path / "out"
    images.mkdir()
    write_nuclei(images / "b.tif", (90, 110), 1)
    pixels = tifffile.imread(images / "b.tif")
    path = write(images / "a.ome.zarr", pixels[None], "cyx", "0.4")
    assert find_images([images]) == ([path, images / "b.tif"], [])
    words = ["segment", str(images), "-o", str(out), "--diameter", "26", "--resume"]
    assert command(words) == ALL_DONE
    labels = [tifffile.imread(out / f"{name}_label.tiff") for name in "ab"]
    assert labels[0].max() > 3
    np.testing.assert_array_equal(*labels)
    np.testing.assert_array_equal(flowmask.segment(path, diameter=26).labels, labels[0])
    assert tifffile.TiffFile(out / "a_label.tiff").pages[0].tags["XResolution"].value[0] > 1
    capsys.readouterr()
    assert command(words) == ALL_DONE
    assert "a.ome.zarr:" in (done := capsys.readouterr().out)
    assert done.count("already done") == 2
    found, missing = find_results(out, [images])
    assert ([one.image for one in found], missing) == ([path, images / "b.tif"], [])
    (images / "b.tif").rename(images / "a.tif")
    assert command(words) == SOME_FAILED
    assert "a.tif: a.ome.zarr has the same name up to its suffix" in capsys.readouterr().err.replace(
        "a.ome.zarr: a.tif", "a.tif: a.ome.zarr"
    )
