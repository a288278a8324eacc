"""The examples in the docstrings of the package do what they say."""

import doctest
from importlib import import_module

import pytest

from tests.conftest import MODEL, ROOT

INFER = ROOT / "infer"
EXAMPLES = {
    ".".join(("flowmask", *path.relative_to(INFER).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(INFER.rglob("*.py"))
    if ">>> " in path.read_text()
}
"""Modules with examples."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name):
    if name == "flowmask.api" and not MODEL.is_file():
        pytest.skip(f"the network file {MODEL.name} is missing")
    module = import_module(name)
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted == EXAMPLES[name].read_text().count(">>> ")


def test_there_are_examples():
    assert {"flowmask.api", "flowmask.options", "flowmask.families.blocks"} <= EXAMPLES.keys()
