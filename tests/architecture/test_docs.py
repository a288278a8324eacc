"""What the documentation repeats from the code is written by a program and up to date."""

import doctest
import importlib.util
import re
import sys
from dataclasses import replace

import pytest

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


FIGURES = program("write_figures")


@pytest.mark.parametrize("path", FIGURES.PAGES, ids=lambda path: path.name)
def test_figures_are_those_of_the_records(path):
    text = path.read_text(encoding="utf-8")
    assert FIGURES.page(text) == text, "run python -m docs.write_figures"
    assert text.count("<!-- figure: ") == len(FIGURES.MARKED.findall(text))


def test_the_f1_of_the_networks_is_that_of_the_records():
    text = FIGURES.REGISTRY.read_text(encoding="utf-8")
    assert len(FIGURES.F1_LINE.findall(text)) == text.count("[[network]]")
    assert FIGURES.registry(text) == text


def test_another_record_changes_the_page(monkeypatch):
    monkeypatch.setattr("docs.records.record", lambda name: {"files": 1234})
    assert (
        FIGURES.page("<!-- figure: broken/files:, -->200<!-- end -->")
        == "<!-- figure: broken/files:, -->1,234<!-- end -->"
    )


def test_every_figure_and_table_is_on_a_page():
    found = {name for path in FIGURES.PAGES for _, name, *_ in FIGURES.MARKED.findall(path.read_text(encoding="utf-8"))}
    assert {*FIGURES.FIGURES, *FIGURES.TABLES} <= found


def test_no_line_begins_with_the_mark_of_a_figure_in_a_sentence():
    """Markdown takes a line that begins with a comment for HTML, and leaves the rest of the line as it is."""
    for path in FIGURES.PAGES:
        marks = re.findall(r"^<!-- figure: ([^>]+) -->", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(marks) <= set(FIGURES.TABLES), path


def test_the_three_numbers_of_the_readme_are_figures_of_records():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2] for line in readme.splitlines() if re.match(r"\| (accuracy|speed|memory)", line)]
    assert len(rows) == 3
    for result in rows:
        assert not re.search(r"\d", FIGURES.MARKED.sub("", result))


def test_examples_of_the_programs():
    for name in ("records", "write_figures", "write_networks", "write_options"):
        assert doctest.testmod(program(name)).failed == 0
