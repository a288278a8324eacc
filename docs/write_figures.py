"""Fill the figures of the documentation from the records in bench/results/: `python -m docs.write_figures`.

A figure stands on its page between two comments: `<!-- figure: NAME -->0.85<!-- end -->`. NAME is a path in a record
and a format, such as `slides/slides/-1/peak_mb:,.0f` for record["slides"][-1]["peak_mb"] of slides.json, or a name in
`FIGURES` or `TABLES`. A test fails if a page and the records differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from bench.record import table
from flowmask.network.registry import default_network

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "bench" / "results"
PAGES = [ROOT / "README.md", ROOT / "models" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REGISTRY = ROOT / "models" / "registry.toml"
MARKED = re.compile(r"(<!-- figure: ([^>]+) -->)(.*?)(<!-- end -->)", re.DOTALL)
F1_LINE = re.compile(r'(name = "(\w+)"\n(?:(?!\[\[).*\n)*?f1 = )[\d.]+')
NO_LOSS = 0.005
"""A smaller loss of F1 is called none."""
GAP = 0.03
"""The largest difference between F1 with estimated and with true diameters that `bench.quality.variations` aims at."""
Scores = Mapping[str, float]


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


def verdict_share(table_name: str, group: str) -> str:
    """Return the share of a group of images that were called check or poor."""
    levels = value(f"verdicts/tables/{table_name}/{group}")
    return f"{1 - levels['good'] / sum(levels.values()):.0%}"


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


FIGURES = {
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
"""Figures that are computed from records."""


def fitted_on_others() -> str:
    """Return the name of the table of verdicts whose limits were fitted to other sources."""
    return next(name for name in value("verdicts/tables") if name.startswith("Fitted to"))


def finetunings() -> list[dict[str, Any]]:
    """Return the records of the fine-tunings."""
    return [record(path.stem) for path in sorted(RECORDS.glob("finetune_*.json"))]


def fine_tuning() -> str:
    """Return F1 before and after fine-tuning: the source that was trained on, and another one."""
    rows = []
    for training in finetunings():
        (source, own), *others = training["scores"].items()
        trained = f"{training['images']} images"
        for title, on, scores in [
            (source, trained, own),
            *((f"{name}, after {source}", "none", s) for name, s in others),
        ]:
            pairs = (("before", "after"), ("before_given", "after_given"))
            rows.append([title, on, scores["images"], *(f"{scores[a]:.3f}, {scores[b]:.3f}" for a, b in pairs)])
    return table(["source", "trained on", "scored on", "estimated diameters", "diameter given"], rows)


def losses() -> str:
    """Return what each change of the images costs: the largest loss on a real source, and that on simulated images."""
    scores: dict[str, Scores] = value("variations/images/scores")
    unchanged = scores["as they are"]
    sources = several(record("scores")["images"])
    rows = []
    for change, own in scores.items():
        if own is not unchanged and own.keys() == unchanged.keys():
            real = max(unchanged[source] - own[source] for source in sources)
            rows.append([change, _loss(real), _loss(unchanged["simulated"] - own["simulated"])])
    return table(["change", "largest loss on a source of several real images", "loss on simulated images"], rows)


def _loss(found: float) -> str:
    return "none" if found < NO_LOSS else f"{found:.2f}"


def sizes() -> str:
    """Return F1 by the size of the cells."""
    cases: dict[str, Scores] = value("variations/sizes/cases")
    rows = [
        [
            name.removeprefix("of ").removeprefix("cells of "),
            *(f"{own[key]:.2f}" for key in ("f1_estimated", "f1_true")),
        ]
        for name, own in cases.items()
    ]
    return table(["cells", "F1, estimated diameter", "F1, true diameter"], rows)


def options() -> str:
    """Return F1 with other options: the mean over all sources, and over those of several images."""
    scores: dict[str, Scores] = value("variations/options/scores")
    rows = [[name, mean(own.values()), option_f1(name)] for name, own in scores.items()]
    return table(["", "F1", "sources of several images"], rows)


def designs() -> str:
    """Return what each design of the studies of LIVECell came to, for all images."""
    found: dict[str, Any] = value("seeds/designs")
    rows = []
    for name, own in found.items():
        scores = own["splits"]["all"]
        rows.append([name, own["steps"], scores["pixel_iou"], scores["f1"], scores["dice"]])
    return table(["design", "steps", "average pixel IoU", "F1 of cells", "semantic F1"], rows)


def card(network: str) -> str:
    """Return the scores of a network by source, for its card."""
    found = scores_of(network)
    images, simulated = found["images"], found["simulated images"]
    rows = [_scored(source, len(images["images"][source]), own["mean"]) for source, own in images["sources"].items()]
    rows.append(_scored("**mean over sources**", sum(map(len, images["images"].values())), images["mean"]))
    keys = ("f1_estimated", "f1_true", "diameter_error")
    chosen = several(images)
    means = {key: mean(images["sources"][source]["mean"][key] for source in chosen) for key in keys}
    rows.append(_scored("*sources of several images*", sum(len(images["images"][s]) for s in chosen), means))
    count = sum(map(len, simulated["images"].values()))
    rows.append(_scored("*simulated images of new seeds, with cells*", count, simulated["mean"]))
    return table(["source", "images", "F1, estimated diameter", "F1, true diameter", "log error of the diameter"], rows)


def _scored(title: str, images: int, scores: Scores) -> Sequence[object]:
    return [title, images, scores["f1_estimated"], scores["f1_true"], f"{scores['diameter_error']:.2f}"]


TABLES = {
    "fine-tuning": fine_tuning,
    "losses": losses,
    "sizes": sizes,
    "options": options,
    "designs": designs,
    "card of small": partial(card, "small"),
    "card of large": partial(card, "large"),
}
"""Tables; each stands on lines of its own."""


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
