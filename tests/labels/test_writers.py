"""The label file: name, type, compression, whole or not at all."""

import numpy as np
import pytest
import tifffile

from flowmask.errors import OutputError
from flowmask.families.flow.targets import label_boxes
from flowmask.labels.metrics import f1_challenge
from flowmask.labels.paths import label_path
from flowmask.labels.reused_ids import reused_ids
from flowmask.labels.store import LabelStore, pack
from flowmask.labels.writers import write_labels, write_strips


def test_the_name_ends_at_the_first_dot(tmp_path):
    assert label_path(tmp_path, "cell_00001.png").name == "cell_00001_label.tiff"
    assert label_path(tmp_path, "slide.ome.tif").name == "slide_label.tiff"
    for name in ("2026.11.29_well1.tif", "2026.11.29_well1.OME.TIFF", "2026.11.29_well1"):
        assert label_path(tmp_path, name).name == "2026.11.29_well1_label.tiff"
        assert label_path(tmp_path, name, challenge=True).name == "2026_label.tiff"


def stored(folder, labels, rows=37):
    store = LabelStore(folder, labels.shape)
    for top in range(0, len(labels), rows):
        store.append(labels[top : top + rows])
    return store


@pytest.mark.parametrize("rows", [1, 37, 64, 1000])
def test_rows_in_any_number_become_the_same_file(tmp_path, rows):
    labels = np.random.default_rng(1).integers(0, 300, (211, 97)).astype(np.int32)
    with stored(tmp_path, labels, rows) as store:
        np.testing.assert_array_equal(np.concatenate(list(store.rows())), labels)
        np.testing.assert_array_equal(store.boxes(), label_boxes(labels, 299))
        write_labels(tmp_path / "a_label.tiff", store, "int32")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a_label.tiff"), labels)
    assert [p.name for p in tmp_path.iterdir()] == ["a_label.tiff"]


@pytest.mark.parametrize(
    ("ids", "cells", "dtype"),
    [
        *(("challenge", cells, np.int16) for cells in (0, 3, 32_767)),
        ("challenge", 32_768, np.int32),
        *(("int32", cells, np.uint16) for cells in (0, 3, 32_767, 32_768, 65_535)),
        ("int32", 65_536, np.int32),
    ],
)
def test_the_smallest_type_that_holds_the_ids(tmp_path, cells, dtype, ids, caplog):
    labels = np.arange(300 * 300, dtype=np.int32).reshape(300, 300) % (cells + 1)
    with stored(tmp_path, labels) as store:
        write_labels(tmp_path / "a_label.tiff", store, ids)
    with tifffile.TiffFile(tmp_path / "a_label.tiff") as file:
        page = file.pages[0]
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.dtype == dtype
        np.testing.assert_array_equal(page.asarray(), labels)
    assert ("int32" in caplog.text) == (ids == "challenge" and dtype == np.int32)


def test_the_pixel_size_is_kept(tmp_path):
    with stored(tmp_path, np.eye(70, dtype=np.int32)) as store:
        write_labels(tmp_path / "a_label.tiff", store, "int32", pixel_size_um=0.25)
    with tifffile.TiffFile(tmp_path / "a_label.tiff") as file:
        page = file.pages[0]
        assert page.tags["ResolutionUnit"].value == 3  # centimetres
        assert page.get_resolution("micrometer") == pytest.approx((4.0, 4.0))


def grid_of_cells(shape, count):
    """Labels of ``count`` cells of 4 x 4 px, evenly spread, some of them over the borders of patches."""
    across = int(np.ceil(np.sqrt(count)))
    labels = np.zeros(shape, np.int32)
    tops, lefts = (np.linspace(3, length - 8, across).astype(int) for length in shape)
    for index in range(count):
        top, left = tops[index // across], lefts[index % across]
        labels[top : top + 4, left : left + 4] = index + 1
    return labels


@pytest.mark.slow
def test_ids_used_again_cost_the_challenges_score_nothing(tmp_path):
    truth = grid_of_cells((5000, 5200), 33_000)
    with stored(tmp_path, truth, 500) as store:
        write_labels(tmp_path / "a_label.tiff", store, "challenge")
    written = tifffile.imread(tmp_path / "a_label.tiff")
    assert written.dtype == np.int16
    assert written.min() == 0
    corner = np.s_[3000:, 3000:]
    assert f1_challenge(truth[corner], written[corner]) == 1
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a_label_int32.tiff"), truth)


@pytest.mark.slow
@pytest.mark.parametrize("count", [33_000, 120_000])
def test_no_patch_holds_two_cells_of_one_id(count):
    truth = grid_of_cells((5000, 5200), count)
    ids = reused_ids(label_boxes(truth, count), truth.shape)
    for top in range(0, 5000, 2000):
        for left in range(0, 5200, 2000):
            inside = np.unique(truth[top : top + 2000, left : left + 2000])
            assert len(np.unique(ids[inside])) == len(inside)


@pytest.mark.slow
def test_neighbouring_patches_share_no_id_where_that_is_possible():
    truth = grid_of_cells((5000, 10_000), 40_000)
    ids = reused_ids(label_boxes(truth, 40_000), truth.shape)
    assert ids[0] == 0
    assert ids[1:].min() == 1
    patch = label_boxes(truth, 40_000)[:, :2] // 2000
    for index in np.random.default_rng(0).integers(0, 40_000, 300):
        same = np.flatnonzero(ids[1:] == ids[index + 1])
        near = np.abs(patch[same] - patch[index]).max(axis=1) <= 1
        assert list(same[near]) == [index]


@pytest.mark.slow
def test_where_a_patch_holds_more_cells_than_int16_counts_the_labels_are_int32(tmp_path, caplog):
    truth = grid_of_cells((2000, 2000), 33_000)
    truth = np.pad(truth, ((0, 3000), (0, 3200)))
    with stored(tmp_path, truth, 500) as store:
        write_labels(tmp_path / "a_label.tiff", store, "challenge")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a_label.tiff"), truth)
    assert [path.name for path in tmp_path.iterdir()] == ["a_label.tiff"]
    assert "so the labels are int32" in caplog.text


@pytest.mark.parametrize("early", [10, 32_760])
def test_strips_packed_before_the_ids_outgrew_int16_are_there_too(tmp_path, early):
    labels = np.minimum(np.arange(300)[:, None] * 40 // 100 * 100 + early, 40_000).astype(np.int32)
    labels = np.concatenate([labels, np.full((5, 1), 40_000, np.int32)]).repeat(11, axis=1)
    with stored(tmp_path, labels) as store:
        np.testing.assert_array_equal(np.concatenate(list(store.rows())), labels)
        write_labels(tmp_path / "a_label.tiff", store, "challenge")
    written = tifffile.imread(tmp_path / "a_label.tiff")
    assert written.dtype == np.int32
    np.testing.assert_array_equal(written, labels)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    strip = pack(np.zeros((3, 3), np.int32), np.int16)
    with pytest.raises(OutputError, match="a_label.tiff: it cannot be written"):
        write_strips(tmp_path / "absent" / "a_label.tiff", iter([strip]), (3, 3), np.int16)
    with pytest.raises(OutputError, match="absent: it cannot be written"):
        LabelStore(tmp_path / "absent", (3, 3))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    strip = pack(np.ones((64, 3), np.int32), np.int16)

    def strips_until_the_disk_is_full():
        yield pack(np.zeros((64, 3), np.int32), np.int16)
        raise OSError(28, "No space left on device")

    write_strips(tmp_path / "a_label.tiff", iter([strip, strip]), (128, 3), np.int16)
    with pytest.raises(OutputError, match="No space left"):
        write_strips(tmp_path / "a_label.tiff", strips_until_the_disk_is_full(), (128, 3), np.int16)
    assert [p.name for p in tmp_path.iterdir()] == ["a_label.tiff"]
    assert tifffile.imread(tmp_path / "a_label.tiff").max() == 1
