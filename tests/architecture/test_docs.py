"""What the documentation repeats from the code is written by a program and up to date."""

import importlib.util
import re
import sys
from dataclasses import replace

from tests.conftest import ROOT


def program(name):
    """Import a program of docs/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # for its records
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_options_are_those_of_the_records():
    module = program("write_options")
    text = module.PAGE.read_text(encoding="utf-8")
    assert text.count("<!-- options: ") == len(module.RECORDS)
    assert module.page(text) == text


def test_the_tables_of_networks_are_those_of_the_records():
    module = program("write_networks")
    text = module.PAGE.read_text(encoding="utf-8")
    assert text.count("<!-- networks: ") == len(module.TABLES)
    assert module.page(text) == text
    pictures = {path.name for path in module.PICTURES.iterdir()}
    assert pictures == {f"{kind.modality}.jpg" for kind in module.KINDS}
    assert sum(path.stat().st_size for path in module.PICTURES.iterdir()) < 400_000


def test_a_network_is_named_for_a_kind_of_image_only_if_it_is_clearly_better(monkeypatch):
    module = program("write_networks")
    small, large = (replace(module.shipped_networks()[0], name=name) for name in ("small", "large"))
    monkeypatch.setattr(module, "_default", lambda: small)
    assert module._best([]) is small
    for own, other, best in ((0.6, 0.7, large), (0.6, 0.61, small), (0.6, None, small), (None, 0.9, small)):
        assert module._best([(own, small), (other, large)]) is best


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def numbers(text):
    """The numbers of a text, as they are written without commas for thousands."""
    return re.findall(r"\d+(?:\.\d+)?", text.replace(",", ""))


def test_the_three_numbers_of_the_readme_are_those_of_the_records():
    readme, results = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "bench/RESULTS.md"))
    rows = [line.split("|")[1:4] for line in readme.splitlines() if re.match(r"\| (accuracy|speed|memory)", line)]
    assert len(rows) == 3
    measured = [float(number) for number in numbers(results)]
    for _, result, _ in rows:
        for number in numbers(result):
            assert any(f"{value:.{len(number.partition('.')[2])}f}" == number for value in measured), number
