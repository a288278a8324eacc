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
    "quality": ["--data", "../shared/data", "--simulated", "4"],
    "ablation": ["--data", "../shared/data"],
    "robustness": ["--data", "../shared/data"],
    "sizes": [],
    "agreement": ["--data", "../shared/data"],
    "dynamics": ["--large"],
    "overhead": [],
    "startup": [],
    "runtime": [],
    "speed": [],
    "slides": ["--size", "5000", "10000", "--diameter", "30", "--memory", "4G"],
    "resume": ["--size", "1500"],
    "counts": [],
    "fuzz": [],
    "broken": [],
    "faults": [],
}
HEAD = """# Results

Written by `make bench`; a section is made again with `python -m bench.page NAME`. The machine is shared with other
work: ratios within a run say more than seconds, and seconds of different runs nothing about each other. What needs an
image of the container, its start-up and `bench.efficiency`, is in the README.
"""


def run(name: str) -> str | None:
    """Run a benchmark and return what it prints, None where it fails; what it says meanwhile goes to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *RUNS[name]], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if not done.returncode:
        return done.stdout
    print(f"bench.{name}: exit code {done.returncode}; its part of the page stays as it was.", file=sys.stderr)
    return None


def title(name: str) -> str:
    """Return the heading of a benchmark's part: the first line of what its file says of itself."""
    said = ast.get_docstring(ast.parse((ROOT / "bench" / f"{name}.py").read_text())) or name
    return said.splitlines()[0].rstrip(".")


def section(name: str, printed: str) -> str:
    """Return the part of the page about a benchmark: what it measures, when and how it ran, what it printed."""
    lines = [line for line in printed.splitlines() if not line.startswith(str(RESULTS))]
    said = [
        part for rows, group in groupby(lines, lambda line: line.startswith("|")) for part in _paragraph(rows, group)
    ]
    record = json.loads((RESULTS / f"{name}.json").read_text())
    cores = record["machine"]["cores"]
    machine = f"{cores} core{'s' if cores > 1 else ''}, {record['machine']['processor']}"
    command = " ".join(["python -m", f"bench.{name}", *RUNS[name]])
    ran = f"`{command}`, {record['date'][:10]}, commit {record['commit']}, {machine}."
    return "\n".join([f"## {title(name)}", "", ran, "", *said])


def _paragraph(rows: bool, lines: Iterable[str]) -> list[str]:
    """Return lines of Markdown and an empty one: the rows of a table, or text of which each line stays one."""
    return [*lines, ""] if rows else [*"  \n".join(lines).splitlines(), ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    names = parser.parse_args().names or list(RUNS)
    if unknown := set(names) - set(RUNS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(RUNS)}")
    failed = False
    for name in names:
        printed = run(name)
        if printed is None:
            failed = True
        else:
            put(PAGE, name, section(name, printed))
    return int(failed)


def put(page: Path, name: str, made: str) -> None:
    """Write a benchmark's part into the page, which keeps the parts of the others, in the order of `RUNS`."""
    text = page.read_text() if page.exists() else ""
    parts = {part.splitlines()[0]: part.rstrip("\n") + "\n" for part in ("\n" + text).split("\n## ")[1:]}
    parts[title(name)] = made.removeprefix("## ").rstrip("\n") + "\n"
    there = [parts[title(one)] for one in RUNS if title(one) in parts]
    page.write_text("\n## ".join([HEAD, *there]))


if __name__ == "__main__":
    sys.exit(main())
