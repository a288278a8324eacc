"""The images of a run as the report lists them: those that need a look come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...images.file_type import image_name
from ...options import in_command_words
from .card import ENDING, Card, read_card

FAILED, UNDONE, POOR, CHECK, GOOD = LEVELS = ("failed", "undone", "poor", "check", "good")
"""How an image went, in the order of the report. Undone: the run ended before it."""
OF_THE_LABELS = ("verdict", "reasons", "notes", "warnings", "seconds", "peak_memory", "peak_gpu_memory", "device")
"""What the record of a skipped image does not have, and its card has from the run that segmented it."""


@dataclass(frozen=True)
class Entry:
    """One image of the report."""

    file: Mapping[str, Any]
    """Its outcome in the record of the run (`flowmask.runs.record.Outcome`); of a skipped image, with what its card
    knows from the run that segmented it."""
    card: Path | None
    """The file of its card; None without labels."""
    covered: float | None = None
    """Share of the image that is covered by cells."""
    diameter: float | None = None
    """Median diameter of the cells in ``unit``; None without cells."""
    unit: str = "px"
    """µm, if the pixel size is known, otherwise px."""

    @property
    def name(self) -> str:
        """The name of the file, and which frame of it."""
        return " ".join(filter(None, (image_name(Path(self.file["file"])), self.file["frame"])))

    @property
    def level(self) -> str:
        """One of `LEVELS`."""
        if self.file["status"] == "failed":
            return FAILED
        return str(self.file["verdict"]) if self.card else UNDONE


def entries(files: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Return the images of a run by their levels, and within a level in the order of the run.

    files: the outcomes in the record of the run. Raises OutputError if a card cannot be read.

    >>> outcome = {"file": "in/a.png", "status": "failed", "frame": None, "outputs": []}
    >>> found = entries([outcome | {"status": "not reached"}, outcome | {"frame": "t001"}])
    >>> [(entry.name, entry.level) for entry in found]
    [('a.png t001', 'failed'), ('a.png', 'undone')]
    """
    return sorted(map(_entry, files), key=lambda entry: LEVELS.index(entry.level))


def _entry(file: Mapping[str, Any]) -> Entry:
    paths = [Path(path) for path in file["outputs"] if path.endswith(ENDING)]
    if not paths:
        return Entry(file, None)
    card = read_card(paths[0])
    if file["status"] == "skipped":
        file = {**file, **{name: _translated(card["outcome"][name]) for name in OF_THE_LABELS}}
    diameters = card["diameters"] and card["diameters"]["median"]
    return Entry(file, paths[0], card["covered"], diameters, unit_of(card))


def unit_of(card: Card) -> str:
    """Return the unit of the diameters on a card.

    >>> unit_of({"pixel_size_um": None})
    'px'
    """
    return "px" if card["pixel_size_um"] is None else "µm"


def _translated(value: Any) -> Any:
    """Return a value of an outcome; sentences, which name options as Python does, in the words of the command line."""
    return [in_command_words(sentence) for sentence in value] if isinstance(value, list) else value
