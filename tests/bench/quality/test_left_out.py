"""The benchmark that leaves one source out: on which images a network is trained, and on which it is scored."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bench import record  # noqa: E402
from bench.quality import left_out  # noqa: E402
from bench.quality.variations import TRUE, Use  # noqa: E402
from flowmask.images.image import ArrayImage  # noqa: E402
from train.data.prepared import prepare, write_sample  # noqa: E402
from train.families.flow.family import FAMILY  # noqa: E402
from train.recipes.template import RECIPE  # noqa: E402

SOURCES = ["bbbc039_fluo_nuclei_u2os", "lab", "lab2"]
"""The first is one that the recipe holds out."""
NEVER = "dsb2018_brightfield_papsmear_nuclei"
"""A source that the recipe leaves out."""


def write(folder, source, number):
    """Write so many images of a source, each of one cell on noise in colour."""
    labels = np.zeros((20, 24), np.int32)
    labels[5:12, 6:15] = 1
    for name in range(number):
        pixels = np.random.default_rng(name).integers(0, 255, (20, 24, 3), np.uint8)
        write_sample(folder / source, str(name), pixels, labels)


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """The trainings that take place: stage, images, their sources, those scored and the use; scores: 0.1, 0.2 ..."""
    done = []

    def train(recipe, stage, images, device):
        assert device == "cpu"
        sources = [image.source for image in images]
        done.append(SimpleNamespace(recipe=recipe, stage=stage, images=images, trained=sources))
        return len(done)

    def score(images, network, use):
        done[-1].scored, done[-1].use = [source for source, *_ in images], use
        return {done[-1].scored[0]: network / 10}

    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(left_out, "score", score)
    monkeypatch.setattr(left_out, "train", train)
    for source in (*SOURCES, NEVER):
        write(tmp_path / "data", source, 3)
    write(tmp_path / "pool", "dic", 2)
    return done


@pytest.fixture
def run(tmp_path, monkeypatch, rows):
    """The command on that data; returns its record."""

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["left_out", "--data", str(tmp_path / "data"), *options])
        left_out.main()
        return json.loads((tmp_path / "results" / "left_out.json").read_text())

    return run


def test_every_source_is_left_out_once_and_scored_by_a_network_that_has_not_seen_it(run, rows, capsys):
    found = run("--steps", "7")
    assert [sorted(set(row.scored)) for row in rows] == [[source] for source in SOURCES]
    for row in rows:
        assert row.trained == [source for source in SOURCES for _ in range(3) if source not in row.scored]
        assert (row.recipe.name, row.stage.steps) == ("template", 7)
        assert row.use == Use(diameter=TRUE)
    assert found["scores"] == dict(zip(SOURCES, [0.1, 0.2, 0.3], strict=True))
    assert (found["recipe"], found["simulated"], found["pool"]) == ("template", 0, None)
    assert "steps=7" in found["settings"]
    printed = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert printed[-5:-2] == [[source, f"0.{number}00"] for number, source in enumerate(SOURCES, 1)]
    assert printed[-2] == ["mean of these", "0.200"]


def test_simulated_images_stay_whatever_is_left_out(run, rows, tmp_path):
    assert run("--pool", str(tmp_path / "pool"))["simulated"] == 2
    assert [row.trained[6:] for row in rows] == [["simulated dic"] * 2] * 3


@pytest.mark.parametrize(("options", "number"), [((), 3), (("--images", "2"), 2), (("--images", "0"), 3)])
def test_at_most_so_many_images_of_a_source_are_scored(run, rows, options, number):
    run(*options)
    assert [row.scored for row in rows] == [[source] * number for source in SOURCES]


def test_some_sources_may_be_left_out_alone(run, rows):
    assert run("--only", "lab2", "lab")["scores"] == {"lab2": 0.1, "lab": 0.2}
    assert [row.scored[0] for row in rows] == ["lab2", "lab"]


def test_sources_of_a_pattern_are_left_out_together(run, rows, monkeypatch):
    monkeypatch.setattr(left_out, "score", lambda images, network, use: {source: network / 10 for source, *_ in images})
    scores = run("--only", "lab*", "lab")["scores"]
    assert scores == {"lab, with lab*": 0.1, "lab2, with lab*": 0.1, "lab": 0.2}
    assert [set(row.trained) for row in rows] == [{SOURCES[0]}, {SOURCES[0], "lab2"}]
    run("--only", "lab*", "lab")
    assert len(rows) == 2


@pytest.mark.parametrize("unknown", ["elsewhere", NEVER])
def test_a_source_that_is_not_there_is_refused(run, rows, capsys, unknown):
    with pytest.raises(SystemExit) as refused:
        run("--only", "lab", unknown)
    assert refused.value.code == 2
    assert not rows
    printed = capsys.readouterr().err
    assert f"has no source {unknown}; choose from {', '.join(SOURCES)}" in printed


def test_the_scores_so_far_are_recorded_when_a_run_is_stopped(run, rows, tmp_path, monkeypatch):
    def stopped(images, network, use):
        if network == 3:
            raise KeyboardInterrupt
        return {images[0][0]: 0.5}

    monkeypatch.setattr(left_out, "score", stopped)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert list(json.loads((tmp_path / "results" / "left_out.json").read_text())["scores"]) == SOURCES[:2]
    monkeypatch.setattr(left_out, "score", lambda images, network, use: {images[0][0]: 0.7})
    assert run()["scores"] == dict(zip(SOURCES, [0.5, 0.5, 0.7], strict=True))
    assert len(rows) == 4


def test_a_record_of_other_settings_is_not_overwritten(run, rows):
    run()
    with pytest.raises(SystemExit, match="move it away"):
        run("--steps", "7")
    assert len(rows) == 3


@pytest.mark.parametrize("steps", [0, 3])
def test_the_same_seed_trains_the_same_network_and_another_seed_another(steps):
    recipe = replace(RECIPE, widths=(2, 2, 4, 4))
    small = replace(recipe.stages[0].augmentation, crop=32)
    labels = np.zeros((48, 56), np.int32)
    labels[5:20, 6:22], labels[25:40, 30:44] = 1, 2
    noise = np.random.default_rng(0).integers(0, 60, (3, *labels.shape))
    images = [prepare(ArrayImage((noise + 150 * (labels > 0)).astype(np.uint8)), labels, "a", "rgb", FAMILY.field)]
    tiles, maps = np.random.default_rng(0).random((2, 3, 32, 32), np.float32), []
    for number, seed in enumerate([5, 5, 6]):
        torch.manual_seed(number)
        stage = replace(recipe.stages[0], seed=seed, steps=steps, batch=2, augmentation=small)
        network = left_out.train(recipe, stage, images, "cpu")
        assert (network.contract.name, network.contract.channels) == ("template", "rgb")
        maps.append(network.maps(tiles))
    np.testing.assert_array_equal(maps[0], maps[1])
    assert np.abs(maps[0] - maps[2]).max() > 1e-3
