"""What the documentation repeats from the code is written by a program and up to date."""

import importlib.util

from tests.conftest import ROOT


def test_the_tables_of_options_are_those_of_the_records():
    spec = importlib.util.spec_from_file_location("write_options", ROOT / "docs" / "write_options.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.PAGE.read_text(encoding="utf-8")
    assert text.count("<!-- options: ") == len(module.RECORDS)
    assert module.page(text) == text


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
