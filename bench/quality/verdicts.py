"""How well the verdicts tell good labels from bad ones, and the limits that would tell them best.

    python -m bench.quality.verdicts --data DATA --cache FILE.jsonl [--model NAME] [--limit N]

Every image is segmented as it is and in one spoilt way, in turn: a diameter that is far too small or too large, noise,
blur, or one channel of a colour image. F1 at IoU 0.5 by the challenge's rules is compared with the verdict.

The script fits `flowmask.labels.verdict.Limits` and prints the record to be copied into `LIMITS`. Such limits are also
fitted to five sixths of the sources and tested on the others. The networks were trained on other images of most of
these sources, so images of a new laboratory may be judged less well. Evidence and F1 of each image are added to the
cache as soon as they are known, so a second run with the same cache continues, and takes seconds when all images are
there. For another network, give --model and copy the record that is printed.
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
import numpy.typing as npt

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
PARTS = 6
"""Parts of the sources. Limits are tested on each part after a fit to the others."""
FALSE_ALARMS = 0.06
"""Largest share of the images with F1 above 0.8 that fitted limits call not good; the target is 0.1 on other images."""
FALSE_POOR = 0.01
"""Largest share of them that fitted limits call poor."""
GAIN = 0.005
"""A figure gets a limit only if it finds at least this share more of the images with F1 below 0.5."""
PENALTY = 10.0
"""What a share of false alarms above `FALSE_ALARMS` costs, in shares of images found."""
TAILS = np.array([0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1])
"""Shares of the images with F1 above 0.8 that one limit may exclude."""
Figures = npt.NDArray[np.float64]
"""(rows,) a figure of the evidence; NaN where an image has none."""
_OFF: dict[str, Any] = {each.limit: math.inf if each.upper else 0.0 for each in COMPARISONS}
UNUSED = Limits(**_OFF)
Row = dict[str, Any]


def part(source: str) -> int:
    """Return in which of the `PARTS` a source is, decided by its name.

    >>> part("yeast") == part("simulated yeast")  # a source and its simulation are never in different parts
    True
    """
    return crc32(source.removeprefix(SIMULATED).encode()) % PARTS


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
    cache.parent.mkdir(parents=True, exist_ok=True)
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
    """Return `BAD`, `FAIR` or `FINE`: the class of the F1 of a row.

    >>> kind({"f1": 0.9}) == FINE, kind({"f1": 0.6}) == FAIR, kind({"f1": 0.1}) == BAD
    (True, True, True)
    """
    return FINE if row["f1"] > 0.8 else BAD if row["f1"] < 0.5 else FAIR


def share(found: list[Row], limits: Limits, *levels: str) -> float:
    """Return the share of the rows whose verdict has one of these levels; 0 without rows."""
    verdicts = [judge_evidence(Evidence(**row["evidence"]), limits).level for row in found]
    return sum(level in levels for level in verdicts) / len(verdicts) if verdicts else 0.0


def beyond(each: Comparison, limit: float, figures: dict[str, Figures]) -> npt.NDArray[np.bool_]:
    """Return for each row whether its figure is beyond the limit; NaN never is."""
    values = figures[each.figure]
    return np.asarray(values > limit if each.upper else values < limit)


def steps(each: Comparison, values: Figures) -> list[float]:
    """Return the limits to try for a figure: not used, and those which exclude the shares `TAILS` of the fine rows."""
    known = values[np.isfinite(values)]
    if not known.size:
        return [_OFF[each.limit]]
    quantiles = 100 * np.quantile(known, 1 - TAILS if each.upper else TAILS)
    return [_OFF[each.limit], *sorted({(math.ceil if each.upper else math.floor)(value) / 100 for value in quantiles})]


def fitted(found: list[Row]) -> Limits:
    """Return the limits that find most bad rows with at most `FALSE_ALARMS` among the fine ones.

    From unused limits on, one limit after the other takes its best value, until none can be improved. A limit costs
    `GAIN`, so that figures that tell little stay unused.
    """
    rows = [row for row in found if kind(row) != FAIR]
    fine = np.array([kind(row) == FINE for row in rows])
    figures = {each.figure: np.array([row["evidence"][each.figure] for row in rows], float) for each in COMPARISONS}
    always = np.array([judge_evidence(Evidence(**row["evidence"]), UNUSED).level != GOOD for row in rows])
    tried = {each: steps(each, figures[each.figure][fine]) for each in COMPARISONS}

    def value(limits: dict[str, float]) -> float:
        flagged = always | np.any([beyond(each, limits[each.limit], figures) for each in COMPARISONS], axis=0)
        used = sum(limits[each.limit] != _OFF[each.limit] for each in COMPARISONS)
        alarms = float(flagged[fine].mean()) if fine.any() else 0.0
        return float(flagged[~fine].mean() - PENALTY * max(0.0, alarms - FALSE_ALARMS) - GAIN * used)

    limits, before = dict(_OFF), -math.inf
    while value(limits) > before:
        before = value(limits)
        for each in COMPARISONS:
            # Of equal values, the first one, which excludes least.
            limits = max(({**limits, each.limit: step} for step in tried[each]), key=value)
    best = replace(UNUSED, **limits)
    counts = (replace(best, poor=count) for count in range(2, len(COMPARISONS) + 4))  # more than there are reasons
    return next(one for one in counts if share([row for row in rows if kind(row) == FINE], one, POOR) <= FALSE_POOR)


def judged_by_others(found: list[Row]) -> dict[str, dict[str, int]]:
    """Return how many images of each class have each verdict, by limits fitted to the other parts of the sources."""
    total = confusion([], UNUSED)
    for number in range(PARTS):
        inside = [part(row["case"][0]) == number for row in found]
        limits = fitted([row for row, own in zip(found, inside, strict=True) if not own])
        for name, counts in confusion([row for row, own in zip(found, inside, strict=True) if own], limits).items():
            for level, count in counts.items():
                total[name][level] += count
    return total


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
    limits = fitted(found)
    tables = {
        "Limits in use": confusion(found, LIMITS),
        "Fitted limits": confusion(found, limits),
        f"Fitted to five parts of the sources, tested on the sixth, {PARTS} times": judged_by_others(found),
    }
    changed = [field.name for field in fields(Limits) if getattr(limits, field.name) != getattr(UNUSED, field.name)]
    used = ", ".join(f"{name}={getattr(limits, name)}" for name in dict.fromkeys([*changed, "poor"]))
    figures = {"model": model, "tables": tables, "fitted": f"Limits({used})"}
    print(text(figures))
    print(write_record("verdicts", figures))


if __name__ == "__main__":
    main()
