"""The examples in docstrings of train/, export/, retrain/ and bench/ give what they state."""

import doctest
from importlib import import_module

import pytest

from tests.conftest import ROOT

pytest.importorskip("torch")
pytest.importorskip("onnx")

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("train", "export", "retrain", "bench")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "__main__.py" and ">>>" in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, tried = doctest.testmod(import_module(name))
    assert tried > 0
    assert failed == 0
