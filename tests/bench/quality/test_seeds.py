"""The tables of the studies of LIVECell from short trainings: designs, split, files that are kept, and tables."""

import json
from dataclasses import replace
from functools import partial

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from bench.quality import seeds  # noqa: E402
from bench.quality.seeds import (  # noqa: E402
    BACKBONES,
    BOTH,
    CENTERMASKS,
    DESIGNS,
    HEADS,
    MESMER_TYPES,
    UNETS,
    Design,
    Trainings,
    divided,
    measured,
    measured_by_type,
    recipe_of,
    text,
    trained,
)
from export.parity import ParityError  # noqa: E402
from train.config import Fresh  # noqa: E402
from train.data.prepared import prepare_items, write_sample  # noqa: E402
from train.families import find_architecture  # noqa: E402
from train.families.base import no_field  # noqa: E402
from train.recipes import nuclei_semantic  # noqa: E402
from train.simulate import simulate  # noqa: E402

pytestmark = pytest.mark.torch
TINY = partial(Design, nuclei_semantic.RECIPE, "unet", (4, 8))


def write(folder, *sources, count=2):
    for source in sources:
        for number in range(count):
            sample = simulate("phase", (96, 96), number, 20)
            write_sample(folder / source, f"P{number}", sample.image, sample.labels)
    return folder


@pytest.mark.parametrize("name", DESIGNS)
def test_each_design_has_a_recipe_of_the_same_budget(name):
    recipe = recipe_of(name, DESIGNS[name], pretrained=False)
    assert find_architecture(recipe.family, recipe.architecture)
    (stage,) = recipe.stages
    assert (stage.batch, stage.augmentation.crop, stage.steps) == (seeds.BATCH, seeds.CROP, 0)
    assert recipe.mean_diameter is None


def test_published_weights_are_those_of_the_study_if_wanted():
    starts = {name: recipe_of(name, DESIGNS[name], pretrained=True).stages[0].start for name in DESIGNS}
    published = {name for name, start in starts.items() if start == Fresh(pretrained=True)}
    assert published == {*BACKBONES, *HEADS, *MESMER_TYPES} - {"light"}


def test_the_project_s_own_images_are_divided_and_given_test_images_are_all_scored(tmp_path):
    names = ("phase_fibroblast_bubil", "phase_smoothmuscle_rabbit_bubil", "dsb2018_fluo_nuclei_256")
    write(tmp_path / "data", *names)
    training, scored = divided(tmp_path / "data", None, 1)
    assert {item.name for item in training} == {f"{names[0]}/P0", f"{names[0]}/P1"}
    assert [item.name for item in scored] == [f"{names[1]}/P0"]
    write(tmp_path / "test", "BV2")
    training, scored = divided(tmp_path / "data", tmp_path / "test", 0)
    assert len(training) == 6
    assert [item.name for item in scored] == ["BV2/P0", "BV2/P1"]


@pytest.fixture
def tiny(tmp_path):
    """A function (types) -> the figures of a tiny design; its files are kept in one folder."""
    training, scored = divided(write(tmp_path / "data", "a", "b"), write(tmp_path / "test", "a", "c"), 1)
    own = Trainings(prepare_items(training, "rgb", no_field), 1e-4, tmp_path, "cpu")

    def run(types=False, minutes=1e-4):
        recipe = recipe_of("tiny, one" if types else "tiny", TINY(types=types), pretrained=False)
        return (measured_by_type if types else measured)(recipe, replace(own, minutes=minutes), scored)

    return run


@pytest.mark.slow
def test_a_design_is_trained_exported_and_scored_once(tmp_path, tiny, monkeypatch):
    found = tiny()
    assert found["steps"] == seeds.TRIAL
    assert found["exported"]
    assert list(found["splits"]) == ["all", "a", "c"]
    assert (tmp_path / "tiny.onnx").exists()
    assert not (tmp_path / "tiny.pt").exists()
    monkeypatch.setattr(seeds, "train_stage", None)
    again = tiny()
    assert {key: again[key] for key in ("steps", "minutes")} == {key: found[key] for key in ("steps", "minutes")}
    with pytest.raises(SystemExit, match="a training with other settings; give another --work"):
        tiny(minutes=1)


@pytest.mark.slow
def test_one_network_a_cell_type_is_scored_on_its_type_alone(tmp_path, tiny):
    found = tiny(types=True)
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"tiny_one_a.onnx", "tiny_one_b.onnx"}
    assert found["steps"] == 2 * seeds.TRIAL
    assert list(found["splits"]) == ["all", "a"]


@pytest.mark.slow
def test_a_network_that_the_export_refuses_is_scored_with_pytorch(tmp_path, tiny, monkeypatch, capsys):
    scores = tiny()["splits"]["all"]
    for path in tmp_path.glob("tiny.*"):
        path.unlink()

    def refuse(*_):
        raise ParityError("the ONNX file cannot be used")

    monkeypatch.setattr(seeds, "write_onnx", refuse)
    found = tiny()
    assert not found["exported"]
    assert "the ONNX file cannot be used" in capsys.readouterr().out
    assert found["splits"]["all"]["dice"] == pytest.approx(scores["dice"], abs=1e-3)


def test_the_tables_have_every_design_once_in_its_study():
    score = {"images": 1, "cells": 2, "pixel_iou": 0.5, "f1": 0.25, "dice": 0.75, "ap": 0.125, "afnr": None}
    facts = {"splits": {"all": score, "BV2": score}, "steps": 7, "ms": 9.6, "minutes": 1.26, "parameters": 3_600_000}
    designs = {name: facts | {"exported": name != "ResNet50"} for name in DESIGNS}
    page = text({"about": "Images.", "budget": "Minutes.", "designs": json.loads(json.dumps(designs))})
    assert page.startswith("Images.\n\nMinutes.\n\nThe export refused these")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    for name in (*BACKBONES, *HEADS, *UNETS, *CENTERMASKS, BOTH):
        assert [name, "0.500", "0.250", "0.750", "0.125", "7", "10", "1.3", "3.6"] in rows
    headers = [cell for row in rows for cell in row if row[0] == "split"]
    assert {f"{name}, F1" for name in (*UNETS, *CENTERMASKS, *MESMER_TYPES)} <= {*headers}


def test_facts_beside_a_file_of_another_training_end_the_program(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"settings": "others"}))
    with pytest.raises(SystemExit, match="a.json: it is of a training with other settings"):
        trained(recipe_of("a", TINY(), pretrained=False), Trainings([], 1, tmp_path, "cpu"), "a")
