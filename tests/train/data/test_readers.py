"""The layouts of labelled images, on files of each that are written here."""

import json

import cv2
import numpy as np
import pytest
import tifffile

from flowmask.errors import ImageError, InputError
from tests.reference.partition import same_partition
from train.data.coco import draw, run_lengths
from train.data.prepared import prepare_items, write_sample
from train.data.readers import read_challenge, read_coco, read_folder, read_item, read_labels, read_masks, read_shared
from train.simulate import simulate

SAMPLE = simulate("phase", (90, 120), 6, 22)


@pytest.fixture
def no_field():
    """The target of a family that has none; its module imports PyTorch."""
    pytest.importorskip("torch")
    from train.families import base

    return base.no_field


def test_the_shared_layout(tmp_path):
    labels = np.zeros((9, 9), np.int32)
    labels[2:6, 2:6] = 40_000
    write_sample(tmp_path / "lab", "one", np.zeros((9, 9, 3), np.uint8), labels)
    (item,) = read_shared(tmp_path)
    assert item.name == "lab/one"
    assert item.image.is_file()
    np.testing.assert_array_equal(read_labels(item.labels), labels > 0)
    with pytest.raises(InputError, match="no such folder"):
        read_shared(tmp_path / "absent")
    with pytest.raises(InputError, match="it holds no SOURCE/NAME.png"):
        read_shared(tmp_path / "lab")


def test_the_challenges_layout(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "cell_00001.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match="cell_00001_label.tiff: the labels"):
        read_challenge(tmp_path)
    labels = np.eye(9, dtype=np.int16) * 3
    tifffile.imwrite(tmp_path / "labels" / "cell_00001_label.tiff", labels, compression="zlib")
    (item,) = read_challenge(tmp_path)
    np.testing.assert_array_equal(read_labels(item.labels), np.eye(9))
    with pytest.raises(InputError, match="images: there is no such folder"):
        read_challenge(tmp_path / "labels")


def runs(mask):
    """COCO's run lengths of a mask: down the columns, background first."""
    flat = np.concatenate([[0], mask.T.ravel(), [1 - mask.T.ravel()[-1]]])
    ends = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], ends])).tolist()


def compressed(counts):
    """COCO's text of run lengths: groups of five bits with two's complement, then ASCII from 48 on."""
    text = ""
    for index, count in enumerate(counts):
        value = count - (counts[index - 2] if index > 2 else 0)
        groups = next(n for n in range(1, 9) if -(1 << (5 * n - 1)) <= value < 1 << (5 * n - 1))
        bits = value % (1 << (5 * groups))
        digits = [bits >> (5 * group) & 31 for group in range(groups)]
        text += "".join(chr(48 + digit + 32 * (group < groups - 1)) for group, digit in enumerate(digits))
    return text


def squares(mask):
    """A polygon for each pixel: together they are the mask."""
    return [[x, y, x + 1, y, x + 1, y + 1, x, y + 1] for y, x in np.argwhere(mask).tolist()]


def outlines(mask):
    """The polygons of OpenCV's contours, which run through pixel centres."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [(contour[:, 0] + 0.5).ravel().tolist() for contour in contours]


def described(mask, form):
    shape = list(mask.shape)
    if form == "lengths":
        return {"size": shape, "counts": runs(mask)}
    if form == "text":
        return {"size": shape, "counts": compressed(runs(mask))}
    return squares(mask) if form == "squares" else outlines(mask)


def write_coco(path, images, form="text", mapping=False):
    """Write an annotation file of {file name: labels}; LIVECell's are mappings, COCO's are lists."""
    entries, annotations = [], []
    for name, labels in images.items():
        entries.append({"id": len(entries) + 7, "file_name": name, "height": labels.shape[0], "width": labels.shape[1]})
        for cell in range(1, labels.max() + 1):
            segmentation = described(labels == cell, form)
            annotation = {"id": len(annotations), "image_id": entries[-1]["id"], "category_id": 1, "iscrowd": 0}
            annotations.append(annotation | {"segmentation": segmentation})
    crowd = {"id": 999, "image_id": 7, "iscrowd": 1, "segmentation": {"size": [1, 1], "counts": [1]}}
    annotations.append(crowd)
    content = {"images": entries, "categories": [{"id": 1, "name": "cell"}]}
    content["annotations"] = {str(a["id"]): a for a in annotations} if mapping else annotations
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_image(path, image=SAMPLE.image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_masks(folder, labels, image=SAMPLE.image):
    write_image(folder / "images" / f"{folder.name}.png", image)
    for cell in range(1, labels.max() + 1):
        write_image(folder / "masks" / f"{cell:03d}.png", np.uint8(255 * (labels == cell)))


@pytest.mark.parametrize("mapping", [False, True])
@pytest.mark.parametrize("form", ["lengths", "text", "squares", "outlines"])
def test_cocos_objects_are_those_that_were_written(tmp_path, no_field, form, mapping):
    write_image(tmp_path / "images" / "train_val" / "A172" / "A172_Phase_A7_1.tif")
    write_coco(tmp_path / "train.json", {"A172_Phase_A7_1.tif": SAMPLE.labels}, form, mapping)
    (item,) = read_folder(tmp_path)
    assert item.name == "A172/A172_Phase_A7_1"
    assert item.image.is_file()
    assert SAMPLE.labels.max() > 5
    assert same_partition(read_labels(item.labels), SAMPLE.labels)
    (prepared,) = prepare_items([item], "rgb", no_field)
    assert prepared.labels.max() == SAMPLE.labels.max()


def test_livecells_own_folders_hold_a_source_for_each_cell_type(tmp_path):
    names = ["A172_Phase_A7_1_00d00h00m_1.tif", "SkBr3_Phase_H4_2_03d00h00m_4.tif"]
    for name in names:
        write_image(tmp_path / "images" / "livecell_train_val_images" / name)
    write_coco(tmp_path / "livecell_coco_train.json", dict.fromkeys(names, SAMPLE.labels), "lengths", True)
    assert [item.source for item in read_folder(tmp_path)] == ["A172", "SkBr3"]


def test_run_lengths_by_hand():
    """6 is 0b110; 40 needs two characters, 8 with the bit for more and 1; 5 comes as 5 - 1 and 16 as 16 - 40 = -24."""
    assert run_lengths("61X1" + "4" + "XO") == [6, 1, 40, 5, 16]
    counts = [0, 3, 1_000_000, 17, 2, 15, 16, 31, 32, 1023, 1024, 0, 70_000]
    assert run_lengths(compressed(counts)) == counts


def test_a_pixel_belongs_to_the_polygon_that_holds_its_centre():
    rng = np.random.default_rng(3)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 17))
    x, y = 15 + rng.uniform(3, 14, 17) * np.cos(angle), 12 + rng.uniform(3, 14, 17) * np.sin(angle)
    at_x, at_y = np.arange(30) + 0.5, np.arange(25)[:, None] + 0.5
    inside = np.zeros((25, 30), bool)
    for x0, y0, x1, y1 in zip(x, y, np.roll(x, 1), np.roll(y, 1), strict=True):
        inside ^= ((y0 > at_y) != (y1 > at_y)) & (at_x < x0 + (x1 - x0) * (at_y - y0) / (y1 - y0))
    assert 100 < inside.sum() < 700
    np.testing.assert_array_equal(draw([np.stack([x, y], 1).ravel().tolist()], (25, 30)), np.flatnonzero(inside))


def test_of_overlapping_objects_the_smaller_is_on_top(tmp_path):
    large, small, tiny = (np.zeros((20, 30), bool) for _ in range(3))
    large[2:18, 2:20], small[5:9, 12:25], tiny[6:8, 14:16] = True, True, True
    file = {"images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}]}
    masks = [small, large, tiny]
    file["annotations"] = [{"image_id": 1, "segmentation": described(mask, "text")} for mask in masks]
    (tmp_path / "a.json").write_text(json.dumps(file))
    write_image(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    for number, mask in enumerate(masks):
        write_image(tmp_path / "as_masks" / "b" / "masks" / f"{number}.png", np.uint8(mask))
    write_image(tmp_path / "as_masks" / "b" / "images" / "b.png", np.zeros((20, 30), np.uint8))
    expected = np.where(tiny, 3, np.where(small, 1, 2 * large))
    for folder in (tmp_path, tmp_path / "as_masks"):
        (item,) = read_folder(folder)
        np.testing.assert_array_equal(read_labels(item.labels), expected)


def test_sources_of_coco_images(tmp_path):
    names = ["a.png", "images/b.png", "images/SkBr3/c.png"]
    for name in names:
        write_image(tmp_path / name)
    empty = np.zeros((90, 120), int)
    write_coco(tmp_path / "val.json", {"a.png": empty, "b.png": empty})
    write_coco(tmp_path / "train.json", {"images/SkBr3/c.png": SAMPLE.labels})
    items = read_coco(tmp_path)
    assert [item.name for item in items] == ["SkBr3/c", f"{tmp_path.name}/a", f"{tmp_path.name}/b"]
    assert not read_labels(items[1].labels).any()
    write_coco(tmp_path / "again.json", {"b.png": SAMPLE.labels})
    with pytest.raises(InputError, match="val.json: b.png is in another JSON file"):
        read_coco(tmp_path)


def test_images_that_coco_names_must_be_there_once(tmp_path):
    write_coco(tmp_path / "a.json", {"a.tif": SAMPLE.labels})
    with pytest.raises(InputError, match=r"a.json: a.tif is found 0 times below"):
        read_coco(tmp_path)
    write_image(tmp_path / "one" / "a.tif")
    write_image(tmp_path / "two" / "a.tif")
    with pytest.raises(InputError, match=r"a.json: a.tif is found 2 times below"):
        read_coco(tmp_path)


@pytest.mark.parametrize("text", ["no JSON", "[1, 2]", '{"images": []}', '{"images": [{"id": 1}], "annotations": []}'])
def test_json_that_is_not_cocos_is_named(tmp_path, text):
    (tmp_path / "notes.json").write_text(text)
    with pytest.raises(InputError, match="notes.json: it is not a COCO file"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "segmentation", [[], [[1, 2, 3]], {"size": [90, 120], "counts": [5, 5]}, {"size": [9, 12], "counts": "PP"}, None, 5]
)
def test_objects_that_cannot_be_drawn_are_named(tmp_path, segmentation):
    file = {"images": [{"id": 1, "file_name": "a.png", "height": 90, "width": 120}]}
    file["annotations"] = [{"image_id": 1, "segmentation": segmentation}]
    (tmp_path / "a.json").write_text(json.dumps(file))
    write_image(tmp_path / "a.png")
    (item,) = read_coco(tmp_path)
    with pytest.raises(ImageError, match="a.json: object 1 of an image has neither polygons nor run lengths"):
        read_labels(item.labels)


def test_one_mask_for_each_object(tmp_path, no_field):
    root = tmp_path / "stage1_train"
    alpha = np.dstack([SAMPLE.image] * 3 + [np.full_like(SAMPLE.image, 255)])
    write_masks(root / "00ae65c1", SAMPLE.labels, alpha)
    write_image(root / "01d44a26" / "images" / "01d44a26.png")
    write_image(root / "01d44a26" / "masks" / "none.png", np.zeros((90, 120), np.uint8))
    items = read_folder(root)
    assert [item.name for item in items] == ["stage1_train/00ae65c1", "stage1_train/01d44a26"]
    assert same_partition(read_labels(items[0].labels), SAMPLE.labels)
    assert not read_labels(items[1].labels).any()
    assert [p.labels.max() for p in prepare_items(items, "rgb", no_field)] == [SAMPLE.labels.max(), 0]


def test_masks_that_are_missing_or_differ_are_named(tmp_path):
    write_masks(tmp_path / "a", SAMPLE.labels)
    write_image(tmp_path / "a" / "masks" / "other.png", np.zeros((9, 9), np.uint8))
    (item,) = read_masks(tmp_path)
    with pytest.raises(ImageError, match="masks: its masks differ in size"):
        read_labels(item.labels)
    write_image(tmp_path / "b" / "images" / "b.png")
    with pytest.raises(InputError, match=r"b: its folder masks/ has no PNG"):
        read_masks(tmp_path)
    write_image(tmp_path / "b" / "images" / "c.png")
    with pytest.raises(InputError, match=r"b: its folder images/ has 2 images instead of one"):
        read_masks(tmp_path)


def test_labels_of_another_size_than_the_image_are_named(tmp_path):
    write_sample(tmp_path / "lab", "one", np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.int32))
    write_image(tmp_path / "lab" / "one.png", np.zeros((8, 9), np.uint8))
    (item,) = read_shared(tmp_path)
    with pytest.raises(ImageError, match="one.png: it has 8 x 9 pixels and its labels have 9 x 9"):
        read_item(item)


def test_each_layout_is_recognised(tmp_path):
    labels = SAMPLE.labels
    write_sample(tmp_path / "shared" / "lab", "one", SAMPLE.image, labels)
    write_image(tmp_path / "challenge" / "images" / "one.png")
    (tmp_path / "challenge" / "labels").mkdir()
    tifffile.imwrite(tmp_path / "challenge" / "labels" / "one_label.tiff", labels.astype(np.int16))
    write_masks(tmp_path / "masks" / "one", labels)
    write_image(tmp_path / "coco" / "images" / "one.png")
    write_coco(tmp_path / "coco" / "train.json", {"one.png": labels}, "squares")
    for layout in ("shared", "challenge", "masks", "coco"):
        (item,) = read_folder(tmp_path / layout)
        assert item.image.stem == "one"
        assert same_partition(read_labels(item.labels), labels), layout
    (tmp_path / "nothing" / "images").mkdir(parents=True)
    with pytest.raises(InputError, match="images: it holds no image"):
        read_folder(tmp_path / "nothing")
    with pytest.raises(InputError, match="no such folder"):
        read_folder(tmp_path / "absent")


def test_two_images_of_one_name_are_refused(tmp_path):
    write_coco(tmp_path / "a.json", {"a.png": SAMPLE.labels})
    content = json.loads((tmp_path / "a.json").read_text())
    content["images"].append(content["images"][0] | {"id": 8})
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="a.json: two of its images have the same file_name"):
        read_coco(tmp_path)


@pytest.mark.parametrize("name", ["._0001.png", ".ipynb_checkpoints/0001.png", "__MACOSX/0001.png"])
def test_what_systems_and_editors_leave_beside_data_is_not_read(tmp_path, name):
    bowl, challenge, coco = tmp_path / "bowl", tmp_path / "challenge", tmp_path / "coco"
    write_masks(bowl / "one", SAMPLE.labels)
    write_image(challenge / "images" / "one.png")
    (challenge / "labels").mkdir()
    tifffile.imwrite(challenge / "labels" / "one_label.tiff", SAMPLE.labels)
    write_image(coco / "one.png")
    write_coco(coco / "one.json", {"one.png": SAMPLE.labels})
    before = [read_folder(folder) for folder in (bowl, challenge, coco)]
    folders = (bowl, bowl / "one" / "images", bowl / "one" / "masks", challenge / "images", coco)
    for path in [folder / name for folder in folders] + [coco / "._one.json"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image")
    assert [read_folder(folder) for folder in (bowl, challenge, coco)] == before
    assert same_partition(read_labels(before[0][0].labels), SAMPLE.labels)


def test_masks_of_equal_channels_are_masks_and_of_others_not(tmp_path):
    write_masks(tmp_path / "one", SAMPLE.labels)
    masks = sorted((tmp_path / "one" / "masks").glob("*.png"))
    for path in masks:
        cv2.imwrite(str(path), cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), cv2.COLOR_GRAY2BGRA))
    (item,) = read_folder(tmp_path)
    assert same_partition(read_labels(item.labels), SAMPLE.labels)
    coloured = cv2.imread(str(masks[0]))
    coloured[0, 0] = 1, 2, 3
    cv2.imwrite(str(masks[0]), coloured)
    with pytest.raises(ImageError, match=f"{masks[0].name}: a label image has one channel, or equal ones"):
        read_labels(item.labels)


def test_ids_below_0_are_refused(tmp_path):
    labels = np.zeros((9, 9), np.int16)
    labels[3:5, 3:5] = -32768
    tifffile.imwrite(tmp_path / "labels.tiff", labels)
    with pytest.raises(ImageError, match="labels.tiff: its smallest id is -32768"):
        read_labels(tmp_path / "labels.tiff")
