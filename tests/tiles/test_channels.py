"""Channels by name and by number: which ones the network gets, and the sentence about the others."""

import csv
import json

import numpy as np
import pytest
import tifffile

import flowmask
from flowmask.cli import main
from flowmask.errors import SettingsError
from flowmask.images.readers import open_image
from flowmask.runs.batch import ALL_DONE, SOME_FAILED
from flowmask.tiles.channels import channel_map, listed, unused_note
from tests.conftest import needs_network

NAMES = ("CD3", "CD8", "PanCK", "DAPI")
RNG = np.random.default_rng(0)


def four_channels():
    """(4, 160, 160) uint16: noise in three channels, and nine discs of diameter 28 px in the last."""
    y, x = np.mgrid[:160, :160]
    discs = 100 + 1000 * (((y % 50 - 25) ** 2 + (x % 50 - 25) ** 2) < 14**2)
    discs[150:] = discs[:, 150:] = 100
    return np.stack([*RNG.integers(0, 40, (3, 160, 160)), discs]).astype(np.uint16)


def write(path, kind):
    pixels = four_channels()
    if kind == "ome":
        metadata = {"axes": "CYX", "Channel": {"Name": list(NAMES)}}
        tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)
    elif kind == "imagej":
        tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "CYX", "Labels": list(NAMES)})
    else:
        with tifffile.TiffWriter(path) as out:
            for name, plane in zip(NAMES, pixels, strict=True):
                root = "PerkinElmer-QPI-ImageDescription"
                text = f"<{root}><Biomarker>{name}</Biomarker></{root}>"
                out.write(
                    plane,
                    photometric="minisblack",
                    tile=(64, 64),
                    metadata=None,
                    description=text,
                    software="PerkinElmer-QPI",
                )


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (("dapi",), ((3,),) * 3),
        ((4,), ((3,),) * 3),
        ((0,), ((0, 1, 2, 3),) * 3),
        (("PanCK", "DAPI", 0), ((2,), (3,), ())),
        ((" cd3 ", 3, "Cd8"), ((0,), (2,), (1,))),
    ],
)
def test_names_and_numbers(choice, chosen):
    assert channel_map("rgb", 4, choice, NAMES) == chosen


def test_one_channel_is_a_grey_image_for_every_policy():
    assert channel_map("green-blue", 4, ("PanCK", "DAPI"), NAMES) == ((2,), (3,))
    for policy in ("green-blue", "cellpose"):
        assert channel_map(policy, 4, ("DAPI",), NAMES) == channel_map(policy, 4, (4,)) == ((3,), ())


def test_a_number_can_be_a_name():
    assert channel_map("rgb", 2, (488,), ("405", "488")) == ((1,),) * 3
    assert channel_map("rgb", 2, (1,), ("2", "1")) == ((0,),) * 3


@pytest.mark.parametrize("wanted", ["GFP", "CD", "DAPI2", 5, -1])
def test_an_unknown_channel_lists_the_names(wanted):
    with pytest.raises(SettingsError, match=f"no channel {wanted}; the channels .* CD3, CD8, PanCK, DAPI; give one"):
        channel_map("rgb", 4, (wanted,), NAMES)


def test_names_that_are_missing_or_not_unique():
    with pytest.raises(SettingsError, match="no channel names; give numbers from 0 to 3"):
        channel_map("rgb", 3, ("DAPI",))
    with pytest.raises(SettingsError, match="2 channels have the name dapi"):
        channel_map("rgb", 3, ("dapi",), ("DAPI", "CD3", "DAPI"))


def test_the_sentence_about_channels_that_were_not_looked_at():
    assert unused_note(((0,), (1,), (2,)), 3, ()) is None
    note = unused_note(((0,), (1,), (2,)), 4, NAMES)
    assert note.startswith("Channels 1 (CD3), 2 (CD8) and 3 (PanCK) were used and channel 4 (DAPI) was ignored;")
    assert listed(range(3, 40), ["name"] * 40) == "channels 4 to 40"


@pytest.mark.parametrize("kind", ["ome", "imagej", "qptiff"])
def test_names_of_microscopy_files(tmp_path, kind):
    write(tmp_path / "a.tif", kind)
    image = open_image(tmp_path / "a.tif")
    assert image.info.channel_names == NAMES
    assert channel_map("rgb", *image.shape[:1], ("DAPI",), image.info.channel_names) == ((3,),) * 3


@needs_network
@pytest.mark.parametrize("choice", ["dapi", "4"])
def test_cells_are_in_the_chosen_channel(tmp_path, capsys, choice):
    write(tmp_path / "a.tif", "ome")
    words = ["-i", tmp_path / "a.tif", "-o", tmp_path / "out", "--diameter", 28, "--channels", choice]
    assert main([str(word) for word in words]) == ALL_DONE
    assert "ignored" not in capsys.readouterr().err
    labels = tifffile.imread(tmp_path / "out" / "a_label.tiff")
    alone = flowmask.segment(four_channels()[3], diameter=28).labels
    np.testing.assert_array_equal(labels, alone)
    assert labels.max() == 9


@needs_network
def test_channels_that_were_not_looked_at_are_named(tmp_path, capsys):
    write(tmp_path / "a.tif", "ome")
    record = tmp_path / "run.json"
    words = ["-i", tmp_path / "a.tif", "-o", tmp_path / "out", "--diameter", 28, "--report", record]
    assert main([str(word) for word in words]) == ALL_DONE
    (file,) = json.loads(record.read_text())["files"]
    said = [*file["notes"], *file["warnings"]][-1]
    assert "channel 4 (DAPI) was ignored" in said
    assert f"a.tif: {said}" in capsys.readouterr().err
    assert file["cells"] == 0
    assert file["warnings"][-1] == said
    assert main([str(word) for word in [*words, "--channels", "GFP"]]) == SOME_FAILED
    assert "a.tif: --channels: there is no channel GFP; the channels of this image" in capsys.readouterr().err


@pytest.mark.slow
@needs_network
def test_a_diameter_in_micrometres_is_that_in_px(tmp_path, capsys):
    pixels = four_channels()[3]
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    tifffile.imwrite(tmp_path / "b.tif", pixels)
    words = ["--diameter", "14um", "--report", tmp_path / "run.json", "-o", tmp_path / "out"]
    expected = flowmask.segment(pixels, diameter=28).labels
    for name, more, code in (("a", [], 0), ("b", ["--pixel-size", "0.5"], 0), ("b", [], SOME_FAILED)):
        assert main([str(word) for word in ["-i", tmp_path / f"{name}.tif", *words, *more]]) == code
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / f"{name}_label.tiff"), expected)
        assert open_image(tmp_path / "out" / f"{name}_label.tiff").info.pixel_size_um == 0.5
    assert "b.tif: the diameter 14um needs a pixel size, and the image has none;" in capsys.readouterr().err


def test_a_pixel_size_serves_the_outputs_with_a_diameter_in_px_or_none(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", four_channels()[3])
    for diameter in (["--diameter", "28"], []):
        words = ["-i", tmp_path / "a.tif", "-o", tmp_path / "out", "--pixel-size", "0.5", "--save", "table", *diameter]
        assert main([str(word) for word in words]) == 0
        assert open_image(tmp_path / "out" / "a_label.tiff").info.pixel_size_um == 0.5
        with open(tmp_path / "out" / "a_cells.csv", newline="") as table:
            cells = list(csv.DictReader(table))
        assert cells
        assert all(float(cell["area_um2"]) == float(cell["area"]) * 0.25 for cell in cells)


@needs_network
def test_arrays_of_any_number_of_channels(network):
    pixels = np.concatenate([four_channels()] * 2)
    result = flowmask.segment(pixels, network, axes="CYX", channels=(8,), diameter=28)
    assert len(result.cells) == 9
    assert not result.notes
    named = flowmask.segment(pixels, network, axes="CYX", diameter=28)
    assert "hannels 4 to 8 were ignored" in (*named.notes, *named.warnings)[-1]
    assert flowmask.segment(pixels[:3], network, diameter=28).notes == ()
