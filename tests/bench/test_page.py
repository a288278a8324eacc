"""The page of results: sections from records, and sections that stay as they are."""

import re

import pytest

pytest.importorskip("torch")

from bench.page import BENCHMARKS, HEAD, PAGE, sections, written  # noqa: E402
from bench.record import ROOT  # noqa: E402

PLACE = {"commit": "abc1234", "date": "2026-11-29T10:00:00+00:00", "machine": {"cores": 2, "processor": "x86_64"}}
COUNTS = {"runs": [{"cells drawn": 7, "F1, label file": 0.5}]}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_writes_the_record_that_its_section_reads(name):
    path = ROOT / "bench" / f"{BENCHMARKS[name].module.replace('.', '/')}.py"
    wanted = name.replace("_large", "_{args.model.stem}")
    assert re.search(rf'write_record\([^)]*"{re.escape(wanted)}"|name = "startup_container" if', path.read_text())


def test_the_page_has_a_section_for_each_benchmark_in_order():
    page = PAGE.read_text()
    assert page.startswith(HEAD)
    assert list(sections(page)) == [benchmark.title for benchmark in BENCHMARKS.values()]


def test_without_records_the_page_stays_as_it_is():
    page = PAGE.read_text()
    assert written(page, {}) == page


def test_a_record_replaces_its_section_alone():
    before = PAGE.read_text()
    after = written(before, {"counts": PLACE | COUNTS})
    title = BENCHMARKS["counts"].title
    section = sections(after).pop(title)
    assert section == (
        f"## {title}\n\n`python -m bench.trust.counts`, 2026-11-29, commit abc1234, 2 cores, x86_64.\n\n"
        "| cells drawn | F1, label file |\n| ----------- | -------------- |\n| 7           | 0.500          |\n"
    )
    assert after == before.replace(sections(before)[title], section)
