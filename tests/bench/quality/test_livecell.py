"""The tables of the studies of LIVECell: their figures, and COCO files as LIVECell has them."""

import json

import cv2
import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip("torch")

from bench.quality import livecell  # noqa: E402
from bench.quality.livecell import ALL, about, chosen, figures, measure, score, text  # noqa: E402
from flowmask.images.image import as_image  # noqa: E402
from tests.reference.plans import SEMANTIC  # noqa: E402


class Bright:
    """A network of the semantic family whose cells are what is brighter than half."""

    contract = SEMANTIC
    gpu_memory = None
    count = 1

    def maps(self, tiles):
        return 10 * tiles[:, :1] - 5


def squares(*corners, side=8, shape=(60, 80)):
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + side, x : x + side] = number
    return labels


TRUTH = squares((10, 10), (10, 40), (40, 10))
SEEN = np.uint8(250) * (squares((10, 10), (10, 41), (40, 50)) > 0)


def test_the_scores_of_an_image_follow_from_its_pixels():
    found = score(as_image(SEEN), TRUTH, Bright())
    assert found.counts == (2, 3, 3)
    both, either = 64 + 56, 64 + 72 + 2 * 64
    assert found.pixel_iou == pytest.approx(both / either)
    assert found.dice == pytest.approx(2 * both / (2 * 3 * 64))
    one = figures([found])
    assert one["f1"] == pytest.approx(2 / 3)
    ious = np.linspace(0.5, 0.95, 10)
    recalls = [(1 + (iou <= 56 / 72)) / 3 for iou in ious]
    assert one["afnr"] == pytest.approx(1 - np.mean(recalls))
    assert 0.3 < one["ap"] < 0.67
    assert one["ap_by_size"] == {"small": one["ap"], "medium": None, "large": None}  # all cells have 64 px


def test_ap_by_size_counts_the_cells_of_that_size():
    truth = squares((5, 5), (30, 5)) + 3 * squares((5, 40), side=32)
    one = figures([score(as_image(np.uint8(250) * (truth > 0)), truth, Bright())])
    assert one["ap_by_size"] == {"small": pytest.approx(1), "medium": None, "large": pytest.approx(1)}
    assert one["ap"] == pytest.approx(1)


def test_cells_of_a_split_are_counted_together_and_pixels_by_image():
    first, second = score(as_image(SEEN), TRUTH, Bright()), score(as_image(SEEN), (SEEN > 0).astype(np.int32), Bright())
    split = figures([first, second])
    assert (split["images"], split["cells"]) == (2, 4)
    assert split["pixel_iou"] == pytest.approx((first.pixel_iou + 1) / 2)
    hits, true, predicted = np.add(first.counts, second.counts)
    assert split["f1"] == pytest.approx(2 * hits / (true + predicted))
    empty = figures([score(as_image(SEEN), 0 * TRUTH, Bright())])
    assert (empty["ap"], empty["afnr"], empty["f1"]) == (None, None, 0)


@pytest.fixture
def data(tmp_path):
    """COCO data as downloaded from LIVECell: one JSON, images of two cell types in the folder of the test images."""
    folder = tmp_path / "images" / "livecell_test_images"
    folder.mkdir(parents=True)
    images, annotations = [], {}
    for number, name in enumerate(("A172_Phase_A7_1_00d00h00m_1.tif", "BV2_Phase_A4_2_00d12h00m_3.tif")):
        cv2.imwrite(str(folder / name), SEEN)
        images.append({"id": number, "file_name": name, "height": 60, "width": 80})
        for cell in range(1, 4):
            y, x = (int(part.min()) for part in np.nonzero(cell == TRUTH))
            corners = [x, y, x + 8, y, x + 8, y + 8, x, y + 8]
            annotation = {"id": len(annotations), "image_id": number, "category_id": 1, "segmentation": [corners]}
            annotations[str(len(annotations))] = annotation | {"iscrowd": 0, "area": 64, "bbox": [x, y, 8, 8]}
    record = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
    (tmp_path / "livecell_coco_test.json").write_text(json.dumps(record))
    return tmp_path


def test_livecells_files_are_split_by_cell_type(data):
    items = chosen(data, ["*"], 0)
    assert about(items) == "Images of LIVECell: A172, BV2."
    splits = measure(items, Bright())
    assert list(splits) == [ALL, "A172", "BV2"]
    assert (splits[ALL]["images"], splits[ALL]["cells"], splits["BV2"]["cells"]) == (2, 6, 3)
    assert splits[ALL]["f1"] == pytest.approx(2 / 3)
    assert [item.source for item in chosen(data, ["BV2/*"], 0)] == ["BV2"]
    page = text({"about": about(items), "networks": {"bright": splits, "other": splits}})
    lines = page.splitlines()
    (header,) = (line for line in lines if line.startswith("| split") and "AFNR" in line)
    names = [cell.strip() for cell in header.strip("|").split("|")]
    assert names[1:] == [f"{name}, {key}" for name in ("bright", "other") for key in ("F1", "AP", "AFNR")]
    assert sum(line.startswith("| A172") for line in lines) == 4
    assert "bright, small cells | bright, medium cells | bright, large cells" in page


def test_the_command_writes_the_record(data, monkeypatch, capsys):
    written = {}
    monkeypatch.setattr(livecell, "load_network", lambda path: Bright())
    monkeypatch.setattr(livecell, "find_network", lambda name: data / name)
    monkeypatch.setattr(livecell, "named", lambda path: path.name)
    monkeypatch.setattr(livecell, "write_record", lambda name, record: written.update({name: record}))
    livecell.main(["--data", str(data), "--model", "one.onnx", "two.onnx", "--each", "1", "--images", "A172/*"])
    assert list(written["livecell"]["networks"]) == ["one", "two"]
    assert "table 1: networks" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        livecell.main(["--data", str(data), "--model", "one.onnx", "--images", "T98G/*"])
    assert ndimage.label(SEEN)[1] == 3
