"""Fill the figures of the documentation from the records in bench/results/: `python -m docs.write_figures`.

A figure stands on its page between two comments: `<!-- figure: NAME -->0.85<!-- end -->`. NAME is a path in a record
and a format, such as `slides/slides/-1/peak_mb:,.0f` for record["slides"][-1]["peak_mb"] of slides.json, or a name in
`FIGURES`, or in `TABLES` of docs/record_tables.py. A test fails if a page and the records differ.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from docs.record_tables import TABLES
from docs.records import finetunings, mean_f1, option_f1, record, several, value
from flowmask.budget import RUNTIME, TILE_BYTES, needed_memory
from flowmask.families import family_of
from flowmask.images.memmap import CACHE
from flowmask.network.contract import Contract
from flowmask.network.registry import default_network

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "models" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REGISTRY = ROOT / "models" / "registry.toml"
MARKED = re.compile(r"(<!-- figure: ([^>]+) -->)(.*?)(<!-- end -->)", re.DOTALL)
F1_LINE = re.compile(r'(name = "(\w+)"\n(?:(?!\[\[).*\n)*?f1 = )[\d.]+')
GAP = 0.03
"""The largest difference between F1 with estimated and with true diameters that `bench.quality.variations` aims at."""


def verdict_share(table_name: str, group: str) -> str:
    """Return the share of a group of images that were called check or poor."""
    levels = value(f"verdicts/tables/{table_name}/{group}")
    return f"{1 - levels['good'] / sum(levels.values()):.0%}"


def fitted_on_others() -> str:
    """Return the name of the table of verdicts whose limits were fitted to other sources."""
    return next(name for name in value("verdicts/tables") if name.startswith("Fitted to"))


def run_of(name: str) -> dict[str, Any]:
    """Return the run of this name of the comparison with cellpose."""
    found: dict[str, Any] = next(run for run in value("against_cellpose_image/image/runs") if run["run"] == name)
    return found


def decoder_ratio() -> float:
    """Return the time of the watershed decoder over that of the flow decoder, for the largest image."""
    times = {run["decoder"]: run["ns per px"] for run in value("watershed/runs")}  # the last run of each stays
    return float(times["watershed"] / times["flow"])


def mother_machine(pick: Any) -> str:
    """Return the smallest or the largest F1 of the image of a mother machine after changes of the image."""
    changes = value("variations/images/scores")
    return f"{pick(scores['baby_motherm_bacteria'] for scores in changes.values() if len(scores) > 1):.2f}"


def missed_sizes() -> str:
    """Return the cases of cell sizes whose F1 with estimated diameters is lower by more than `GAP`."""
    cases = value("variations/sizes/cases")
    names = [name for name, scores in cases.items() if scores["f1_true"] - scores["f1_estimated"] > GAP]
    return " and ".join(name.removeprefix("of ").removeprefix("cells of ") for name in names)


def without_cells() -> str:
    """Return the numbers of cells that were found in images without cells."""
    return ", ".join(f"{name}: {count}" for name, count in value("variations/sizes/empty").items())


def column_memory() -> float:
    """Return the bytes that the plan counts for each column of pixels of a flow network, at scale 1."""
    contract = Contract("example", "rgb", 30.0, 30.0, False, "", "")
    narrow, wide = (
        needed_memory(shape, shape, contract.tile, 3, family_of(contract).row_bytes(shape, shape))
        for shape in ((10_000, 10_000), (10_000, 20_000))
    )
    return (wide - narrow) / 10_000


FIGURES = {
    "memory of the runtime": lambda: f"{RUNTIME / 2**20:.0f} MiB",
    "memory of decoded tiles": lambda: f"{CACHE / 2**20:.0f} MiB",
    "memory of a column": lambda: f"{column_memory() / 1000:.0f} kB",
    "memory of a pixel of a tile": lambda: f"{TILE_BYTES / 1000:.1f} kB",
    "f1 of the default network": lambda: f"{mean_f1(default_network().stem):.3f}",
    "sources of several images": lambda: str(len(several(record("scores")["images"]))),
    "images of these sources": lambda: str(
        sum(len(images) for images in record("scores")["images"]["images"].values() if len(images) > 1)
    ),
    "times faster, same weights": lambda: f"{run_of('Flowmask, same weights')['times_faster']:.1f}",
    "share of memory, same weights": lambda: f"{run_of('Flowmask, same weights')['share_of_peak']:.2f}",
    "times faster, default": lambda: f"{run_of('Flowmask, its default network')['times_faster']:.0f}",
    "share of memory, default": lambda: f"{run_of('Flowmask, its default network')['share_of_peak']:.2f}",
    "longest fine-tuning": lambda: f"{max(training['minutes'] for training in finetunings()):.1f}",
    "f1 with mirror images": lambda: f"{option_f1('average over mirror images'):.3f}",
    "f1 without mirror images": lambda: f"{option_f1('default'):.3f}",
    "poor images found": lambda: verdict_share("Limits in use", "F1 below 0.5"),
    "good images doubted": lambda: verdict_share("Limits in use", "F1 above 0.8"),
    "poor images found, other sources": lambda: verdict_share(fitted_on_others(), "F1 below 0.5"),
    "good images doubted, other sources": lambda: verdict_share(fitted_on_others(), "F1 above 0.8"),
    "decoder, watershed over flow": lambda: f"{decoder_ratio():.1f}",
    "mother machine, lowest": partial(mother_machine, min),
    "mother machine, highest": partial(mother_machine, max),
    "sizes that miss the target": missed_sizes,
    "images without cells": without_cells,
    "interrupted runs": lambda: str(len(value("faults/findings"))),
    "resumed images": lambda: str(len(value("faults/image_findings"))),
}
"""Figures that are computed from records, and amounts of memory in the plan of an image."""


def filled(name: str) -> str:
    """Return what stands between the marks of a figure or table.

    >>> filled("broken/files:,")
    '200'
    """
    if name in TABLES:
        return f"\n{TABLES[name]()}\n"
    if name in FIGURES:
        return FIGURES[name]()
    path, _, style = name.partition(":")
    return f"{value(path):{style}}"


def page(text: str) -> str:
    """Return the text of a page with all its figures from the records.

    >>> page("<!-- figure: broken/files:, -->many<!-- end --> files")
    '<!-- figure: broken/files:, -->200<!-- end --> files'
    """
    return MARKED.sub(lambda match: f"{match[1]}{filled(match[2])}{match[4]}", text)


def registry(text: str) -> str:
    """Return the table of networks that ship, models/registry.toml, with the F1 of each from its record."""
    return F1_LINE.sub(lambda match: f"{match[1]}{mean_f1(match[2]):.3f}", text)


def main() -> None:
    for path in PAGES:
        path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
    REGISTRY.write_text(registry(REGISTRY.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
