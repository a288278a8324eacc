"""Cells pasted on an even background: where their pixels come from, how many there are, and the command."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip("torch")

from flowmask.errors import ImageError  # noqa: E402
from train.data.prepared import write_sample  # noqa: E402
from train.data.readers import read_item, read_shared  # noqa: E402
from train.simulate import simulate  # noqa: E402
from train.simulate.paste import cut_out, main, pasted, turned  # noqa: E402


def discs(shape=(120, 150), cells=6, diameter=20):
    """Discs in a row, each with a grey value of its own, on a background of 100."""
    labels = np.zeros(shape, np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for cell in range(cells):
        labels[np.hypot(y - 60, x - 15 - 23 * cell) < diameter / 2] = cell + 1
    image = np.where(labels > 0, 150 + 10 * labels, 100).astype(np.uint8)
    return image[..., None], labels


def test_each_cell_has_the_pixels_of_a_cell_and_the_rest_is_background():
    image, labels = discs()
    new, ids = pasted(image, labels, 12, np.random.default_rng(0))
    assert new.shape == image.shape
    assert (new[ids == 0] == 100).all()
    assert 8 <= ids.max() <= 12
    assert set(np.unique(ids)) == set(range(ids.max() + 1))
    for cell in range(1, ids.max() + 1):
        inside = ids == cell
        value = np.median(new[inside])
        assert value in 150 + 10 * np.arange(1, 7)
        assert ndimage.binary_fill_holes(inside).sum() <= 1.1 * np.pi * 10**2


@pytest.mark.parametrize("count", [1, 20, 100, 1000])
def test_more_cells_fill_more_of_the_image(count):
    image, labels = discs(cells=5, diameter=12)
    new, ids = pasted(image, labels, count, np.random.default_rng(1))
    covered = 1 - np.exp(-count * np.pi * 6**2 / labels.size)  # of discs that are placed independently
    assert (ids > 0).mean() == pytest.approx(covered, abs=0.06)
    assert ids.max() <= count
    again, same = pasted(image, labels, count, np.random.default_rng(1))
    np.testing.assert_array_equal(again, new)
    np.testing.assert_array_equal(same, ids)


def test_cells_at_the_border_are_not_cut_out():
    image, labels = discs()
    labels[:8, :8] = 9
    assert len(cut_out(image, labels)) == 6
    with pytest.raises(ImageError, match="all cells of the image touch its border"):
        pasted(image, np.where(labels == 9, 9, 0), 3, np.random.default_rng(0))


@pytest.mark.parametrize("angle", [0, 30, 90, 217])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_turned_cell_keeps_its_area_and_its_values(angle, mirror):
    sample = simulate("fluorescence_nuclei", (128, 128), 3, 24)
    cell = max(cut_out(sample.image.reshape(128, 128, -1), sample.labels), key=lambda one: one.mask.sum())
    other = turned(cell, angle, mirror)
    assert int(other.mask.sum()) == pytest.approx(int(cell.mask.sum()), rel=0.06)
    assert other.pixels[other.mask > 0].mean() == pytest.approx(cell.pixels[cell.mask > 0].mean(), rel=0.05)
    if angle == 0:
        expected = cell.mask[:, ::-1] if mirror else cell.mask
        rows, columns = (np.flatnonzero(other.mask.any(axis)) for axis in (1, 0))
        found = other.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.testing.assert_array_equal(found, expected)


def test_the_command_extends_a_folder(tmp_path, capsys):
    for seed in range(2):
        image, labels = discs(cells=3 + seed)
        write_sample(tmp_path / "data" / "a", str(seed), image[..., 0], labels)
    write_sample(tmp_path / "data" / "b", "0", np.zeros((30, 30), np.uint8), np.zeros((30, 30), np.int32))
    command = [str(tmp_path / "new"), "--data", str(tmp_path / "data"), "--cells", "20", "matched", "--each", "2"]
    assert main([*command, "--images", "a/*"]) == 0
    items = read_shared(tmp_path / "new")
    assert sorted(item.image.stem for item in items) == sorted(
        f"{seed}_{cells}_{copy}" for seed in range(2) for cells in ("20", "matched") for copy in range(2)
    )
    for item in items:
        _, labels = read_item(item)
        matched = "matched" in item.image.stem
        assert labels.max() <= 4 if matched else 4 < labels.max() <= 20
    assert main([*command, "--images", "c/*"]) == 1
    assert "no image matches c/*" in capsys.readouterr().err


def test_an_image_of_16_bits_is_refused(tmp_path, capsys):
    image, labels = discs()
    write_sample(tmp_path / "data" / "a", "x", image[..., 0], labels)
    cv2.imwrite(str(tmp_path / "data" / "a" / "x.png"), image[..., 0].astype(np.uint16))
    assert main([str(tmp_path / "new"), "--data", str(tmp_path / "data")]) == 1
    assert "x.png: the image must have one or three channels of 8 bits" in capsys.readouterr().err


def test_words_that_are_no_number_are_refused(tmp_path):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--data", str(tmp_path), "--cells", "few"])
