"""What a run prints: what was found, one line about each image, and where the labels are."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..images.file_type import image_name
from .progress import ProgressDisplay
from .record import DONE, FAILED, NOT_REACHED, SKIPPED, Advanced, Outcome
from .screen import complain, say

QUIET, NORMAL, VERBOSE = "quiet", "normal", "verbose"
"""How much a run prints: errors and warnings; also progress and a line about each image; also files, device, memory."""
MOST_NAMED = 5
"""Files that are not read and that the line about them names."""


class Messages:
    """What a run prints while it works; a context manager that erases the bar at the end.

    verbosity: `QUIET`, `NORMAL` or `VERBOSE`. output: the folder of the labels. files: the images of the run. others:
    files in folders that are not read. below: sentences about images in subfolders that are not looked at. whole: what
    the images are a part of, or None if they are all.
    """

    def __init__(
        self,
        verbosity: str,
        output: Path,
        files: Sequence[Path],
        others: Sequence[Path],
        below: Sequence[str],
        whole: str | None = None,
    ) -> None:
        self._verbosity, self._output, self._files, self._others, self._below = verbosity, output, files, others, below
        self._whole = f" ({whole})" if whole else ""
        self._display = ProgressDisplay(files) if verbosity != QUIET else None
        self._last: Outcome | None = None
        self._begun = False

    def __enter__(self) -> Messages:
        return self

    def __exit__(self, *_: object) -> None:
        if self._display:
            self._display.clear()

    def progress(self, at: Advanced) -> None:
        """Show how far the work on an image has come."""
        self._begin()
        if self._display:
            self._display(at)

    def outcome(self, outcome: Outcome) -> None:
        """Print one line about an image, and its notes unless the frame before, of the same file, has the same."""
        self._begin()
        if self._display:
            self._display.clear()
        name = " ".join(filter(None, (image_name(Path(outcome.file)), outcome.frame)))
        if outcome.status == FAILED:
            complain(outcome.reason or "")
        elif self._verbosity != QUIET:
            say(f"{name}: {_in_one_line(outcome)}", sys.stdout)
            repeated = self._last and (self._last.file, self._last.notes) == (outcome.file, outcome.notes)
            for note in () if repeated else outcome.notes:
                say(f"note: {name}: {note}", sys.stderr)
        for warning in outcome.warnings:
            say(f"warning: {name}: {warning}", sys.stderr)
        if self._verbosity == VERBOSE:
            for detail in _details(outcome):
                say(f"  {detail}", sys.stderr)
        self._last = outcome

    def summary(self, outcomes: list[Outcome], ending: str | None) -> None:
        """Print the last line of a run: what failed, how it ended, or where the labels are."""
        count = Counter(outcome.status for outcome in outcomes)
        if ending:
            done = count[DONE] + count[SKIPPED]
            kind = "label images" if any(outcome.frames > 1 for outcome in outcomes) else "files"
            done_and_left = f"{done} of {len(outcomes)} {kind} are done and {count[NOT_REACHED]} not begun"
            say(f"stopped by {ending}: {done_and_left}; add --resume to continue.", sys.stderr)
        elif count[FAILED]:
            say(f"{_failed(outcomes)} failed; the errors are listed above.", sys.stderr)
        elif self._verbosity != QUIET:
            cells = _cells(sum(outcome.cells or 0 for outcome in outcomes))
            kind = "label image" if any(outcome.frames > 1 for outcome in outcomes) else "image"
            say(f"{_images(len(outcomes), kind)}{self._whole}, {cells}; the labels are in {self._output}", sys.stderr)

    def _begin(self) -> None:
        """Print the first lines when the network is open: what was found, and where the labels go."""
        if self._begun or self._verbosity == QUIET:
            return
        self._begun = True
        if self._display:
            self._display.clear()
        if self._others:
            _print_skipped(self._others)
        for sentence in self._below:
            say(f"note: {sentence}", sys.stderr)
        say(f"{_images(len(self._files))} to segment{self._whole}; the labels go to {self._output}", sys.stderr)


def _failed(outcomes: Sequence[Outcome]) -> str:
    """Return how many files failed, and of files with several label images, how many of these.

    >>> _failed([Outcome("a.tif", FAILED, frames=2), Outcome("a.tif", DONE, frames=2), Outcome("b.tif", DONE)])
    '1 of 2 files (1 of 3 label images)'
    """
    failed = [outcome for outcome in outcomes if outcome.status == FAILED]
    files = f"{len({outcome.file for outcome in failed})} of {len({outcome.file for outcome in outcomes})} files"
    several = any(outcome.frames > 1 for outcome in outcomes)
    return f"{files} ({len(failed)} of {len(outcomes)} label images)" if several else files


def _images(count: int, kind: str = "image") -> str:
    return f"{count} {kind}{'s' * (count != 1)}"


def _cells(count: int | None) -> str:
    return f"{count} cell{'s' * (count != 1)}"


def _in_one_line(outcome: Outcome) -> str:
    """Return cells, diameter, duration and verdict of an image whose labels are finished."""
    duration = "already done" if outcome.status == SKIPPED else f"{outcome.seconds:.2f} s"
    summary = f"{_cells(outcome.cells)}, diameter {outcome.diameter:.1f} px, {duration}"
    if outcome.verdict:
        summary += f", {outcome.verdict}"
    if outcome.reasons:
        summary += f": {'; '.join(outcome.reasons)}"
    return summary


def _details(outcome: Outcome) -> list[str]:
    """Return what --verbose prints about an image: its files, device and memory, and the traceback of an error."""
    files = [*outcome.labels, *outcome.outputs]
    device = f"device {outcome.device}{f' ({outcome.fallback})' if outcome.fallback else ''}"
    memory = f"at most {outcome.peak_memory / 2**20:.0f} MiB of memory" if outcome.peak_memory else None
    found = [f"written: {', '.join(files)}" if files else None, device if outcome.device else None, memory]
    return [*filter(None, found), *(outcome.trace or "").splitlines()]


def _print_skipped(files: Sequence[Path]) -> None:
    """Print one line about files in folders that are not read."""
    shown = ", ".join(file.name for file in files[:MOST_NAMED]) + (", ..." if len(files) > MOST_NAMED else "")
    plural = "other file was" if len(files) == 1 else "other files were"
    say(f"{len(files)} {plural} skipped: {shown}", sys.stderr)
