"""Images and labels are found in each layout in which people keep them."""

import json
import pickle

import cv2
import numpy as np
import pytest
import tifffile

from flowmask.errors import ImageError, InputError
from tests.reference.partition import same_partition
from train.data.pairs import ENDINGS, find_pairs
from train.data.readers import read_item, read_labels
from train.simulate import simulate

SAMPLE = simulate("phase", (90, 120), 6, 22)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, {"masks": pixels.astype(np.uint16), "filename": "a.tif", "flows": [np.zeros(3, np.float32)]})
    elif path.suffix == ".png":
        cv2.imwrite(str(path), pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels)
    else:
        tifffile.imwrite(path, pixels)


def labelled(folder, labels, image="a.tif"):
    """Write an image and its labels under the two paths; return what is found in the folder."""
    write(folder / image, SAMPLE.image)
    write(folder / labels, SAMPLE.labels)
    return find_pairs(folder)


def test_labels_of_nuclei_beside_those_of_the_cells_are_not_used(tmp_path):
    write(tmp_path / "a_nuclear_label.tif", SAMPLE.labels)
    with pytest.raises(InputError, match="the image a_nuclear is not beside this label file"):
        find_pairs(tmp_path)
    found = labelled(tmp_path, "a_label.tif")
    assert [item.labels.name for item in found.items] == ["a_label.tif"]
    assert found.without_labels == []


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        *(("a.tif", f"a{ending}{suffix}") for ending in ENDINGS for suffix in (".tif", ".tiff", ".png")),
        ("a.tif", "a_seg.npy"),
        ("a.PNG", "a_label.tiff"),
        ("a.jpg", "a_cp_masks.png"),
        ("day1/a.tif", "day1/a_label.tif"),
        ("plate/day1/a.tif", "plate/day1/a_masks.tif"),
        ("images/a.tif", "labels/a.tif"),
        ("images/a.png", "labels/a_label.tiff"),
        ("images/a.tif", "masks/a_seg.npy"),
        ("images/a_mask.tif", "masks/a_mask.tif"),
    ],
)
def test_a_pair_is_found_and_its_labels_are_those_that_were_written(tmp_path, image, labels):
    found = labelled(tmp_path, labels, image)
    assert [item.image for item in found.items] == [tmp_path / image]
    assert found.without_labels == []
    assert SAMPLE.labels.max() > 5
    assert same_partition(read_item(found.items[0])[1], SAMPLE.labels)


def test_one_mask_for_each_object(tmp_path):
    write(tmp_path / "one" / "images" / "one.png", SAMPLE.image)
    for cell in range(1, SAMPLE.labels.max() + 1):
        write(tmp_path / "one" / "masks" / f"{cell:03d}.png", np.uint8(255 * (SAMPLE.labels == cell)))
    (item,) = find_pairs(tmp_path).items
    assert same_partition(read_item(item)[1], SAMPLE.labels)


def test_coco_files(tmp_path):
    write(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    square = [[2, 3, 12, 3, 12, 9, 2, 9]]
    file = {"images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}]}
    file["annotations"] = [{"image_id": 1, "segmentation": square}]
    (tmp_path / "a.json").write_text(json.dumps(file))
    (item,) = find_pairs(tmp_path).items
    expected = np.zeros((20, 30), int)
    expected[3:9, 2:12] = 1
    np.testing.assert_array_equal(read_labels(item.labels), expected)


def test_a_json_file_of_another_kind_beside_pairs_is_no_obstacle(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    assert len(labelled(tmp_path, "a_label.tif").items) == 1


def test_images_without_labels_are_named(tmp_path):
    write(tmp_path / "b.tif", SAMPLE.image)
    found = labelled(tmp_path, "a_label.tif")
    assert [item.image.name for item in found.items] == ["a.tif"]
    assert found.without_labels == [tmp_path / "b.tif"]


def test_the_source_of_an_image_is_its_folder(tmp_path):
    labelled(tmp_path, "day1/a_label.tif", "day1/a.tif")
    found = labelled(tmp_path, "day2/a_label.tif", "day2/a.tif")
    assert [item.name for item in found.items] == ["day1/a", "day2/a"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "no image has a label file; put NAME_label.tif"),
        (("a.tif",), "no image has a label file"),
        (("a.tif", "a_label.tif", "a_seg.npy"), "a.tif: it has two label files, a_label.tif and a_seg.npy; keep"),
        (("a.tif", "a_label.tif", "b_label.tif"), "b_label.tif: the image b is not beside this label file"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, files, message):
    for name in files:
        write(tmp_path / name, SAMPLE.labels)
    with pytest.raises(InputError, match=message):
        find_pairs(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        find_pairs(tmp_path / "absent")


def test_labels_of_another_size_are_refused(tmp_path):
    write(tmp_path / "a.tif", SAMPLE.image)
    write(tmp_path / "a_label.tif", SAMPLE.labels[:-1])
    (item,) = find_pairs(tmp_path).items
    with pytest.raises(ImageError, match="a.tif: it has 90 x 120 pixels and its labels have 89 x 120"):
        read_item(item)


class Harmful:
    def __reduce__(self):
        return print, ("this must not run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"masks": Harmful()}, "refers to builtins.print"),
        ({"outlines": np.eye(3)}, "KeyError: 'masks'"),
        ({"masks": np.zeros((2, 9, 9), np.uint16)}, r"its masks have shape \(2, 9, 9\)"),
        ({"masks": np.eye(3)}, "its masks have shape"),
    ],
)
def test_cellpose_files_that_are_refused(tmp_path, content, message, capsys):
    np.save(tmp_path / "a_seg.npy", content)
    with pytest.raises(ImageError, match=message):
        read_labels(tmp_path / "a_seg.npy")
    assert "must not run" not in capsys.readouterr().out


def test_damaged_cellpose_files_are_refused(tmp_path):
    path = tmp_path / "a_seg.npy"
    np.save(path, {"masks": np.eye(5, dtype=np.uint16)})
    whole = path.read_bytes()
    np.save(tmp_path / "plain_seg.npy", np.eye(5))
    damaged = [b"", whole[:20], whole[:-9], pickle.dumps({"masks": 3}), (tmp_path / "plain_seg.npy").read_bytes()]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ImageError, match="this is not a file that cellpose saved"):
            read_labels(path)
