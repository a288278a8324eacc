"""The tables of the documentation that are made from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from bench.record import table
from docs.records import finetunings, mean, option_f1, record, scores_of, several, value

NO_LOSS = 0.005
"""A smaller loss of F1 is called none."""
Scores = Mapping[str, float]


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
