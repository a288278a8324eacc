"""The command line in process, with the network that ships."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import tifffile

import flowmask
from flowmask.cli import flowmask as flowmask_command
from flowmask.cli import main
from flowmask.errors import ImageError, InputError, SettingsError
from flowmask.labels.metrics import f1
from flowmask.labels.paths import maps_path
from flowmask.options import Runtime, Segmentation
from flowmask.runs.batch import ALL_DONE, SOME_FAILED, WRONG_USAGE
from flowmask.runs.jobs import find_images
from tests.conftest import ROOT, needs_network
from train.simulate import simulate

pytestmark = needs_network
SAMPLE = simulate("fluorescence_nuclei", (160, 180), 16, 26)


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "out"


def run(folders, *options):
    return main(["-i", str(folders[0]), "-o", str(folders[1]), "--diameter", "26", *options])


def test_labels_are_named_typed_and_compressed_as_the_challenge_asks(folders, capsys):
    cv2.imwrite(str(folders[0] / "cell_00001.png"), SAMPLE.image)
    tifffile.imwrite(folders[0] / "deep.ome.TIF", SAMPLE.image.astype(np.uint16) * 200)
    assert run(folders, "--ids", "challenge") == ALL_DONE
    assert sorted(p.name for p in folders[1].iterdir()) == ["cell_00001_label.tiff", "deep_label.tiff"]
    with tifffile.TiffFile(folders[1] / "cell_00001_label.tiff") as file:
        page = file.pages[0]
        assert (page.dtype, page.shape) == (np.int16, (160, 180))
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        labels = page.asarray()
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert f1(SAMPLE.labels, labels) > 0.8
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert out[0].startswith(f"cell_00001.png: {labels.max()} cells, diameter 26.0 px, ")


def test_one_file_alone(folders):
    cv2.imwrite(str(folders[0] / "a.png"), SAMPLE.image)
    assert run((folders[0] / "a.png", folders[1])) == ALL_DONE
    assert (folders[1] / "a_label.tiff").exists()


def test_a_blank_image_has_an_empty_label_file_and_a_warning_that_names_the_way_on(folders, capsys):
    blank = np.random.default_rng(0).normal(100, 4, (160, 180)).astype(np.uint8)
    cv2.imwrite(str(folders[0] / "blank.png"), blank)
    cv2.imwrite(str(folders[0] / "cells.png"), SAMPLE.image)
    record = folders[0].parent / "run.json"
    assert run(folders, "--report", str(record)) == ALL_DONE
    assert not tifffile.imread(folders[1] / "blank_label.tiff").any()
    assert tifffile.imread(folders[1] / "cells_label.tiff").any()
    blank_entry, cells = json.loads(record.read_text())["files"]
    assert (blank_entry["status"], blank_entry["cells"], blank_entry["verdict"]) == ("done", 0, "check")
    assert cells["warnings"] == []
    out, err = capsys.readouterr()
    assert "check: no cells were found; the image has no contrast" in out
    assert "blank.png: The image shows no contrast: its" in err
    assert "; to segment it all the same, use --skip-noise-check." in err
    assert run(folders, "--skip-noise-check") == ALL_DONE
    assert "blank.png: The image seems to show only noise; check whether the cells are real." in capsys.readouterr().err


def test_a_bad_file_is_named_and_costs_the_others_nothing(folders, capsys):
    (folders[0] / "a.png").write_bytes(b"no image")
    (folders[0] / "b.tif").write_text("notes")
    (folders[0] / "notes.txt").write_text("notes")
    cv2.imwrite(str(folders[0] / "c.png"), SAMPLE.image)
    (folders[0] / ".hidden").write_text("")
    (folders[0] / "Thumbs.db").write_text("")
    assert run(folders) == SOME_FAILED
    assert [p.name for p in folders[1].iterdir()] == ["c_label.tiff"]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 5
    assert errors[:2] == [
        "1 other file was skipped: notes.txt",
        f"3 images to segment; the labels go to {folders[1]}",
    ]
    assert "a.png: it is no" in errors[2]
    assert "b.tif: it is no" in errors[3]
    assert "2 of 3 files failed" in errors[4]


@pytest.mark.slow
def test_two_names_for_one_label_file(folders, capsys):
    cv2.imwrite(str(folders[0] / "a.png"), SAMPLE.image)
    cv2.imwrite(str(folders[0] / "a.x.png"), SAMPLE.image)
    assert run(folders, "--ids", "challenge") == SOME_FAILED
    assert "a.x.png: a.png has the same name up to its first dot" in capsys.readouterr().err
    assert run(folders) == ALL_DONE
    assert sorted(path.name for path in folders[1].iterdir()) == ["a.x_label.tiff", "a_label.tiff"]
    cv2.imwrite(str(folders[0] / "a.bmp"), SAMPLE.image)
    assert run(folders) == SOME_FAILED
    assert "a.png: a.bmp has the same name up to its suffix" in capsys.readouterr().err


@pytest.mark.slow
def test_files_that_are_no_images_are_skipped_in_one_line(folders, capsys):
    for well in (1, 2):
        cv2.imwrite(str(folders[0] / f"2026.11.29_well{well}.png"), SAMPLE.image)
    names = ["RoiSet.zip", *(f"{number}.txt" for number in range(6)), "scan.xml"]
    for name in names:
        (folders[0] / name).write_bytes(b"PK\3\4")
    assert run(folders) == ALL_DONE
    skipped, opening, closing = capsys.readouterr().err.splitlines()
    assert skipped == "8 other files were skipped: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, ..."
    assert opening == f"2 images to segment; the labels go to {folders[1]}"
    assert closing.startswith("2 images, ")
    assert sorted(path.name for path in folders[1].iterdir()) == [
        f"2026.11.29_well{well}_label.tiff" for well in (1, 2)
    ]
    assert closing.endswith(f"cells; the labels are in {folders[1]}")
    assert run((folders[0] / "scan.xml", folders[1])) == SOME_FAILED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("models > /dev/full", WRONG_USAGE, "error: the output cannot be written to stdout (No space left on device)"),
        ("models | true", 0, ""),
    ],
)
def test_an_answer_that_cannot_be_written(command, status, message):
    """Of a pipe, the exit code is that of the command before it; with `| true` nobody reads."""
    code = "import sys, time; from infer.cli import flowmask; time.sleep(0.5); sys.exit(flowmask())"
    line = f"set -o pipefail; {sys.executable} -c '{code}' {command}"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr[: len(message)], done.stderr.count("\n")) == (status, message, bool(message))


@pytest.mark.parametrize("streams", [">&-", "> /dev/full", "| true", ">&- 2>&-", "2> /dev/full", "2>&-"])
def test_streams_that_fail_cost_no_image(folders, streams):
    cv2.imwrite(str(folders[0] / "a.png"), SAMPLE.image)
    cv2.imwrite(str(folders[0] / "b.png"), SAMPLE.image)
    command = (
        f"{sys.executable} -m infer -i {folders[0]} -o {folders[1]} --diameter 26 {streams}; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], cwd=ROOT)
    assert done.returncode == ALL_DONE
    assert sorted(path.name for path in folders[1].iterdir()) == ["a_label.tiff", "b_label.tiff"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_two_runs_into_one_folder_at_once(folders, options):
    for name in "abc":
        cv2.imwrite(str(folders[0] / f"{name}.png"), SAMPLE.image)
    words = [sys.executable, "-m", "infer", "-i", folders[0], "-o", folders[1], "--diameter", "26", *options]
    runs = [subprocess.Popen(list(map(str, words)), cwd=ROOT) for _ in range(2)]
    assert [one.wait(300) for one in runs] == [ALL_DONE, ALL_DONE]
    assert sorted(path.name for path in folders[1].iterdir()) == [f"{name}_label.tiff" for name in "abc"]
    one, *others = (tifffile.imread(folders[1] / f"{name}_label.tiff") for name in "abc")
    assert one.max() > 2
    for other in others:
        np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (lambda folder: folder.rmdir(), (), "there is no such file or folder"),
        (
            lambda folder: None,
            (),
            "there are no images in the folder, and its subfolders are not searched; put TIFF, PNG, JPEG, BMP, CZI, "
            "ND2 or LIF images into it",
        ),
        (lambda folder: (folder / "well1").mkdir(), (), "not searched; give one of them, such as "),
        (lambda folder: (folder / "a.png").write_bytes(b""), ("-m", "absent.onnx"), "absent.onnx: there is no such"),
        (lambda folder: (folder / "a.png").write_bytes(b""), ("-m", __file__), "it is not an ONNX file"),
        (lambda folder: (folder / "a.png").write_bytes(b""), ("--min-size", "-3"), "--min-size -3 is out of range"),
        (lambda folder: (folder / "a.png").write_bytes(b""), ("--device", "tpu"), "--device tpu is unknown"),
        (lambda folder: (folder / "a.png").write_bytes(b""), ("--channels", "1,2,3,4"), "takes 1 to 3 channels, not 4"),
    ],
)
def test_what_stops_everything_is_one_sentence(folders, capsys, prepare, options, message):
    prepare(folders[0])
    assert run(folders, *options) == WRONG_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_channel_choice_that_does_not_fit_is_a_failure_of_that_image(folders, capsys):
    cv2.imwrite(str(folders[0] / "a.png"), SAMPLE.image)
    assert run(folders, "--channels", "1,2,3") == SOME_FAILED
    assert "a.png: --channels: 2 does not fit an image of 1 channel" in capsys.readouterr().err


def test_a_side_file_or_an_empty_one_does_not_take_an_images_name(folders):
    (folders[0] / "a.json").write_text("{}")
    (folders[0] / "b.jpg").write_bytes(b"")
    for name in "ab":
        cv2.imwrite(str(folders[0] / f"{name}.png"), SAMPLE.image)
    assert run(folders) == SOME_FAILED
    assert sorted(p.name for p in folders[1].iterdir()) == ["a_label.tiff", "b_label.tiff"]


def test_a_folder_that_cannot_be_read_is_one_sentence(folders, capsys):
    assert main(["-i", str(folders[0] / ("x" * 300)), "-o", str(folders[1])]) == WRONG_USAGE
    assert "it cannot be read (File name too long)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_name_that_is_no_utf8_costs_nothing(folders):
    name = os.fsdecode(b"a\xff.png")
    (folders[0] / name).write_bytes(cv2.imencode(".png", SAMPLE.image)[1].tobytes())
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "infer", "-i", folders[0], "-o", folders[1], "--diameter", "26"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == ALL_DONE, done.stderr
    found = tifffile.imread(folders[1] / os.fsdecode(b"a\xff_label.tiff")).max()
    assert found > 0
    assert rb"a\udcff.png: %d cells" % found in done.stdout


def test_results_in_the_images_folder_are_no_images(folders):
    cv2.imwrite(str(folders[0] / "a.png"), SAMPLE.image)
    assert run((folders[0], folders[0])) == ALL_DONE
    assert run((folders[0], folders[0])) == ALL_DONE
    assert sorted(p.name for p in folders[0].iterdir()) == ["a.png", "a_label.tiff"]


def test_folders_inside_are_left_alone(folders):
    (folders[0] / "sub").mkdir()
    (folders[0] / "a.png").write_bytes(b"")
    assert find_images([folders[0]]) == ([folders[0] / "a.png"], [])


@pytest.mark.parametrize("most", [1000, 2])
def test_images_in_subfolders_are_counted_and_not_segmented(folders, capsys, monkeypatch, most):
    """Not the deep ones, the outputs of earlier runs, and those that are given."""
    source = folders[0]
    cv2.imwrite(str(source / "a.png"), SAMPLE.image)
    assert run((source, source / "labels"), "--save", "overlay") == ALL_DONE
    for name in ("well1/b.tif", "well1/c.png", "well2/b.PNG", "well3/deep/d.tif", "well4/e.tif", "notes/f.txt"):
        (source / name).parent.mkdir(exist_ok=True, parents=True)
        (source / name).touch()
    cv2.imwrite(str(source / "well4" / "e.tif"), SAMPLE.image)
    capsys.readouterr()
    monkeypatch.setattr("flowmask.runs.folders.MOST_ENTRIES", most)
    words = ["segment", str(source), str(source / "well4"), "-o", str(source / "labels"), "--diameter", "26"]
    assert flowmask_command(words) == ALL_DONE
    note, opening, _ = capsys.readouterr().err.splitlines()
    count = "3 images in 2 subfolders" if most == 1000 else "at least 1 image in 1 subfolder"
    assert note == f"note: not looked at: {count} of {source}; to segment them too, add {source}/*/"
    assert opening.startswith("2 images to segment")
    (source / "a.png").unlink()
    for folder in ("well2", "well4"):
        shutil.rmtree(source / folder)
    monkeypatch.setattr("flowmask.runs.folders.MOST_ENTRIES", 1000)
    reason = f"its subfolders are not searched; give {source / 'well1'}, with 2 images in 1 subfolder."
    with pytest.raises(InputError, match=re.escape(reason)):
        find_images([source])


def test_results_of_an_earlier_run_into_the_images_folder_are_no_images(folders):
    """Also if this run writes into another folder; label images of other programs are images."""
    cv2.imwrite(str(folders[0] / "a.png"), SAMPLE.image)
    assert run((folders[0], folders[0]), "--save", "overlay") == ALL_DONE
    tifffile.imwrite(folders[0] / "truth_label.tiff", SAMPLE.image)
    assert find_images([folders[0]], folders[1]) == ([folders[0] / "a.png", folders[0] / "truth_label.tiff"], [])


@pytest.mark.parametrize("marker", ["zarr.json", ".zattrs", ".zarray"])
def test_a_zarr_folder_is_an_image_and_another_folder_is_none(folders, marker):
    zarr = folders[0] / "slide.ome.zarr"
    zarr.mkdir()
    (zarr / marker).touch()
    (folders[0] / "a.png").touch()
    assert find_images([folders[0]]) == find_images([folders[0] / "a.png", zarr]) == ([folders[0] / "a.png", zarr], [])
    with pytest.raises(ImageError, match="it is a folder; give each image file"):
        flowmask.segment(folders[0])


@pytest.mark.parametrize(("name", "content", "kind"), [("a.pgm", b"P5\n1 1", "PGM"), ("a.nrrd", b"NRRD0005", "NRRD")])
def test_an_image_of_a_format_that_is_not_read_is_no_side_file(folders, name, content, kind):
    (folders[0] / name).write_bytes(content)
    assert find_images([folders[0]]) == ([folders[0] / name], [])
    with pytest.raises(ImageError, match=f"but {kind}; save it as TIFF"):
        flowmask.segment(folders[0] / name)


def test_a_finished_run_leaves_no_kept_maps(folders):
    cv2.imwrite(str(folders[0] / "a.png"), SAMPLE.image)
    for options in ((), ("--resume",)):
        folders[1].mkdir(exist_ok=True)
        (folders[1] / ".a_label.tiff.maps").write_bytes(b"of an older run")
        (folders[1] / ".a_label.tiff.partial").write_bytes(b"of a killed run")
        assert run(folders, *options) == ALL_DONE
        assert [p.name for p in folders[1].iterdir()] == ["a_label.tiff"]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An image, the labels of an uninterrupted run, and the size of its maps at 1.5 times its own scale."""
    folder = tmp_path_factory.mktemp("large")
    cv2.imwrite(str(folder / "a.png"), simulate("fluorescence_nuclei", (700, 690), 5, 20).image)
    assert main(["-i", str(folder / "a.png"), "-o", str(folder), "--diameter", "20"]) == ALL_DONE
    return folder / "a.png", (folder / "a_label.tiff").read_bytes(), 12 * 1050 * 1035


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [0, 0.4, 0.8, 1])
def test_a_killed_run_goes_on_and_gives_the_same_labels(large, tmp_path, fraction):
    image, expected, whole = large
    target = tmp_path / "a_label.tiff"
    maps = maps_path(target)
    command = [sys.executable, "-m", "infer", "-i", image, "-o", tmp_path, "--diameter", "20", "--resume"]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not maps.exists() or maps.stat().st_size <= fraction * whole:
        assert running.poll() is None
        time.sleep(0.002)
    running.kill()
    running.wait()
    assert [p.name for p in tmp_path.iterdir() if p != maps and p.suffix != ".partial"] == []
    left = maps.stat().st_size
    assert left > fraction * whole
    assert run((image, tmp_path), "--diameter", "20", "--resume") == ALL_DONE
    assert target.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [target]


def test_settings_have_ranges():
    with pytest.raises(SettingsError, match="`diameter=0` is out of range"):
        Segmentation(diameter=0)
    with pytest.raises(ValueError, match="`batch=-1`"):
        Runtime(batch=-1)


@pytest.mark.parametrize("command", ["segment", "info", "score", "view", "train", "models"])
def test_help_fits_into_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        flowmask_command([command, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--plane", "2", "--project", "max"), "--plane and --project exclude each other"),
        (("--plane", "0"), "give a number from 1 to 1,000,000."),
    ],
)
def test_a_wrong_choice_of_planes_is_wrong_usage(tmp_path, capsys, options, said):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    assert main(["-i", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), *options]) == WRONG_USAGE
    assert said in capsys.readouterr().err
