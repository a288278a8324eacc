"""The records of recipes, and the recipes that ship."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flowmask.errors import SettingsError  # noqa: E402
from train.config import Fresh, Recipe, Split, Stage  # noqa: E402
from train.data.augment import Augmentation  # noqa: E402
from train.data.prepared import write_sample  # noqa: E402
from train.data.readers import read_shared  # noqa: E402
from train.families import FAMILIES, find_architecture, find_family  # noqa: E402
from train.recipes import load_recipe, template  # noqa: E402
from train.recipes.held_out import HELD_OUT, HELD_OUT_AT_FIRST  # noqa: E402
from train.run import check_stages  # noqa: E402
from train.start import checkpoints_of  # noqa: E402

RECIPES = ("small", "cyto_small", "template", "nuclei_semantic", "nuclei_watershed", "nuclei_boxes")


def test_whole_sources_and_experiments_are_held_out(tmp_path):
    for source, name in (("a", "x1"), ("a", "y1"), ("b", "x1"), ("c", "x1")):
        write_sample(tmp_path / source, name, np.zeros((5, 5), np.uint8), np.zeros((5, 5), np.int32))
    split = Split(held_out=("b/*", "a/y*"), left_out=("c/*",))
    training, held_out = split.divide(read_shared(tmp_path))
    assert [item.name for item in training] == ["a/x1"]
    assert [item.name for item in held_out] == ["a/y1", "b/x1"]


def test_an_unknown_recipe_is_named_with_those_that_exist(tmp_path):
    with pytest.raises(SettingsError, match="nothing_such: there is no such recipe; choose from cyto_small"):
        load_recipe("nothing_such")
    with pytest.raises(SettingsError, match="absent.py: there is no such file"):
        load_recipe(str(tmp_path / "absent.py"))
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(SettingsError, match="empty.py: the file defines no RECIPE"):
        load_recipe(str(tmp_path / "empty.py"))


def test_a_copy_of_the_template_is_a_recipe(tmp_path):
    copy = tmp_path / "my_cells.py"
    text = Path(template.__file__).read_text()
    copy.write_text(text.replace('name="template"', 'name="my_cells"'))
    assert load_recipe(str(copy)) == dataclasses.replace(template.RECIPE, name="my_cells")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_can_be_run_in_order(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    check_stages(recipe)
    assert find_family(recipe.family).name == recipe.family
    network = find_architecture(recipe.family, recipe.architecture).build(3, recipe.widths)
    assert tuple(network.widths) == recipe.widths
    done: set[Path] = set()
    for number, stage in enumerate(recipe.stages):
        needed = set(checkpoints_of(stage.start, recipe, Path("work")))
        assert bool(needed) != isinstance(stage.start, Fresh)
        assert needed <= done
        assert number == 0 or any(path.parent.name == name for path in needed)
        done.add(Path("work") / name / f"{stage.name}.pt")


@pytest.mark.parametrize("record", [Recipe, Stage, Split, Augmentation])
def test_a_recipe_states_every_value(record):
    assert all(field.default is field.default_factory is dataclasses.MISSING for field in dataclasses.fields(record))


@pytest.mark.parametrize("name", ["small", "cyto_small"])
def test_networks_that_ship_end_with_the_final_split(name):
    assert load_recipe(name).stages[-1].split == HELD_OUT
    assert set(HELD_OUT.held_out) < set(HELD_OUT_AT_FIRST.held_out)
    assert set(HELD_OUT.left_out) < set(HELD_OUT_AT_FIRST.left_out)


def test_unknown_families_architectures_and_repeated_stages_are_refused():
    with pytest.raises(SettingsError, match="no family 'voronoi'; the families are boxes, flow, semantic, watershed"):
        find_family("voronoi")
    for family in FAMILIES:
        with pytest.raises(SettingsError, match=f"the family '{family}' has no architecture 'other'"):
            find_architecture(family, "other")
    for stages in ((), template.RECIPE.stages * 2):
        with pytest.raises(SettingsError, match="different names"):
            check_stages(dataclasses.replace(template.RECIPE, stages=stages))
