"""What bench.ablation compares: uses of a network, and trainings, which go on from where a run was stopped."""

import dataclasses
from argparse import Namespace
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from flowmask.images.image import ArrayImage  # noqa: E402
from flowmask.labels.labels import median_diameter  # noqa: E402
from flowmask.options import Settings  # noqa: E402

from bench import ablation, record  # noqa: E402
from bench.ablation import ESTIMATED, NONE, TRUE, USES, Use, held_images, score  # noqa: E402
from bench.trainings import TRAININGS, Training, merged, pixels_of  # noqa: E402
from train.config import load_config  # noqa: E402
from train.data import prepare, write_sample  # noqa: E402
from train.data.readers import read_item, read_shared  # noqa: E402

ABOUT = {"config": "quick", "images": 0, "steps": 2}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The seeds of the trainings that take place; each scores its seed."""
    seeds = []

    def train(config, images, device):
        assert device == "cpu"
        assert config.steps == 2
        seeds.append(config.seed)
        return config.seed

    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(ablation, "TRAININGS", {name: Training(train=train) for name in "ab"})
    monkeypatch.setattr(ablation, "score", lambda held, network, use: {"source": float(network)})
    monkeypatch.setattr(ablation, "read_shared", lambda folder: [])
    return seeds


def train(seeds):
    results = defaultdict(list, record.earlier(ablation.TRAINED, ABOUT))
    given = Namespace(data=None, pool=None, only=None, steps=2, seeds=seeds, device="cpu")
    ablation.train_all(
        given,
        load_config("quick"),
        [],
        results,
        lambda scores: record.write_record(ablation.TRAINED, {**ABOUT, "scores": scores}),
    )
    return results


def test_what_an_earlier_run_has_trained_is_not_trained_again(trained):
    assert train(1) == {"a": [{"source": 0.0}], "b": [{"source": 0.0}]}
    assert train(3) == {name: [{"source": float(seed)} for seed in range(3)] for name in "ab"}
    assert trained == [0, 0, 1, 1, 2, 2]


def test_a_record_about_something_else_is_kept(trained):
    train(1)
    with pytest.raises(SystemExit, match="move it away"):
        record.earlier(ablation.TRAINED, {**ABOUT, "steps": 3})


NETWORK = SimpleNamespace(contract=SimpleNamespace(mean_diameter=30.0))


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

    def segment_image(image, network, settings):
        given.append((image, network, settings))
        return SimpleNamespace(labels=labelled(2)[1])

    monkeypatch.setattr(ablation, "segment_image", segment_image)
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
    held = [("a", *labelled(2)), ("b", *labelled(2)), ("a", *labelled(3)), ("a", *labelled(1))]
    found = score(held, NETWORK, Use())
    assert list(found) == ["a", "b"]
    assert found == pytest.approx({"a": (1 + 4 / 5 + 2 / 3) / 3, "b": 1})
    assert [image for image, _, _ in seen] == [image for _, image, _ in held]
    assert all(network is NETWORK for _, network, _ in seen)


@pytest.mark.parametrize(("kind", "diameter"), [(ESTIMATED, None), (NONE, 30), (TRUE, 16 / np.sqrt(np.pi))])
def test_the_engine_gets_the_diameter_that_a_use_names_and_its_other_settings(seen, kind, diameter):
    score([("a", *labelled(2))], NETWORK, Use(Settings(flow_threshold=0.0, augment=True), diameter=kind))
    ((_, _, settings),) = seen
    assert settings.diameter == (None if diameter is None else pytest.approx(diameter))
    assert dataclasses.replace(settings, diameter=None) == Settings(flow_threshold=0.0, augment=True)


def test_the_true_diameter_is_that_of_each_image(seen):
    image, truth = labelled(1)
    held = [("a", image, truth), ("a", image, np.kron(truth[:20, :25], np.ones((2, 2), np.int32)))]
    score(held, NETWORK, Use(diameter=TRUE))
    diameters = [settings.diameter for _, _, settings in seen]
    assert diameters == [median_diameter(truth), pytest.approx(2 * diameters[0])]


def test_a_use_changes_the_image_before_it_is_segmented(seen):
    image, truth = labelled(2)
    score([("a", image, truth)], NETWORK, Use(image=merged))
    ((given, _, _),) = seen
    np.testing.assert_array_equal(pixels_of(given), pixels_of(merged(image)))


def test_every_use_but_the_first_changes_one_thing():
    first, *others = USES.values()
    assert first == Use()
    for use in others:
        fields = [field.name for field in dataclasses.fields(Use)]
        assert [getattr(use, name) != getattr(first, name) for name in fields].count(True) == 1


@pytest.mark.parametrize(
    ("most", "names"), [(0, "a2 a4 a5 a6 b1 b2"), (2, "a2 a4 b1 b2"), (1, "a2 b1"), (9, "a2 a4 a5 a6 b1 b2")]
)
def test_held_images_are_those_with_cells_at_most_so_many_of_each_source(data, most, names):
    config = dataclasses.replace(load_config("quick"), held_out=("a/*", "b/*"))
    held = held_images(data, config, most)
    assert " ".join(f"{source}{pixels_of(image)[0, 0, 0]}" for source, image, _ in held) == names
    assert all(truth.any() and truth.shape == image.shape[1:] for _, image, truth in held)


def test_a_row_says_its_mean_its_spread_over_seeds_and_its_distance_from_the_first(capsys):
    first = [{"a": 0.5, "b": 0.7}, {"a": 0.6, "b": 0.8}, {"a": 0.0, "b": 0.2}]
    ablation.report({"first": first, "better": [{"a": 0.7, "b": 0.7}, {"a": 0.7, "b": 0.9}], "one": [{"a": 0, "b": 1}]})
    head, *_ = (out := capsys.readouterr().out).splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["choice", "F1", "over seeds", "change", "a", "b"]
    assert rows(out) == [
        ["first", "0.467", "0.100 to 0.700", "+0.000", "0.367", "0.567"],
        ["better", "0.750", "0.700 to 0.800", "+0.100", "0.700", "0.800"],
        ["one", "0.500", "", "-0.100", "0.000", "1.000"],
    ]


def test_every_row_is_trained_on_its_own_images_and_scored_on_images_changed_alike(data, monkeypatch):
    trained, scored = [], []
    names = ["as the config says", "green and blue", "red merged into them (eq. 5)", "no simulator"]
    training = {
        name: dataclasses.replace(TRAININGS[name], train=lambda *given: trained.append(given)) for name in names
    }
    monkeypatch.setattr(ablation, "TRAININGS", training)
    monkeypatch.setattr(ablation, "score", lambda held, network, use: scored.append(use) or {"c": 0.5})
    config = dataclasses.replace(load_config("quick"), held_out=("a/*",))
    given = Namespace(data=data, pool=data, only=None, steps=2, seeds=2, device="cuda")
    ablation.train_all(given, config, [], {name: [] for name in names}, lambda results: None)
    real, simulated = ["b", "b", "c"], ["simulated a"] * 6 + ["simulated b"] * 2 + ["simulated c"]
    ends = [read_item(item) for item in read_shared(data)[6::2]]
    for number, ((changed, images, device), use) in enumerate(zip(trained, scored, strict=True)):
        row = TRAININGS[names[number % 4]]
        assert changed == dataclasses.replace(row.change(config), steps=2, seed=number // 4)
        assert (use, device) == (Use(diameter=TRUE, image=row.image), "cuda")
        assert [image.source for image in images] == (real + simulated if row.simulated else real)
        for one, (image, truth) in zip((images[0], images[-1]), ends, strict=True):
            np.testing.assert_array_equal(one.image, prepare(row.image(image), truth, "", changed.policy).image)
    assert len(trained) == 8


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
