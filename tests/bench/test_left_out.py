"""The benchmark that leaves one source out: which images a network is trained on, and which it is scored on."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from bench import left_out, record  # noqa: E402
from bench.ablation import TRUE, Use  # noqa: E402
from bench.trainings import Training, merged  # noqa: E402
from train.data import prepare, write_sample  # noqa: E402
from train.data.readers import read_item, read_shared  # noqa: E402

SOURCES = ["bbbc039_fluo_nuclei_u2os", "lab", "lab2"]
"""The first is one that the config holds out."""
NEVER = "dsb2018_brightfield_papsmear_nuclei"
"""A source that the config leaves out."""


def write(folder, source, number):
    """Write so many images of a source, each of one cell on noise in colour."""
    labels = np.zeros((20, 24), np.int32)
    labels[5:12, 6:15] = 1
    for name in range(number):
        pixels = np.random.default_rng(name).integers(0, 255, (20, 24, 3), np.uint8)
        write_sample(folder / source, str(name), pixels, labels)


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """The trainings that take place: config, images, their sources, those scored and the use; scores: 0.1, 0.2 ..."""
    done = []

    def train(config, images, device):
        assert device == "cpu"
        done.append(SimpleNamespace(config=config, images=images, trained=[image.source for image in images]))
        return len(done)

    def score(held, network, use):
        done[-1].held, done[-1].use = [source for source, _, _ in held], use
        return {done[-1].held[0]: network / 10}

    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(left_out, "score", score)
    real = Training(lambda config: replace(config, policy="green-blue"), simulated=False, image=merged, train=train)
    monkeypatch.setattr(left_out, "TRAININGS", {"plain": Training(train=train), "real": real})
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


def test_every_source_is_left_out_once_and_scored_by_who_has_not_seen_it(run, rows, capsys):
    kept = run("--steps", "7")
    assert [sorted(set(row.held)) for row in rows] == [[source] for source in SOURCES]
    for row in rows:
        assert row.trained == [source for source in SOURCES for _ in range(3) if source not in row.held]
        assert (row.config.name, row.config.steps) == ("quick", 7)
        assert row.use == Use(diameter=TRUE)
    assert kept["scores"] == dict(zip(SOURCES, [0.1, 0.2, 0.3], strict=True))
    assert (kept["choice"], kept["config"], kept["simulated"], kept["pool"]) == ("plain", "quick", 0, None)
    assert "steps=7" in kept["settings"]
    said = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert said[-5:-2] == [[source, f"0.{number}00"] for number, source in enumerate(SOURCES, 1)]
    assert said[-2] == ["mean of these", "0.200"]


def test_simulated_images_stay_whatever_is_left_out(run, rows, tmp_path):
    assert run("--pool", str(tmp_path / "pool"))["simulated"] == 2
    assert [row.trained[6:] for row in rows] == [["simulated dic"] * 2] * 3


def test_a_choice_decides_training_and_images(run, rows, tmp_path):
    kept = run("--pool", str(tmp_path / "pool"), "--choice", "real")
    assert (kept["choice"], kept["simulated"]) == ("real", 0)
    image, labels = read_item(read_shared(tmp_path / "data")[0])
    expected = prepare(merged(image), labels, "", "green-blue").image
    for row in rows:
        assert len(row.trained) == 6
        assert row.use == Use(diameter=TRUE, image=merged)
        np.testing.assert_array_equal(row.images[0].image, expected)


@pytest.mark.parametrize(("options", "number"), [((), 3), (("--images", "2"), 2), (("--images", "0"), 3)])
def test_at_most_so_many_images_of_a_source_are_scored(run, rows, options, number):
    run(*options)
    assert [row.held for row in rows] == [[source] * number for source in SOURCES]


def test_some_sources_may_be_left_out_alone(run, rows):
    assert run("--only", "lab2", "lab")["scores"] == {"lab2": 0.1, "lab": 0.2}
    assert [row.held[0] for row in rows] == ["lab2", "lab"]


def test_sources_of_a_pattern_are_left_out_together(run, rows, monkeypatch):
    monkeypatch.setattr(left_out, "score", lambda held, network, use: {source: network / 10 for source, *_ in held})
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
    said = capsys.readouterr().err
    assert f"has no source {unknown}; choose from {', '.join(SOURCES)}" in said


def test_what_is_scored_so_far_is_kept_when_a_run_is_stopped(run, rows, tmp_path, monkeypatch):
    def stopped(held, network, use):
        if network == 3:
            raise KeyboardInterrupt
        return {held[0][0]: 0.5}

    monkeypatch.setattr(left_out, "score", stopped)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert list(json.loads((tmp_path / "results" / "left_out.json").read_text())["scores"]) == SOURCES[:2]
    monkeypatch.setattr(left_out, "score", lambda held, network, use: {held[0][0]: 0.7})
    assert run()["scores"] == dict(zip(SOURCES, [0.5, 0.5, 0.7], strict=True))
    assert len(rows) == 4


def test_a_record_of_another_choice_is_kept(run, rows):
    run()
    with pytest.raises(SystemExit, match="move it away"):
        run("--choice", "real")
    assert len(rows) == 3
