"""`flowmask score`: F1, AP, AFNR and the scores of the pixels, a line for each image and the mean."""

import numpy as np
import pytest
import tifffile

from flowmask.cli import flowmask
from flowmask.labels.metrics import average_precision, dice, f1_challenge, false_negative_ratio, pixel_iou, ranked
from flowmask.labels.scores import score
from flowmask.runs.batch import WRONG_USAGE
from train.simulate import simulate


def worse(labels):
    """The labels with every third cell missing and every second one cut."""
    cut = labels.copy()
    cut[labels % 3 == 0] = 0
    rows = np.arange(len(labels))[:, None]
    cut[(labels % 2 == 0) & (rows % 4 == 0)] = 0
    return cut


@pytest.fixture
def folders(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        truth = simulate("fluorescence_nuclei", (200, 220), seed, 20).labels
        for folder, labels in (("truth", truth), ("found", worse(truth))):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"{name}_label.tiff", labels)
    return tmp_path / "found", tmp_path / "truth"


def lines(capsys):
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_a_line_for_each_image_and_the_mean(folders, capsys):
    assert flowmask(["score", *map(str, folders)]) == 0
    header, *rows, mean = lines(capsys)
    assert header == ["image", "F1", "AP", "AFNR", "Dice", "pixel-IoU", "true", "predicted"]
    assert [row[0] for row in rows] == ["a_label.tiff", "b_label.tiff"]
    for row in rows:
        found, truth = (tifffile.imread(folder / row[0]) for folder in folders)
        cells = [ranked(truth, found, np.ones(len(np.unique(found)) - 1))]
        expected = f1_challenge(truth, found), average_precision(cells), false_negative_ratio(cells)
        pixels = dice(truth, found), pixel_iou(truth, found)
        assert row[1:6] == [f"{value:.4f}" for value in (*expected, *pixels)]
        assert 0.3 < expected[0] < 1
        assert 0.1 < expected[1] < 0.9
    for column in (1, 2, 3, 4, 5):
        assert float(mean[column]) == pytest.approx(np.mean([float(row[column]) for row in rows]), abs=1e-4)


@pytest.mark.parametrize(("axes", "shape"), [("ZYX", (9, 40, 50)), ("TYX", (2, 40, 50))])
def test_a_stack_of_labels_is_refused_with_advice_that_can_be_followed(folders, capsys, axes, shape):
    path = folders[1] / "a_label.tiff"
    tifffile.imwrite(path, np.zeros(shape, np.uint16), imagej=True, metadata={"axes": axes})
    assert flowmask(["score", str(path), str(path)]) == 1
    expected = f"error: {path}: it holds several images (axes {axes}); save each as a file of its own.\n"
    assert capsys.readouterr().err == expected


def test_an_image_without_true_cells_has_no_ap_and_does_not_count_in_its_mean(folders, capsys):
    empty = np.zeros((40, 50), np.uint16)
    for folder in folders:
        tifffile.imwrite(folder / "c_label.tiff", empty)
    assert flowmask(["score", *map(str, folders)]) == 0
    _, one, two, three, mean = lines(capsys)
    assert three[1:] == ["0.0000", "", "", "1.0000", "1.0000", "0", "0"]
    assert float(mean[2]) == pytest.approx((float(one[2]) + float(two[2])) / 2, abs=1e-4)
    assert float(mean[1]) == pytest.approx((float(one[1]) + float(two[1])) / 3, abs=1e-4)


def test_a_missing_label_file_is_named_and_the_others_are_scored(folders, capsys):
    (folders[0] / "b_label.tiff").unlink()
    assert flowmask(["score", *map(str, folders)]) == 1
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["image", "a_label.tiff"]
    assert "b_label.tiff" in err


@pytest.mark.parametrize("file_first", [True, False])
def test_a_file_and_a_folder_are_refused(folders, capsys, file_first):
    file, folder = folders[0] / "a_label.tiff", folders[1]
    assert flowmask(["score", *map(str, (file, folder) if file_first else (folder, file))]) == WRONG_USAGE
    assert f"{folder}: it is a folder but {file} is a file; give two files" in capsys.readouterr().err


@pytest.mark.slow
def test_a_large_image_is_scored_in_patches():
    """Memory for all pairs of cells of a slide would be tens of gigabytes."""
    truth = np.zeros((5100, 5100), np.int32)
    spots = [(y, x) for y in range(20, 5000, 100) for x in range(20, 5000, 100)]
    for number, (y, x) in enumerate(spots, 1):
        truth[y : y + 9, x : x + 9] = number
    found = score("a", truth, np.where(truth % 2, truth, 0))
    assert (found.f1, found.true, found.predicted) == (pytest.approx(2 / 3), 2500, 1250)
    assert found.afnr == pytest.approx(0.5)
