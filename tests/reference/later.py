"""Packages that take long to import, for test files that a quick run collects and does not run."""

from functools import partial
from importlib import import_module
from importlib.util import find_spec

import pytest


def later(name, reason):
    """Return a function that imports a package and returns it; without the package, skip the test file."""
    if find_spec(name.partition(".")[0]) is None:
        pytest.skip(reason, allow_module_level=True)
    return partial(import_module, name)
