"""The page of results reads what the benchmarks write."""

import re

import pytest

from bench.page import RUNS
from bench.record import ROOT


@pytest.mark.parametrize("name", RUNS)
def test_a_benchmark_writes_the_record_that_its_section_reads(name):
    assert re.search(rf'write_record\([^)]*"{name}"', (ROOT / "bench" / f"{name}.py").read_text())
