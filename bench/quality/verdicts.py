"""How well the verdicts tell good labels from bad ones, and the limits that would tell them best.

    python -m bench.quality.verdicts --data ../shared/data --cache FILE.jsonl [--model NAME] [--limit N]

Every image is segmented as it is and in one spoilt way, in turn: a diameter that is far too small or too large, noise,
blur, or one channel of a colour image. F1 at IoU 0.5 by the challenge's rules is compared with the verdict.

The script fits `flowmask.labels.verdict.Limits` to one half of the sources and prints the record to be copied into
`LIMITS`; the other half of the sources tests it. Evidence and F1 of each image are added to the cache as soon as they
are known, so a second run with the same cache continues, and takes seconds when all images are there. For another
network, give --model and copy the record that is printed.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from bench.images import SIMULATED
from bench.quality.spoilt import Case, cases, spoilt
from bench.record import Record, named, table, write_record
from flowmask.api import load_network
from flowmask.images.image import as_image
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.labels.metrics import f1_challenge
from flowmask.labels.verdict import (
    CHECK,
    COMPARISONS,
    GOOD,
    LIMITS,
    POOR,
    Comparison,
    Evidence,
    Limits,
    evidence,
    judge_evidence,
)
from flowmask.network.registry import default_network, find_network
from flowmask.network.session import Network
from flowmask.options import Runtime
from flowmask.pipeline import label_rows, plan_image

BAD, FAIR, FINE = "F1 below 0.5", "F1 0.5 to 0.8", "F1 above 0.8"
LEVELS = (GOOD, CHECK, POOR)
FITTED, TESTED = "sources that the limits are fitted to", "sources that only test them"
FALSE_ALARMS = 0.06
"""Largest share of the images with F1 above 0.8 that fitted limits call not good; the target is 0.1 on other images."""
FALSE_POOR = 0.01
"""Largest share of them that fitted limits call poor."""
GAIN = 0.02
"""A figure gets a limit only if it finds at least this share more of the images with F1 below 0.5."""
TAILS = np.linspace(0, 0.2, 41)
"""Shares of the images with F1 above 0.8 that one limit may exclude."""
_OFF: dict[str, Any] = {each.limit: math.inf if each.upper else 0.0 for each in COMPARISONS}
UNUSED = Limits(**_OFF)
Row = dict[str, Any]


def half(source: str) -> str:
    """Return `FITTED` or `TESTED`: in which half a source is, decided by its name."""
    return FITTED if crc32(source.removeprefix(SIMULATED).encode()) % 2 else TESTED


def measured(case: Case, network: Network) -> Row | None:
    """Return F1 and evidence of one case; None if there is no true cell in it."""
    pixels, truth, options = spoilt(case)
    if not truth.any():
        return None
    image, builder = as_image(pixels), CellTableBuilder()
    plan = plan_image(image, network, options, Runtime(threads=1))
    labels = np.concatenate(list(label_rows(image, network, plan, builder)))
    return {"f1": f1_challenge(truth, labels), "evidence": asdict(evidence(builder.table(), plan))}


def rows(found: Iterator[Case], network: Network, model: str, cache: Path) -> Iterator[Row]:
    """Yield the rows of all cases; those that the cache has for this network are not computed again."""
    known = [json.loads(line) for line in cache.read_text().splitlines()] if cache.exists() else []
    done = {tuple(row["case"]): row for row in known if row["model"] == model}
    for case in found:
        row = done.get(case[:3])
        if row is None and (figures := measured(case, network)):
            row = {"model": model, "case": case[:3], **figures}
            with cache.open("a") as file:
                file.write(json.dumps(row) + "\n")
        if row:
            yield row


def kind(row: Row) -> str:
    """Return `BAD`, `FAIR` or `FINE`: the class of the F1 of a row."""
    return FINE if row["f1"] > 0.8 else BAD if row["f1"] < 0.5 else FAIR


def share(found: list[Row], limits: Limits, *levels: str) -> float:
    """Return the share of the rows whose verdict has one of these levels; 0 without rows."""
    verdicts = [judge_evidence(Evidence(**row["evidence"]), limits).level for row in found]
    return sum(level in levels for level in verdicts) / len(verdicts) if verdicts else 0.0


def limits_at(tail: float, chosen: list[Comparison], fine: list[Row]) -> Limits:
    """Return limits of the chosen figures, each of which excludes about the share ``tail`` of the fine rows."""
    found: dict[str, Any] = {}
    for each in chosen:
        figures = np.array([row["evidence"][each.figure] for row in fine], float)
        figures = figures[np.isfinite(figures)]
        if figures.size:
            quantile = float(np.quantile(figures, 1 - tail if each.upper else tail))
            found[each.limit] = (math.ceil if each.upper else math.floor)(100 * quantile) / 100
    return replace(UNUSED, **found)


def tightest(chosen: list[Comparison], fine: list[Row]) -> Limits:
    """Return the tightest limits of the chosen figures with at most `FALSE_ALARMS`, with the same tail for each."""
    loosest, *others = (limits_at(tail, chosen, fine) for tail in TAILS)
    return [loosest, *(limits for limits in others if share(fine, limits, CHECK, POOR) <= FALSE_ALARMS)][-1]


def fitted(found: list[Row]) -> Limits:
    """Return the limits that find most bad rows with at most `FALSE_ALARMS`, with as few figures as possible.

    Figures are added one by one, always the one that finds most, as long as it finds `GAIN` more.
    """
    fine, bad = ([row for row in found if kind(row) == wanted] for wanted in (FINE, BAD))
    chosen: list[Comparison] = []
    best, recall = UNUSED, share(bad, UNUSED, CHECK, POOR)
    while others := [each for each in COMPARISONS if each not in chosen]:
        tried = {each.limit: tightest([*chosen, each], fine) for each in others}
        added = max(others, key=lambda each: share(bad, tried[each.limit], CHECK, POOR))
        better = share(bad, tried[added.limit], CHECK, POOR)
        if better < recall + GAIN:
            break
        chosen, best, recall = [*chosen, added], tried[added.limit], better
    counts = (replace(best, poor=count) for count in range(2, len(COMPARISONS) + 4))  # more than there are reasons
    return next(limits for limits in counts if share(fine, limits, POOR) <= FALSE_POOR)


def confusion(found: list[Row], limits: Limits) -> dict[str, dict[str, int]]:
    """Return how many images of each class of F1 have each verdict."""
    counts = {name: dict.fromkeys(LEVELS, 0) for name in (FINE, FAIR, BAD)}
    for row in found:
        counts[kind(row)][judge_evidence(Evidence(**row["evidence"]), limits).level] += 1
    return counts


def text(record: Record) -> str:
    """Return the tables of a record as Markdown."""
    parts = [record["model"]]
    for title, counts in record["tables"].items():
        lines = []
        for name, own in counts.items():
            total = sum(own.values())
            lines.append([name, total, *own.values(), f"{100 * (1 - own[GOOD] / total):.0f} %" if total else ""])
        parts += [title, table(["images", "number", *LEVELS, "not good"], lines)]
    return "\n\n".join([*parts, f"Fitted limits: {record['fitted']}"])


def main() -> None:
    """Judge the images, fit limits, print the tables and the limits, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--cache", type=Path, required=True, help="file for F1 and evidence, which a later run reads")
    parser.add_argument("--model", type=find_network, default=default_network())
    parser.add_argument("--each", type=int, default=6, help="images of each source (default 6)")
    parser.add_argument("--limit", type=int, help="stop after this number of images")
    args = parser.parse_args()
    network, model = load_network(args.model, device="cpu", threads=1), named(args.model)
    found = list(rows(islice(cases(args.data, args.each), args.limit), network, model, args.cache))
    halves = {title: [row for row in found if half(row["case"][0]) == title] for title in (FITTED, TESTED)}
    limits = fitted(halves[FITTED])
    tables = {
        f"{name}, {title}": confusion(own, each)
        for name, each in (("Limits in use", LIMITS), ("Fitted limits", limits))
        for title, own in halves.items()
    }
    changed = [field.name for field in fields(Limits) if getattr(limits, field.name) != getattr(UNUSED, field.name)]
    used = ", ".join(f"{name}={getattr(limits, name)}" for name in dict.fromkeys([*changed, "poor"]))
    figures = {"model": model, "tables": tables, "fitted": f"Limits({used})", "images": found}
    print(text(figures))
    print(write_record("verdicts", figures))


if __name__ == "__main__":
    main()
