"""Read the records in bench/results/, and the means of scores that several pages give."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flowmask.network.registry import default_network

RECORDS = Path(__file__).resolve().parents[1] / "bench" / "results"


@cache
def record(name: str) -> dict[str, Any]:
    """Return the record of this name."""
    found: dict[str, Any] = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def value(name: str) -> Any:
    """Return the value at a path such as "slides/slides/-1/peak_mb": first the record, then keys and positions."""
    first, *keys = name.split("/")
    found: Any = record(first)
    for key in keys:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def scores_of(network: str) -> dict[str, Any]:
    """Return the record of the scores of a network that ships."""
    default = default_network().stem
    return record("scores" if network == default else f"scores_{network}")


def several(scores: Mapping[str, Any]) -> list[str]:
    """Return the sources of several images of a group of scores."""
    return [source for source, images in scores["images"].items() if len(images) > 1]


def mean(values: Iterable[float]) -> float:
    """Return the mean.

    >>> mean([0.5, 1.0])
    0.75
    """
    found = list(values)
    return sum(found) / len(found)


def mean_f1(network: str, score: str = "f1_estimated") -> float:
    """Return the mean over held-out sources of several images, of a network that ships."""
    images = scores_of(network)["images"]
    return mean(images["sources"][source]["mean"][score] for source in several(images))


def option_f1(name: str) -> float:
    """Return F1 with other options, the mean over the sources of several images."""
    sources = several(record("scores")["images"])
    return mean(value(f"variations/options/scores/{name}")[source] for source in sources)


def finetunings() -> list[dict[str, Any]]:
    """Return the records of the fine-tunings."""
    return [record(path.stem) for path in sorted(RECORDS.glob("finetune_*.json"))]
