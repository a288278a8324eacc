"""The page of results: every benchmark run in turn, its output kept, bench/RESULTS.md written from what was kept.

    python -m bench.page [NAME ...]

Without names all of them run, which takes hours; with names these, and the others' part of the page stays as it was.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from bench.record import RESULTS, ROOT

PAGE = ROOT / "bench" / "RESULTS.md"
RUNS = {
    "quality": ["--data", "../shared/data"],
    "ablation": ["--data", "../shared/data"],
    "agreement": ["--data", "../shared/data"],
    "dynamics": ["--large"],
    "overhead": [],
    "startup": [],
    "speed": [],
    "int8": ["--data", "../shared/data"],
    "slides": ["--size", "5000", "10000", "--diameter", "30", "--memory", "4G"],
    "resume": ["--size", "1500"],
    "counts": [],
    "fuzz": [],
    "broken": [],
    "faults": [],
}
HEAD = """# Results

Written by `make bench`; a section is made again with `python -m bench.page NAME`. The machine is shared with other
work: ratios within a run say more than seconds, and seconds of different runs nothing about each other.
"""


def run(name: str) -> None:
    """Run a benchmark and keep what it prints; what it says meanwhile goes to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *RUNS[name]], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"bench.{name} ended with exit code {done.returncode}; its part of the page stays as it was.")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.txt").write_text(done.stdout)


def section(name: str) -> str:
    """Return the part of the page about a benchmark: what it measures, when and how it ran, what it printed."""
    lines = [line for line in (RESULTS / f"{name}.txt").read_text().splitlines() if not line.startswith(str(RESULTS))]
    said = [
        part for rows, group in groupby(lines, lambda line: line.startswith("|")) for part in _paragraph(rows, group)
    ]
    title = (ast.get_docstring(ast.parse((ROOT / "bench" / f"{name}.py").read_text())) or name).splitlines()[0]
    record = json.loads((RESULTS / f"{name}.json").read_text())
    machine = f"{record['machine']['cores']} cores, {record['machine']['processor']}"
    command = " ".join(["python -m", f"bench.{name}", *RUNS[name]])
    ran = f"`{command}`, {record['date'][:10]}, commit {record['commit']}, {machine}."
    return "\n".join([f"## {title.rstrip('.')}", "", ran, "", *said])


def _paragraph(rows: bool, lines: Iterable[str]) -> list[str]:
    """Return lines of Markdown and an empty one: the rows of a table, or text of which each line stays one."""
    return [*lines, ""] if rows else [*"  \n".join(lines).splitlines(), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    names = parser.parse_args().names or list(RUNS)
    if unknown := set(names) - set(RUNS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(RUNS)}")
    for name in names:
        run(name)
    write_page(PAGE)


def write_page(page: Path) -> None:
    """Write the page from what the benchmarks have printed."""
    sections = [section(name) for name in RUNS if (RESULTS / f"{name}.txt").exists()]
    page.write_text("\n".join([HEAD, *sections]))


if __name__ == "__main__":
    main()
