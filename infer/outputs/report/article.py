"""The card of one image as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .card import Card, read_card
from .chart import chart
from .entries import CHECK, FAILED, GOOD, POOR, UNDONE, Entry, unit_of
from .words import count, definitions, duration, memory, number, sentence, text

TITLES = {
    FAILED: "Failed",
    UNDONE: "Not done",
    POOR: "Poor",
    CHECK: "Check",
    GOOD: "Good",
}
"""The name of each level."""
SIGNS = {FAILED: "✕", UNDONE: "…", POOR: "!", CHECK: "?", GOOD: "✓"}
OPEN_CHARTS = 4
"""Intensity histograms that are shown at once; those of further channels open by a click."""
COLOURS = ("red", "green", "blue")
"""How three channels without names are shown."""


def badge(level: str) -> str:
    """Return the sign and name of a level as HTML.

    >>> badge("good")
    '<span class="badge good"><span aria-hidden="true">✓</span> Good</span>'
    """
    return f'<span class="badge {level}"><span aria-hidden="true">{SIGNS[level]}</span> {TITLES[level]}</span>'


def article(entry: Entry, anchor: str) -> str:
    """Return the card of an image as HTML; ``anchor`` is the id of its element. Raises OutputError without its file.

    >>> file = {"file": "a.png", "status": "failed", "frame": None, "outputs": [], "reason": "a.png: it is damaged."}
    >>> "It is damaged" in article(Entry(file, None), "image-1")
    True
    """
    body = _with_cells(entry, read_card(entry.card)) if entry.card else _without_cells(entry)
    return (
        f'<article id="{anchor}" class="card {entry.level}" data-level="{entry.level}" tabindex="-1" '
        f'aria-labelledby="{anchor}-name"><header><h3 id="{anchor}-name">{text(entry.name)}</h3>'
        f"{badge(entry.level)}</header>{body}</article>\n"
    )


def _without_cells(entry: Entry) -> str:
    if entry.level == FAILED:
        reason = str(entry.file["reason"])
        frame = entry.file["frame"]
        for named in (f"{entry.file['file']}: ", f"frame {frame}: ", f"{frame}: "):
            reason = reason.removeprefix(named)
        return f'<p class="reason">{sentence(reason)}</p>'
    return '<p class="reason">The run ended before this image was finished; run the same command with --resume.</p>'


def _with_cells(entry: Entry, card: Card) -> str:
    cells = entry.file["cells"]
    pictures = _picture(card["thumbnail"], f"{entry.name}, the whole image", _mark(card))
    if card["detail"]:
        pictures += _picture(card["detail"], f"{entry.name}, the part with most cells", "", _place(card["detail"]))
    return (
        f'<div class="pictures">{pictures}</div><div class="facts">'
        f'<p class="cells"><b>{cells:,}</b> {"cell" if cells == 1 else "cells"}'
        f"{_share(cells, card['covered'])}</p>{_sentences(entry)}"
        f"{_charts(card)}{_details(entry, card)}</div>"
    )


def _share(cells: int, covered: float) -> str:
    """Return which part of the image the cells cover."""
    verb = "covers" if cells == 1 else "cover"
    return f"<small>, which {verb} {covered:.0%} of the image</small>" if cells else ""


def _picture(layers: Mapping[str, Any], meaning: str, mark: str, caption: str = "") -> str:
    """Return a picture as HTML: the image, and its outlines as a layer above it."""
    height, width = layers["size"]
    size = f'width="{width}" height="{height}"'
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="picture" style="--wide:{width};--high:{height}"><div class="layers">'
        f'<img src="data:image/jpeg;base64,{layers["image"]}" {size} alt="{text(meaning)}">'
        f'<img class="outlines" src="data:image/png;base64,{layers["outlines"]}" {size} alt="outlines of the cells">'
        f"{mark}</div>{below}</figure>"
    )


def _mark(card: Card) -> str:
    """Return the frame that shows in the whole image where its part in full size lies."""
    if not card["detail"]:
        return ""
    (height, width), (top, left, bottom, right) = card["shape"], card["detail"]["box"]
    places = {"top": top / height, "left": left / width, "height": (bottom - top) / height}
    style = ";".join(f"{name}:{share:.2%}" for name, share in {**places, "width": (right - left) / width}.items())
    return f'<span class="mark" style="{style}"></span>'


def _place(detail: Mapping[str, Any]) -> str:
    top, left, bottom, right = detail["box"]
    return f"Full size: rows {top:,} to {bottom - 1:,}, columns {left:,} to {right - 1:,}, where most cells are."


def _sentences(entry: Entry) -> str:
    """Return the reasons of the verdict and the warnings as a list."""
    found = [*entry.file["reasons"], *entry.file["warnings"]]
    return f'<ul class="reasons">{"".join(f"<li>{sentence(one)}</li>" for one in found)}</ul>' if found else ""


def _charts(card: Card) -> str:
    names = [_channel(card["channels"], at) for at in range(len(card["channels"]))]
    means = [chart(f"Mean intensity{name}", "", found) for name, found in zip(names, card["intensities"], strict=True)]
    shown = chart("Cell diameter", unit_of(card), card["diameters"]) + "".join(means[:OPEN_CHARTS])
    more = "".join(means[OPEN_CHARTS:])
    if more:
        summary = f"<summary>{count(len(means) - OPEN_CHARTS, 'more channel')}</summary>"
        more = f'<details>{summary}<div class="charts">{more}</div></details>'
    return f'<div class="charts">{shown}</div>{more}' if shown else ""


def _channel(names: list[str], at: int) -> str:
    """Return how the title of a chart names a channel: not at all if it is the only one."""
    if names == ["0"]:
        return ""
    if names == ["0", "1", "2"]:
        return f", {COLOURS[at]}"
    return f", channel {names[at]}" if names[at] == str(at) else f", {names[at]}"


def _details(entry: Entry, card: Card) -> str:
    file, (height, width), size = entry.file, card["shape"], card["pixel_size_um"]
    cells, border = file["cells"], card["at_border"]
    named = [name for at, name in enumerate(card["channels"]) if name != str(at)]
    channels = ", ".join(named) or str(len(card["channels"]))
    rows: list[tuple[str, object]] = [
        ("Image", f"{width:,} × {height:,} px"),
        ("Pixel size", size and f"{number(size)} µm"),
        ("Channels", channels),
        ("Covered by cells", f"{card['covered']:.0%}"),
        ("Cells at the border", f"{border:,} of {cells:,}" if cells else None),
        ("Diameter used", f"{number(file['diameter'])} px"),
        ("Time", file["seconds"] and duration(file["seconds"]) + _earlier(file)),
        ("Most memory", file["peak_memory"] and memory(file["peak_memory"])),
        ("Most GPU memory", file["peak_gpu_memory"] and memory(file["peak_gpu_memory"])),
        ("Device", file["device"]),
        ("Label file", ", ".join(Path(path).name for path in file["labels"])),
    ]
    notes = "".join(f"<li>{sentence(note)}</li>" for note in file["notes"])
    listed = f'<ul class="notes">{notes}</ul>' if notes else ""
    return f"<details><summary>Details</summary>{definitions(rows)}{listed}</details>"


def _earlier(file: Mapping[str, Any]) -> str:
    return ", in an earlier run" if file["status"] == "skipped" else ""
