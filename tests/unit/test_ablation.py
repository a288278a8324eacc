"""The trainings that bench.ablation compares: one after the other, and on from where a run was stopped."""

from argparse import Namespace

import pytest

pytest.importorskip("torch")

from bench import ablation, record  # noqa: E402
from bench.trainings import Training  # noqa: E402
from train.config import load_config  # noqa: E402

ABOUT = {"config": "quick", "images": 0, "steps": 2}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The seeds of the trainings that take place; each scores its seed."""
    seeds = []

    def train(config, images):
        assert config.steps == 2
        seeds.append(config.seed)
        return config.seed

    monkeypatch.setattr(ablation, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(ablation, "TRAININGS", {name: Training(train=train) for name in "ab"})
    monkeypatch.setattr(ablation, "score", lambda held, network, use: {"source": float(network)})
    monkeypatch.setattr(ablation, "read_shared", lambda folder: [])
    return seeds


def train(seeds):
    results = ablation.earlier(ABOUT)
    given = Namespace(data=None, pool=None, only=None, steps=2, seeds=seeds)
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
        ablation.earlier({**ABOUT, "steps": 3})
