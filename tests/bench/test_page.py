"""The page of results reads what the benchmarks write."""

import re

import pytest

from bench.page import RUNS, put, title
from bench.record import ROOT


@pytest.mark.parametrize("name", RUNS)
def test_a_benchmark_writes_the_record_that_its_section_reads(name):
    assert re.search(rf'write_record\([^)]*"{name}"', (ROOT / "bench" / f"{name}.py").read_text())


def test_a_new_part_leaves_the_others_as_they_were(tmp_path):
    page = tmp_path / "RESULTS.md"
    page.write_text((ROOT / "bench" / "RESULTS.md").read_text())
    before = page.read_text()
    (old,) = (part for part in before.split("\n## ") if part.startswith(title("counts")))
    put(page, "counts", f"## {title('counts')}\n\nnothing\n")
    assert page.read_text() == before.replace(old, f"{title('counts')}\n\nnothing\n")
    put(page, "counts", "## " + old)
    assert page.read_text() == before
