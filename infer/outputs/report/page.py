"""The report of a run: one HTML page that needs nothing beside it, neither other files nor a network."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from statistics import median
from string import Template
from typing import Any

from ...options import Output, Runtime, Segmentation, option_name, options_of
from ...system.atomic_write import atomic_write
from .article import TITLES, article, badge
from .entries import FAILED, GOOD, LEVELS, UNDONE, Entry, entries
from .words import count, definitions, duration, memory, moment, number, text

IMAGES = "<!-- images -->"
"""Where the cards stand in page.html."""
DEFAULTS = {name: default for record in (Segmentation, Runtime, Output) for name, default, _ in options_of(record)}
"""The options of a run and their defaults."""
MEANINGS = {
    FAILED: "No labels were made.",
    UNDONE: "The run ended before them.",
    "poor": "The labels are probably wrong.",
    "check": "Something is unusual; look at the outlines.",
    GOOD: "Nothing unusual was noticed.",
}
"""What each level means, in one sentence."""


def write_page(path: Path, record: Mapping[str, Any]) -> None:
    """Write the report of a run; the file appears complete or not at all.

    record: that of the run (`flowmask.runs.record.run_record`); the outputs of its images contain their cards. Memory
    holds one card at a time. Raises OutputError if the page cannot be written or a card cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> record = {"begun": "2026-11-30T09:05:11+00:00", "ended": "2026-11-30T09:05:19+00:00", "ending": None,
    ...     "versions": {"flowmask": "1"}, "options": {"input": "in"}, "network": {"path": "n.onnx", "sha256": "a1"},
    ...     "device": {"used": "cpu", "fallback": None}, "files": []}
    >>> with TemporaryDirectory() as folder:
    ...     write_page(Path(folder, "report.html"), record)
    ...     Path(folder, "report.html").read_text()[:15]
    '<!doctype html>'
    """
    found = entries(record["files"])
    style, script, page = (_package_file(f"page.{ending}") for ending in ("css", "js", "html"))
    frame = Template(page).substitute(
        title=text(f"Cell segmentation: {_inputs(record)}"),
        script_digest=b64encode(sha256(script.encode()).digest()).decode("ascii"),
        style=style,
        script=script,
        date=text(moment(record["begun"])),
        ending=_ending(record),
        summary=_summary(found),
        tiles=_tiles(found, record),
        filters=_filters(found),
        table=_table(found),
        run=_about_the_run(record, found),
        version=text(record["versions"]["flowmask"]),
    )
    before, after = frame.split(IMAGES)
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        file.write(before)
        file.writelines(_sections(found))
        file.write(after)


def _package_file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _inputs(record: Mapping[str, Any]) -> str:
    """Return the name of the file or folder that was segmented, and how many more there are."""
    given = record["options"]["input"]
    paths = given if isinstance(given, list) else [given]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{Path(paths[0]).resolve().name}{more}"


def _ending(record: Mapping[str, Any]) -> str:
    if not record["ending"]:
        return ""
    return (
        f'<p class="stopped">The run was stopped by {text(record["ending"])} before all images were done. To continue, '
        "run the same command with <code>--resume</code>.</p>"
    )


def _summary(found: Sequence[Entry]) -> str:
    """Return what a reader wants to know first, in two sentences."""
    done = [entry for entry in found if entry.card]
    cells = sum(entry.file["cells"] for entry in done)
    empty = sum(entry.file["cells"] == 0 for entry in done)
    sentences = [f"{count(cells, 'cell')} in {count(len(done), 'image')}."]
    if empty:
        sentences.append(f"{count(empty, 'image')} without cells.")
    look = len(found) - sum(entry.level == GOOD for entry in found)
    if look:
        need = "needs" if look == 1 else "need"
        sentences.append(f"{look:,} of {count(len(found), 'image')} {need} a look; they come first.")
    elif found:
        sentences.append("No image needs a look.")
    return " ".join(sentences)


def _tiles(found: Sequence[Entry], record: Mapping[str, Any]) -> str:
    """Return the largest figures of the page."""
    counts = [entry.file["cells"] for entry in found if entry.card]
    spread = f"{min(counts):,} to {max(counts):,}" if counts else ""
    numbers, most = Counter(entry.level for entry in found), _most_memory(found)
    tiles = [
        ("Cells", f"{sum(counts):,}", ""),
        (
            "Images",
            f"{len(found):,}",
            ", ".join(f"{numbers[one]:,} {TITLES[one].lower()}" for one in LEVELS if numbers[one]),
        ),
        ("Cells per image", number(median(counts)) if counts else "–", f"median; {spread}" if counts else ""),
        ("Time", duration(_seconds(record)), f"at most {most} of memory" if most else ""),
    ]
    return "".join(
        f"<div><dt>{name}</dt><dd><b>{text(value)}</b><small>{text(below)}</small></dd></div>"
        for name, value, below in tiles
    )


def _seconds(record: Mapping[str, Any]) -> float:
    begun, ended = (datetime.fromisoformat(record[name]) for name in ("begun", "ended"))
    return (ended - begun).total_seconds()


def _most_memory(found: Sequence[Entry]) -> str | None:
    peaks = [entry.file["peak_memory"] for entry in found if entry.file["peak_memory"]]
    return memory(max(peaks)) if peaks else None


def _filters(found: Sequence[Entry]) -> str:
    """Return a button for all images and one for each level that occurs."""
    numbers = Counter(entry.level for entry in found)
    buttons = [f'<button type="button" data-show="all" aria-pressed="true">All <b>{len(found):,}</b></button>']
    for level in filter(numbers.__getitem__, LEVELS):
        buttons.append(
            f'<button type="button" data-show="{level}" aria-pressed="false" class="{level}">{TITLES[level]} '
            f"<b>{numbers[level]:,}</b></button>"
        )
    return "".join(buttons)


def _table(found: Sequence[Entry]) -> str:
    """Return a row for each image."""
    most = max((entry.file["cells"] for entry in found if entry.card), default=0) or 1
    return "".join(
        f'<tr><th scope="row"><a href="#image-{at}">{text(entry.name)}</a></th><td>{badge(entry.level)}</td>'
        f"{_cells_of(entry, most)}</tr>"
        for at, entry in enumerate(found, start=1)
    )


def _cells_of(entry: Entry, most: int) -> str:
    if entry.card is None or entry.covered is None:
        return '<td class="number">–</td><td class="bar"></td><td class="number">–</td><td class="number">–</td>'
    cells = entry.file["cells"]
    diameter = "–" if entry.diameter is None else f"{number(entry.diameter)} {entry.unit}"
    return (
        f'<td class="number">{cells:,}</td><td class="bar"><span style="width:{cells / most:.1%}"></span></td>'
        f'<td class="number">{diameter}</td><td class="number">{entry.covered:.0%}</td>'
    )


def _sections(found: Sequence[Entry]) -> Iterator[str]:
    """Yield the cards as HTML, a section for each level."""
    at = 0
    for level, group in groupby(found, key=lambda entry: entry.level):
        members = list(group)
        yield (
            f'<section class="level" data-level="{level}"><h2>{TITLES[level]} <small>{count(len(members), "image")}. '
            f"{MEANINGS[level]}</small></h2>\n"
        )
        for entry in members:
            at += 1
            yield article(entry, f"image-{at}")
        yield "</section>\n"


def _about_the_run(record: Mapping[str, Any], found: Sequence[Entry]) -> str:
    """Return settings, network, device, times and versions."""
    options = {name: _as_given(value) for name, value in record["options"].items()}
    given = {name: value for name, value in options.items() if name in DEFAULTS and value != _as_given(DEFAULTS[name])}
    others = {name: value for name, value in options.items() if name in DEFAULTS and name not in given}
    run: list[tuple[str, object]] = [
        ("Images", options.get("input")),
        ("Labels", options.get("output")),
        ("Network", Path(record["network"]["path"]).name),
        ("SHA-256 of the network", record["network"]["sha256"]),
        ("Device", record["device"]["used"]),
        ("Why no GPU", record["device"]["fallback"]),
        ("Begun", moment(record["begun"])),
        ("Ended", moment(record["ended"])),
        ("Most memory", _most_memory(found)),
    ]
    settings = definitions((option_name(name), value) for name, value in given.items())
    rest = definitions((option_name(name), value) for name, value in others.items())
    return (
        f"<h3>Run</h3>{definitions(run)}<h3>Settings</h3>{settings or '<p>All settings have their defaults.</p>'}"
        f"<details><summary>Settings with their defaults</summary>{rest}</details>"
        f"<details><summary>Versions</summary>{definitions(record['versions'].items())}</details>"
    )


def _as_given(value: object) -> str:
    """Return the value of an option as text."""
    if value is None or value is False:
        return "not set" if value is None else "off"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
