"""What the documentation repeats from the code is written by a program and up to date."""

import importlib.util
import re

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
