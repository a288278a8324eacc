"""Whole runs on odd inputs: the same labels whatever the encoding, names of any kind, values of no use."""

import os
import shutil

import cv2
import numpy as np
import pytest
import tifffile

import flowmask
from flowmask.cli import main
from flowmask.labels.metrics import f1
from flowmask.runs.batch import ALL_DONE, SOME_FAILED
from flowmask.runs.jobs import find_images
from tests.conftest import needs_network
from train.simulate import simulate

pytestmark = [needs_network, pytest.mark.slow]
GREY = simulate("fluorescence_nuclei", (110, 100), 5, 18).image
COLOUR = np.dstack([GREY, GREY // 2, 255 - GREY])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def run(folder, *options, output=None):
    output = output or folder.parent / "out"
    return main(["-i", str(folder), "-o", str(output), "--diameter", "22", *options])


def labels(folder):
    return {path.name: path.read_bytes() for path in (folder.parent / "out").iterdir()}


def write_encodings(folder):
    rgb = {"photometric": "rgb"}
    for name in ("zlib", "lzw", "packbits"):
        tifffile.imwrite(folder / f"{name}.tif", COLOUR, compression=name, **rgb)
    tifffile.imwrite(folder / "plain.tif", COLOUR, **rgb)
    tifffile.imwrite(folder / "tiles.tif", COLOUR, tile=(32, 48), **rgb)
    tifffile.imwrite(folder / "planar.tif", COLOUR.transpose(2, 0, 1), planarconfig="separate", **rgb)
    tifffile.imwrite(folder / "big_endian.tif", COLOUR, byteorder=">", **rgb)
    tifffile.imwrite(folder / "bigtiff.tif", COLOUR, bigtiff=True, **rgb)
    tifffile.imwrite(folder / "ome.ome.tif", COLOUR.transpose(2, 0, 1), metadata={"axes": "CYX"}, ome=True)
    with tifffile.TiffWriter(folder / "pyramid.tif") as writer:
        writer.write(COLOUR, subifds=1, tile=(32, 48), **rgb)
        writer.write(COLOUR[::2, ::2], subfiletype=1, tile=(32, 48), **rgb)
    for suffix in ("png", "bmp"):
        cv2.imwrite(str(folder / f"{suffix}.{suffix}"), COLOUR[..., ::-1])


def test_the_same_image_in_twelve_encodings_has_the_same_labels(folder):
    write_encodings(folder)
    assert run(folder) == ALL_DONE
    read = [tifffile.imread(path) for path in (folder.parent / "out").iterdir()]
    assert len(read) == 12
    assert read[0].max() >= 3
    for other in read[1:]:
        np.testing.assert_array_equal(other, read[0])


def test_names_of_any_kind_and_links(folder, capsys):
    elsewhere = folder.parent / "elsewhere.png"
    cv2.imwrite(str(elsewhere), GREY)
    for name in (
        "a b.png",
        "UPPER.PNG",
        "ünï 細胞 🧫.png",
        "misleading.tif",
        "nothing_at_all",
        "-dash.png",
        "'q\".png",
    ):
        shutil.copy(elsewhere, folder / name)
    (folder / "link.png").symlink_to(elsewhere)
    (folder / "folder.png").mkdir()
    (folder / "folder_link.png").symlink_to(folder / "folder.png")
    (folder / "broken.png").symlink_to(folder / "gone.png")
    (folder / "round.png").symlink_to(folder / "round.png")
    os.mkfifo(folder / "pipe.png")
    for name in (".hidden.png", "Thumbs.db", "desktop.ini"):
        shutil.copy(elsewhere, folder / name)
    assert run(folder) == SOME_FAILED
    done = ["'q\"", "-dash", "UPPER", "a b", "link", "misleading", "nothing_at_all", "ünï 細胞 🧫"]
    assert sorted(labels(folder)) == [f"{name}_label.tiff" for name in done]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4
    assert errors[0].startswith("10 images to segment")
    assert "broken.png: it cannot be read (No such file or directory)" in errors[1]
    assert "round.png: it cannot be read (Too many levels of symbolic links)" in errors[2]


def test_a_folder_that_holds_the_output_folder_and_old_outputs(folder, capsys):
    cv2.imwrite(str(folder / "a.png"), GREY)
    output = folder / "labels"
    output.mkdir()
    (output / "a_label.tiff").write_bytes(b"of an older run")
    (output / "other.txt").write_text("somebody's")
    for _ in range(2):
        assert run(folder, output=output) == ALL_DONE
        assert sorted(path.name for path in output.iterdir()) == ["a_label.tiff", "other.txt"]
        assert tifffile.imread(output / "a_label.tiff").max() >= 3
    assert capsys.readouterr().err.count("\n") == 4  # an opening and a closing line each


def test_a_pipe_or_device_alone_is_no_image(folder):
    os.mkfifo(folder / "pipe.png")
    for path in (folder / "pipe.png", "/dev/zero"):
        with pytest.raises(flowmask.InputError, match="there is no such file or folder"):
            find_images([type(folder)(path)])


def test_a_link_that_cannot_even_be_looked_at_costs_the_others_nothing(folder, capsys):
    cv2.imwrite(str(folder / "a.png"), GREY)
    (folder / "l.tif").symlink_to("x" * 300)
    assert run(folder) == SOME_FAILED
    assert "l.tif: it cannot be read (File name too long)" in capsys.readouterr().err
    assert set(labels(folder)) == {"a_label.tiff"}


def test_labels_beside_their_images_replace_no_file_of_others(folder, capsys):
    cv2.imwrite(str(folder / "a.png"), GREY)
    cv2.imwrite(str(folder / "b.png"), GREY)
    (folder / "a_label.tiff").write_bytes(b"ground truth")
    for _ in range(2):
        assert run(folder, output=folder) == SOME_FAILED
        assert "a_label.tiff: the file exists and Flowmask did not write it" in capsys.readouterr().err
    assert (folder / "a_label.tiff").read_bytes() == b"ground truth"
    assert tifffile.imread(folder / "b_label.tiff").max() > 0


def test_a_name_as_long_as_its_label_may_have_and_one_that_is_longer(folder, capsys):
    fits, longer = "f" * 235, "l" * 250
    cv2.imwrite(str(folder / f"{fits}.png"), GREY)
    cv2.imwrite(str(folder / f"{longer}.png"), GREY)
    assert run(folder) == SOME_FAILED
    assert "it cannot be written (File name too long); give the image a shorter name." in capsys.readouterr().err
    assert set(labels(folder)) == {f"{fits}_label.tiff"}


def test_a_name_does_nothing_to_the_terminal(folder, capsys):
    (folder / "two\nlines\x1b[31m.tif").write_bytes(b"notes")
    assert run(folder) == SOME_FAILED
    messages = capsys.readouterr().err
    assert r"two\nlines\x1b[31m.tif: it is not a TIFF, PNG, JPEG, BMP, CZI, ND2 or LIF image" in messages
    assert "\x1b" not in messages


def test_an_image_in_several_files_is_refused(folder, capsys):
    names = [folder / f"{channel}.ome.tif" for channel in "ab"]
    data = '<TiffData FirstC="{0}" IFD="0"><UUID FileName="{1}">urn:uuid:{0}</UUID></TiffData>'
    for index, name in enumerate(names):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{index}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
            f'SizeX="{GREY.shape[1]}" SizeY="{GREY.shape[0]}" SizeC="2" SizeZ="1" SizeT="1">'
            + "".join(data.format(channel, names[channel].name) for channel in range(2))
            + "</Pixels></Image></OME>"
        )
        tifffile.imwrite(name, GREY, description=xml, metadata=None)
    assert run(folder) == SOME_FAILED
    errors = capsys.readouterr().err
    for name, other in ("ab", "ba"):
        sentence = f"it is part of a multi-file OME-TIFF (some planes are in {other}.ome.tif); save all as one file."
        assert f"{name}.ome.tif: {sentence}" in errors


WORTHLESS = {
    "constant": np.full((60, 70), 7, np.uint16),
    "saturated": np.full((60, 70, 3), 255, np.uint8),
    "all NaN": np.full((60, 70), np.nan, np.float32),
    "all infinite": np.full((60, 70), -np.inf),
    "empty float": np.zeros((60, 70, 3), np.float16),
    "all False": np.zeros((60, 70), bool),
    "largest": np.full((60, 70), 2**64 - 1, np.uint64),
}


@pytest.mark.parametrize("name", WORTHLESS)
def test_values_of_no_use_make_no_cells(network, name):
    result = flowmask.segment(WORTHLESS[name], network)
    assert result.labels.shape == (60, 70)
    assert len(result.cells) == result.labels.max() == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 2), (1, 1, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_of_hardly_any_pixel(network, shape, dtype):
    pixels = np.random.default_rng(1).integers(0, 255, shape).astype(dtype)
    for diameter in (None, 3, 10_000):
        result = flowmask.segment(pixels, network, diameter=diameter)
        assert result.labels.shape == shape[:2]
        assert len(result.cells) == result.labels.max()


def test_what_is_not_finite_takes_no_part(network):
    clean = GREY.astype(np.float32) / 1000
    spoilt = clean.copy()
    spoilt[100:103, 60:63] = np.nan, np.inf, -np.inf
    one, other = (flowmask.segment(pixels, network, diameter=18) for pixels in (clean, spoilt))
    assert len(one.cells) >= 3
    assert f1(one.labels[:80], other.labels[:80]) > 0.9


def test_sixty_channels_of_which_three_are_chosen(folder, network):
    stack = np.random.default_rng(2).integers(0, 255, (60, *GREY.shape)).astype(np.uint8)
    stack[[41, 42, 43]] = COLOUR.transpose(2, 0, 1)
    tifffile.imwrite(folder / "a.ome.tif", stack, ome=True, metadata={"axes": "CYX"})
    chosen = flowmask.segment(folder / "a.ome.tif", network, diameter=18, channels=(42, 43, 44))
    np.testing.assert_array_equal(chosen.labels, flowmask.segment(COLOUR, network, diameter=18).labels)
