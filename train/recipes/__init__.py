"""One file for each network that ships, with every value that decides its weights, and `template.py` to copy.

A recipe is a module with a frozen record `RECIPE`. Recipes of your own may lie anywhere: give their path to
`python -m train`.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from flowmask.errors import SettingsError
from train.config import Recipe


def load_recipe(name: str) -> Recipe:
    """Return the recipe of a module in train/recipes, or of a Python file by its path.

    Raises SettingsError if there is no such recipe.

    >>> load_recipe("template").widths
    (8, 16, 32, 64)
    """
    module = _from_file(Path(name)) if name.endswith(".py") else _from_package(name)
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise SettingsError(f"{name}: the file defines no RECIPE; copy train/recipes/template.py.")
    return recipe


def _from_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"train.recipes.{name}")
    except ModuleNotFoundError as error:
        known = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py") if path.stem != "held_out")
        raise SettingsError(
            f"{name}: there is no such recipe; choose from {', '.join(known)}, or give the path of a .py file."
        ) from error


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SettingsError(f"{path}: there is no such file; copy train/recipes/template.py and change it.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
