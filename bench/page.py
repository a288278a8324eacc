"""Writes the page of results, bench/RESULTS.md, from the records of the benchmarks.

    python -m bench.page            # write the page from the records in bench/results/
    python -m bench.page NAME ...   # run these benchmarks first, and keep their records there
    python -m bench.page --all      # run all of them first, which takes hours
    python -m docs.write_figures    # then write the figures that the documentation quotes

A section whose record is not in bench/results/ stays as it is on the page. The function ``text`` of each benchmark
turns a record into Markdown.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from bench.record import RESULTS, ROOT, Record

PAGE = ROOT / "bench" / "RESULTS.md"
RECORDS = ROOT / "bench" / "results"
"""The records that the page shows; they are part of the repository."""
DATA = ("--data", "../shared/data")
CYTO = "models/cyto-small.pt"
PHASE = ("usiigaci_phase_T98G/set3[3-9]_*", "usiigaci_phase_T98G/set40_*", "yeastvision_phase_yeast_pos13/*")
"""Phase-contrast images that no network that ships was trained on."""
HEAD = """# Results

`python -m bench.page` writes this page from the records in `bench/results/`. `python -m bench.page NAME` measures one
section again. Each section names the commit that was measured. Where its record is not in `bench/results/`, the section
holds the figures that the benchmark of that commit printed, with today's names of commands and columns. The machine was
shared with other work: compare numbers within a section, not the seconds of different sections. Measurements of a
container are not on this page. `../shared/data` is a folder of labelled images beside the checkout; they are not in
the repository, and `models/README.md` names their sources.
"""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that has a section on the page."""

    module: str
    """In the package `bench`."""
    title: str
    options: Sequence[str] = ()

    @property
    def command(self) -> list[str]:
        """The words after ``python``."""
        return ["-m", f"bench.{self.module}", *self.options]


BENCHMARKS = {
    "scores": Benchmark("quality.scores", "Accuracy on held-out and simulated images", (*DATA, "--simulated", "4")),
    "scores_large": Benchmark("quality.scores", "Accuracy of `large`", (*DATA, "--model", "large", "--simulated", "2")),
    "frontier": Benchmark(
        "quality.frontier",
        "Accuracy against time",
        ("small", "large", CYTO, *DATA, "--cellpose", CYTO, "--threads", "1", "--plot", "docs/frontier.svg"),
    ),
    "livecell": Benchmark(
        "quality.livecell",
        "Tables of the studies of LIVECell",
        (*DATA, "--model", "small", "large", "--images", *PHASE, "--each", "4"),
    ),
    "seeds": Benchmark(
        "quality.seeds", "The tables of the studies of LIVECell from short trainings", (*DATA, "--minutes", "2")
    ),
    "variations": Benchmark("quality.variations", "Accuracy with other options, images and cell sizes", DATA),
    "verdicts": Benchmark("quality.verdicts", "Verdicts against F1", (*DATA, "--cache", "results/verdicts.jsonl")),
    "against_cellpose": Benchmark("speed.against_cellpose", "Against cellpose 3.1", (*DATA, "--large")),
    "peers": Benchmark(
        "speed.peers",
        "Beside cellpose, StarDist and InstanSeg",
        ("--sides", "512", "--limit", "300"),
    ),
    "providers": Benchmark("speed.providers", "ONNX Runtime's provider for CPUs against OpenVINO"),
    "profile": Benchmark("speed.profile", "Where the time of one image goes"),
    "startup": Benchmark("speed.startup", "Start-up time"),
    "tile": Benchmark("speed.tile", "Time of the networks for one tile", ("small", "large", "--threads", "1")),
    "slides": Benchmark(
        "speed.slides",
        "Time and memory of whole slides",
        ("--size", "5000", "10000", "--diameter", "30", "--memory", "4G"),
    ),
    "scale": Benchmark(
        "speed.scale", "Time and memory over the area", ("--width", "4000", "--height", "250", "1000", "4000")
    ),
    "families": Benchmark(
        "speed.families",
        "Memory of the other families on a slide",
        ("--shape", "10000", "10000", "--family", "watershed", "boxes", "semantic"),
    ),
    "watershed": Benchmark("speed.watershed", "Time of the decoders", ("--large",)),
    "outputs": Benchmark(
        "speed.outputs", "Time and memory of the outputs of a slide", ("--size", "10000", "--pairs", "2")
    ),
    "cluster": Benchmark("speed.cluster", "A cluster against one machine"),
    "facility": Benchmark("speed.facility", "Many images and two slides on two workers"),
    "schedule": Benchmark("speed.schedule", "Many slides on many workers, simulated"),
    "counts": Benchmark("trust.counts", "More cells than int16 can count"),
    "fuzz": Benchmark("trust.fuzz", "Damaged files"),
    "broken": Benchmark("trust.broken", "A folder in which every third file is broken"),
    "faults": Benchmark("trust.faults", "Interrupted runs"),
    "kills": Benchmark("trust.kills", "Workers of a cluster that are killed"),
    "networks": Benchmark("trust.networks", "Workers in networks of their own", ("--images", "8", "--slide", "2500")),
}
"""By the name of the record, in the order of the page."""


def run(name: str) -> bool:
    """Run a benchmark and keep its record; return whether it succeeded."""
    done = subprocess.run([sys.executable, *BENCHMARKS[name].command], cwd=ROOT)
    if done.returncode:
        print(f"{name}: exit code {done.returncode}; its section stays as it was.", file=sys.stderr)
        return False
    RECORDS.mkdir(exist_ok=True)
    shutil.copy(RESULTS / f"{name}.json", RECORDS)
    return True


def section(name: str, record: Record, text: str) -> str:
    """Return the section of a benchmark: its title, how it was measured, and the ``text`` of its record.

    >>> record = {"machine": {"cores": 2, "processor": "x86_64"}, "date": "2026-12-01T00:00", "commit": "a1"}
    >>> print(section("startup", record, "1 s"))
    ## Start-up time
    <BLANKLINE>
    `python -m bench.speed.startup`, 2026-12-01, commit a1, 2 cores, x86_64.
    <BLANKLINE>
    1 s
    <BLANKLINE>
    """
    benchmark = BENCHMARKS[name]
    cores = record["machine"]["cores"]
    machine = f"{cores} core{'s' if cores > 1 else ''}, {record['machine']['processor']}"
    command = shlex.join(["python", *benchmark.command])
    measured = f"`{command}`, {record['date'][:10]}, commit {record['commit']}, {machine}."
    return f"## {benchmark.title}\n\n{measured}\n\n{text.strip()}\n"


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by their titles.

    >>> sections("# Results\\n\\n## One\\n\\nsome\\n\\n## Two\\n\\nmore\\n")
    {'One': '## One\\n\\nsome\\n', 'Two': '## Two\\n\\nmore\\n'}
    """
    parts = page.split("\n## ")[1:]
    return {part.splitlines()[0]: f"## {part.rstrip()}\n" for part in parts}


def written(page: str, records: dict[str, Record]) -> str:
    """Return the page with the sections of the records; sections without a record stay as they are in ``page``."""
    found = sections(page)
    for name, record in records.items():
        text = import_module(f"bench.{BENCHMARKS[name].module}").text
        found[BENCHMARKS[name].title] = section(name, record, text(record))
    return "\n".join([HEAD, *(found[b.title] for b in BENCHMARKS.values() if b.title in found)])


def main() -> int:
    """Run the benchmarks that were named, write the page; return 1 if a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--all", action="store_true", help="run all benchmarks")
    args = parser.parse_args()
    names = list(BENCHMARKS) if args.all else args.names
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    failed = [name for name in names if not run(name)]
    files = {name: RECORDS / f"{name}.json" for name in BENCHMARKS}
    records = {name: json.loads(path.read_text()) for name, path in files.items() if path.exists()}
    PAGE.write_text(written(PAGE.read_text() if PAGE.exists() else "", records))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
