"""What bench.quality.variations compares: ways to use a network."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from bench import record  # noqa: E402
from bench.images import at_most, opened, read_shared  # noqa: E402
from bench.quality import variations  # noqa: E402
from bench.quality.variations import ESTIMATED, NONE, TRUE, USES, Use, score  # noqa: E402
from flowmask.images.image import ArrayImage  # noqa: E402
from flowmask.labels.labels import median_diameter  # noqa: E402
from flowmask.options import Segmentation  # noqa: E402
from train.config import Split  # noqa: E402
from train.data.prepared import write_sample  # noqa: E402

NETWORK = SimpleNamespace(contract=SimpleNamespace(mean_diameter=30.0))


def pixels_of(image):
    return image.read(0, 0, *image.shape[1:])


def labelled(cells):
    """An image (3, Y, X) of noise and labels of so many squares of 8 px."""
    truth = np.zeros((40, 50), np.int32)
    for cell in range(cells):
        top, left = 4 + 12 * (cell // 3), 4 + 12 * (cell % 3)
        truth[top : top + 8, left : left + 8] = cell + 1
    return ArrayImage(np.random.default_rng(cells).integers(0, 255, (3, *truth.shape), np.uint8)), truth


@pytest.fixture
def seen(monkeypatch):
    """What the engine is given; it finds the two cells that `labelled` draws first."""
    given = []

    def segment_image(image, network, options):
        given.append((image, network, options))
        return SimpleNamespace(labels=np.resize(labelled(2)[1], image.shape[1:]))

    monkeypatch.setattr(variations, "segment_image", segment_image)
    return given


@pytest.fixture
def data(tmp_path):
    """Images of sources a, b and c with so many cells each, the number of the image in its first pixel."""
    for source, cells in {"a": (0, 1, 0, 3, 1, 1), "b": (1, 1), "c": (1,)}.items():
        for number, count in enumerate(cells, 1):
            image, truth = labelled(count)
            pixels = pixels_of(image).transpose(1, 2, 0).copy()
            pixels[0, 0] = number
            write_sample(tmp_path / source, str(number), pixels, truth)
    return tmp_path


def rows(text):
    """The cells of a printed table without its head and rule."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]


def test_the_mean_over_the_images_of_each_source_is_scored(seen):
    images = [("a", "", *labelled(2)), ("b", "", *labelled(2)), ("a", "", *labelled(3)), ("a", "", *labelled(1))]
    found = score(images, NETWORK, Use())
    assert list(found) == ["a", "b"]
    assert found == pytest.approx({"a": (1 + 4 / 5 + 2 / 3) / 3, "b": 1})
    assert [image for image, _, _ in seen] == [image for _, _, image, _ in images]
    assert all(network is NETWORK for _, network, _ in seen)


@pytest.mark.parametrize(("kind", "diameter"), [(ESTIMATED, None), (NONE, 30), (TRUE, 16 / np.sqrt(np.pi))])
def test_the_engine_gets_the_diameter_that_a_use_names_and_its_other_options(seen, kind, diameter):
    score([("a", "", *labelled(2))], NETWORK, Use(Segmentation(flow_threshold=0.0, augment=True), diameter=kind))
    ((_, _, options),) = seen
    assert options.diameter == (None if diameter is None else pytest.approx(diameter))
    assert dataclasses.replace(options, diameter=None) == Segmentation(flow_threshold=0.0, augment=True)


def test_the_true_diameter_is_that_of_each_image(seen):
    image, truth = labelled(1)
    images = [("a", "", image, truth), ("a", "", image, np.kron(truth[:20, :25], np.ones((2, 2), np.int32)))]
    score(images, NETWORK, Use(diameter=TRUE))
    diameters = [options.diameter for _, _, options in seen]
    assert diameters == [median_diameter(truth), pytest.approx(2 * diameters[0])]


def test_every_use_except_the_first_changes_one_thing():
    first, *others = USES.values()
    assert first == Use()
    for use in others:
        fields = [field.name for field in dataclasses.fields(Use)]
        assert [getattr(use, name) != getattr(first, name) for name in fields].count(True) == 1


@pytest.mark.parametrize(
    ("most", "names"), [(0, "a2 a4 a5 a6 b1 b2"), (2, "a2 a4 b1 b2"), (1, "a2 b1"), (9, "a2 a4 a5 a6 b1 b2")]
)
def test_held_out_images_are_those_with_cells_at_most_so_many_of_each_source(data, most, names):
    split = Split(held_out=("a/*", "b/*"), left_out=())
    images = at_most(opened(split.divide(read_shared(data))[1]), most)
    assert " ".join(f"{source}{pixels_of(image)[0, 0, 0]}" for source, _, image, _ in images) == names
    assert all(truth.any() and truth.shape == image.shape[1:] for _, _, image, truth in images)


def test_a_row_states_its_mean_and_its_distance_from_the_first():
    scores = {"first": {"a": 0.5, "b": 0.7}, "better": {"a": 0.7, "b": 0.7}, "other": {"a": 0.0, "b": 1.0}}
    about, _, head, *others = variations.options_text({"images": 5, "scores": scores}).splitlines()
    assert about == "5 images"
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["choice", "F1", "change", "a", "b"]
    assert rows("\n".join([head, *others])) == [
        ["first", "0.600", "+0.000", "0.500", "0.700"],
        ["better", "0.700", "+0.100", "0.700", "0.700"],
        ["other", "0.500", "-0.100", "0.000", "1.000"],
    ]


def test_a_pools_digest_changes_with_names_and_contents(tmp_path):
    (tmp_path / "dic").mkdir()
    image = tmp_path / "dic" / "0.png"
    image.write_bytes(b"one")
    first = record.folder_digest(tmp_path)
    image.write_bytes(b"two")
    second = record.folder_digest(tmp_path)
    image.rename(tmp_path / "dic" / "1.png")
    assert len({first, second, record.folder_digest(tmp_path)}) == 3
    image.write_bytes(b"two")
    (tmp_path / "dic" / "1.png").unlink()
    assert record.folder_digest(tmp_path) == second


def test_a_change_reaches_the_image_and_its_true_labels(seen):
    image, truth = labelled(2)
    found = score([("a", "", image, truth)], NETWORK, Use(diameter=TRUE), "0.5 % hot pixels")
    assert found == {"a": 1}
    ((given, _, options),) = seen
    assert given.shape == image.shape
    assert not np.array_equal(pixels_of(given), pixels_of(image))
    assert options.diameter == median_diameter(truth)


def test_a_cell_is_left_alone_on_fluorescence_images_only(seen):
    images = [("lab_fluo_nuclei", "", *labelled(1)), ("lab_phase", "", *labelled(1))]
    assert list(score(images, NETWORK, Use(), "one cell on a wide ground")) == ["lab_fluo_nuclei"]
    assert seen[0][0].shape == (3, 80, 100)


def test_the_page_has_a_section_for_each_part_of_the_record():
    options = {"images": 5, "scores": {"default": {"a": 0.5}}}
    images = {"images": 6, "scores": {"as they are": {"a": 0.5}, "gamma 2": {}}}
    page = variations.text({"model": "a network", "options": options, "images": images})
    assert page.splitlines()[0] == "a network"
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "### The options of the engine",
        "### Changed images",
    ]
