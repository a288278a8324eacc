"""Time and position series: one label file for each frame, each as if it were a file of its own."""

import json
import time

import numpy as np
import pytest
import tifffile

import flowmask
from flowmask.cli import main
from flowmask.runs.batch import ALL_DONE, SOME_FAILED
from tests.conftest import needs_network
from train.simulate import simulate

pytestmark = [needs_network, pytest.mark.slow]
FRAMES = np.stack([simulate("fluorescence_nuclei", (90, 110), seed, 26).image for seed in (3, 4, 5)])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path


def run(folder, *options):
    words = ["-i", folder / "in", "-o", folder / "out", "--report", folder / "run.json", "--diameter", 26, *options]
    return main([str(word) for word in words])


def files(folder):
    return sorted(path.name for path in (folder / "out").iterdir())


def record(folder):
    return json.loads((folder / "run.json").read_text())["files"]


def labels(folder, name):
    return tifffile.imread(folder / "out" / name)


def write(path, pixels=FRAMES, axes="TYX", **layout):
    tifffile.imwrite(
        path, pixels, ome=path.name.endswith(".ome.tif"), metadata={"axes": axes}, photometric="minisblack", **layout
    )


@pytest.fixture(scope="module")
def alone(network):
    """The labels of each frame, segmented as an array."""
    return [flowmask.segment(frame, network, diameter=26).labels for frame in FRAMES]


@pytest.mark.parametrize("kind", ["ome", "imagej", "shaped", "ome zlib", "ome tiles"])
def test_each_frame_has_a_label_file_of_its_own(folder, alone, capsys, kind):
    path = folder / "in" / ("a.ome.tif" if kind.startswith("ome") else "a.tif")
    layout = {"ome zlib": {"compression": "zlib"}, "ome tiles": {"tile": (32, 32)}}.get(kind, {})
    if kind == "imagej":
        tifffile.imwrite(path, FRAMES, imagej=True, metadata={"axes": "TYX"})
    else:
        write(path, **layout)
    assert run(folder) == ALL_DONE
    assert files(folder) == [f"a_t00{n}_label.tiff" for n in (1, 2, 3)]
    for number, expected in enumerate(alone, 1):
        np.testing.assert_array_equal(labels(folder, f"a_t00{number}_label.tiff"), expected)
    entries = record(folder)
    assert [(one["frame"], one["frames"], one["status"]) for one in entries] == [
        (f"t00{n}", 3, "done") for n in (1, 2, 3)
    ]
    assert [one["labels"] for one in entries] == [[str(folder / "out" / name)] for name in files(folder)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"{path.name} t002: ")


def test_positions_and_times(folder, alone):
    with tifffile.TiffWriter(folder / "in" / "a.ome.tif", ome=True) as out:
        out.write(FRAMES[:2], metadata={"axes": "TYX"}, photometric="minisblack")
        out.write(FRAMES[2], metadata={"axes": "YX"}, photometric="minisblack")
    assert run(folder) == ALL_DONE
    assert files(folder) == ["a_p001_t001_label.tiff", "a_p001_t002_label.tiff", "a_p002_label.tiff"]
    for name, expected in zip(files(folder), alone, strict=True):
        np.testing.assert_array_equal(labels(folder, name), expected)


def test_planes_of_each_frame_and_a_chosen_frame(folder, alone):
    stack = np.stack([FRAMES // 2, FRAMES], axis=1)
    write(folder / "in" / "z.ome.tif", stack, "TZYX")
    write(folder / "in" / "t.ome.tif")
    assert run(folder, "--plane", "2") == ALL_DONE
    assert files(folder) == ["t_t002_label.tiff", *(f"z_t00{n}_label.tiff" for n in (1, 2, 3))]
    np.testing.assert_array_equal(labels(folder, "t_t002_label.tiff"), alone[1])
    np.testing.assert_array_equal(labels(folder, "z_t003_label.tiff"), alone[2])
    (folder / "in" / "t.ome.tif").unlink()
    assert run(folder, "--project", "max") == ALL_DONE
    np.testing.assert_array_equal(labels(folder, "z_t001_label.tiff"), alone[0])


def test_a_frame_that_fails_costs_itself(folder, alone, capsys):
    path = folder / "in" / "a.ome.tif"
    write(path, compression="zlib")
    with tifffile.TiffFile(path) as file:
        start = file.pages[1].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    assert run(folder) == SOME_FAILED
    assert files(folder) == ["a_t001_label.tiff", "a_t003_label.tiff"]
    np.testing.assert_array_equal(labels(folder, "a_t003_label.tiff"), alone[2])
    assert [one["status"] for one in record(folder)] == ["done", "failed", "done"]
    errors = capsys.readouterr().err
    assert "a.ome.tif: frame t002: it is " in errors
    assert "damaged" in errors


def test_resume_covers_each_frame(folder):
    write(folder / "in" / "a.ome.tif")
    assert run(folder, "--resume") == ALL_DONE
    times = {name: (folder / "out" / name).stat().st_mtime_ns for name in files(folder)}
    lost = (folder / "out" / "a_t002_label.tiff").read_bytes()
    (folder / "out" / "a_t002_label.tiff").unlink()
    time.sleep(0.01)
    assert run(folder, "--resume") == ALL_DONE
    assert [one["status"] for one in record(folder)] == ["skipped", "done", "skipped"]
    assert (folder / "out" / "a_t002_label.tiff").read_bytes() == lost
    for name in ("a_t001_label.tiff", "a_t003_label.tiff"):
        assert (folder / "out" / name).stat().st_mtime_ns == times[name]


def test_labels_of_another_frame_are_not_taken_for_finished(folder):
    write(folder / "in" / "a.ome.tif")
    assert run(folder, "--resume") == ALL_DONE
    (folder / "out" / "a_t001_label.tiff").replace(folder / "out" / "a_t002_label.tiff")
    assert run(folder, "--resume") == ALL_DONE
    assert [one["status"] for one in record(folder)] == ["done", "done", "skipped"]


@pytest.mark.parametrize("name", ["a_t002.tif", "a_p001.tif"])
def test_a_frame_never_replaces_the_labels_of_another_image(folder, alone, capsys, name):
    with tifffile.TiffWriter(folder / "in" / "a.ome.tif", ome=True) as out:
        for frames in (FRAMES, FRAMES)[: 2 if "p" in name[1:-4] else 1]:
            out.write(frames, metadata={"axes": "TYX"}, photometric="minisblack")
    write(folder / "in" / name, FRAMES[0], "YX")
    assert run(folder) == SOME_FAILED
    lost = ["t002"] if "t" in name[1:-4] else ["p001_t001", "p001_t002", "p001_t003"]
    assert [one["frame"] for one in record(folder) if one["status"] == "failed"] == lost
    np.testing.assert_array_equal(labels(folder, f"{name[:-4]}_label.tiff"), alone[0])
    assert "two images of this run would be written to" in capsys.readouterr().err


def test_the_challenge_has_one_label_file_for_each_image(folder, capsys):
    write(folder / "in" / "a.ome.tif")
    assert run(folder, "--ids", "challenge") == SOME_FAILED
    assert files(folder) == []
    said = capsys.readouterr().err
    assert "a.ome.tif: it is a series of 3 frames, and --ids challenge means one label file for each image" in said
    assert "open_frames" not in said
    assert run(folder, "--ids", "challenge", "--plane", "2") == ALL_DONE
    assert files(folder) == ["a_label.tiff"]


def test_an_interrupted_series_is_interrupted_in_the_record(folder):
    write(folder / "in" / "a.ome.tif")
    write(folder / "in" / "b.ome.tif")
    data = (folder / "in" / "a.ome.tif").read_bytes()
    with tifffile.TiffFile(folder / "in" / "a.ome.tif") as file:
        where = file.pages[1].tags["StripOffsets"].valueoffset
    (folder / "in" / "a.ome.tif").write_bytes(data[:where] + (len(data) - 8).to_bytes(4, "little") + data[where + 4 :])
    assert run(folder, "--strict") == SOME_FAILED
    assert [(one["file"][-9:], one["frame"], one["status"]) for one in record(folder)] == [
        ("a.ome.tif", "t001", "done"),
        ("a.ome.tif", "t002", "failed"),
        ("a.ome.tif", None, "not reached"),
        ("b.ome.tif", None, "not reached"),
    ]


def test_frames_in_python(folder, network, alone):
    write(folder / "a.ome.tif")
    frames = flowmask.open_frames(folder / "a.ome.tif")
    assert [suffix for suffix, _ in frames] == ["_t001", "_t002", "_t003"]
    for (_, image), expected in zip(frames, alone, strict=True):
        np.testing.assert_array_equal(flowmask.segment(image, network, diameter=26).labels, expected)
    with pytest.raises(flowmask.SettingsError, match="this image is already open"):
        flowmask.segment(frames[0][1], network, plane=1)
    with pytest.raises(flowmask.ImageError, match="open each frame with flowmask.open_frames"):
        flowmask.segment(folder / "a.ome.tif", network)


@needs_network
def test_the_pixels_of_an_image_are_no_squares(tmp_path, capsys):
    """One warning with both sides, the diameter of a square of the same area, and both sides in the label file."""
    sizes = {"PhysicalSizeX": 1.0, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "um", "PhysicalSizeYUnit": "um"}
    tifffile.imwrite(tmp_path / "a.ome.tif", FRAMES[0], metadata={"axes": "YX", **sizes})
    assert main(["-i", str(tmp_path / "a.ome.tif"), "-o", str(tmp_path / "out"), "--diameter", "12um"]) == ALL_DONE
    said = capsys.readouterr()
    assert "diameter 24.0 px" in said.out
    assert said.err.count("warning: a.ome.tif: The pixels are no squares (1 um wide, 0.25 um high)") == 1
    with tifffile.TiffFile(tmp_path / "out" / "a_label.tiff") as file:
        sides = [10_000 * tag[1] / tag[0] for tag in map(file.pages.first.tags.valueof, (282, 283))]
    assert sides == pytest.approx([1.0, 0.25])


@needs_network
def test_files_are_counted_and_not_their_frames(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 64, 64), np.uint8), imagej=True, metadata={"axes": "TYX"})
    assert main(["-i", str(tmp_path / "a.tif"), "-o", str(tmp_path / "out"), "--diameter", "1"]) == SOME_FAILED
    assert "1 of 1 files (3 of 3 label images) failed" in capsys.readouterr().err
