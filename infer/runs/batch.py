"""A run over many files: segment each one, print a line about it, write the record, and return the exit code."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import FlowmaskError, printable
from ..options import Options
from ..system.atomic_write import make_folder
from .jobs import Job, find_images, plan
from .record import DONE, FAILED, INTERRUPTED, NOT_REACHED, SKIPPED, Outcome, make_room, write_record
from .signals import Stopped, stoppable
from .worker import Segment, in_worker

ALL_DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2
"""Exit codes."""
Outcomes = Generator[Outcome, None, None]


@dataclass(frozen=True)
class Request:
    """The files and options of a run."""

    inputs: Sequence[Path]
    """Image files and folders of image files."""
    output: Path
    """Folder for the label files."""
    model: Path
    """Network file."""
    options: Options
    resume: bool = False
    """Skip images with finished labels, and continue an interrupted image from its cached maps."""
    strict: bool = False
    """Stop at the first image that fails."""


def run(
    make_request: Callable[[], Request], record: Path | None, arguments: Mapping[str, Any], own_process: bool
) -> int:
    """Segment all images of a request, write the record, and return the exit code.

    make_request: returns the request; a FlowmaskError that it raises is printed and ends the run. record: JSON file
    about the run, or None for no record; arguments: the options of the command line with their values, for the record.
    own_process: segment in a worker process, so that a crash fails only one image. The calling process must then have
    imported only what `flowmask.cli` imports.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    # tifffile logs harmless peculiarities of files that it can read; it raises an error for the others.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    begun = datetime.now(UTC)
    outcomes: list[Outcome] = []
    with stoppable() as ignore_signals:
        try:
            if record:
                make_room(record)
        except FlowmaskError as error:
            complain(str(error))
            return WRONG_USAGE
        code, ending = _finish(make_request, outcomes, own_process)
        ignore_signals()
        try:
            if record:
                write_record(record, begun, arguments, outcomes, code, ending)
        except FlowmaskError as error:
            complain(str(error))
            code = code or SOME_FAILED
    return code


def complain(reason: str) -> None:
    """Print one error message on stderr."""
    print(printable(f"error: {reason}"), file=sys.stderr, flush=True)


def _finish(make_request: Callable[[], Request], outcomes: list[Outcome], own_process: bool) -> tuple[int, str | None]:
    """Process all files; return the exit code and the reason for an early end, or None."""
    try:
        return _process(make_request(), outcomes, own_process)
    except Stopped as stop:
        print(f"stopped by {stop}.", file=sys.stderr)
        return stop.exit_code, str(stop)
    except FlowmaskError as error:
        complain(str(error))
        return WRONG_USAGE, str(error)


def _process(request: Request, outcomes: list[Outcome], own_process: bool) -> tuple[int, str | None]:
    """Segment all images and add their outcomes to ``outcomes``; a failed image does not affect the others.

    Returns the exit code, and the reason if the run ended before all images were processed, otherwise None.
    """
    paths = find_images(request.inputs, request.output)
    jobs, conflicts = plan(paths, request.output)
    make_folder(request.output)
    code, ending = ALL_DONE, None
    try:
        with closing(_segmented(request, jobs, own_process)) as segmented:
            for outcome in chain(conflicts, segmented):
                outcomes.append(outcome)
                _print_outcome(outcome)
                if outcome.status == FAILED:
                    code = SOME_FAILED
                    if request.strict:
                        ending = "--strict"
                        break
    except Stopped as stop:
        code, ending = stop.exit_code, str(stop)
    if ending:
        outcomes += _unprocessed(jobs, outcomes, INTERRUPTED if code != SOME_FAILED else NOT_REACHED)
    _print_summary(outcomes, ending)
    return code, ending


def _segmented(request: Request, jobs: list[Job], own_process: bool) -> Outcomes:
    """Yield the outcome of each job, from a worker process or from this process."""

    def prepare() -> Segment:
        from .process_file import prepare

        return prepare(request.model, request.options, request.resume)

    segment: Callable[[Job], Outcome]
    if own_process:
        yield from in_worker(prepare, jobs)
    else:
        segment = prepare()
        yield from map(segment, jobs)


def _unprocessed(jobs: list[Job], outcomes: list[Outcome], first: str) -> list[Outcome]:
    """Return outcomes for the jobs without one: status ``first`` for the first job, `NOT_REACHED` for the others."""
    processed = {outcome.file for outcome in outcomes}
    unprocessed = [str(job.path) for job in jobs if str(job.path) not in processed]
    return [Outcome(path, NOT_REACHED if index else first) for index, path in enumerate(unprocessed)]


def _print_outcome(outcome: Outcome) -> None:
    """Print one line about an image."""
    if outcome.status == FAILED:
        complain(outcome.reason or "")
    else:
        duration = "already done" if outcome.status == SKIPPED else f"{outcome.seconds:.2f} s"
        summary = f"{outcome.cells} cells, diameter {outcome.diameter:.1f} px, {duration}"
        if outcome.verdict:
            summary += f", {outcome.verdict}"
        if outcome.reasons:
            summary += f": {'; '.join(outcome.reasons)}"
        print(printable(f"{Path(outcome.file).name}: {summary}"), flush=True)


def _print_summary(outcomes: list[Outcome], ending: str | None) -> None:
    """Print one line if the run ended early or if files failed."""
    count = Counter(outcome.status for outcome in outcomes)
    if ending:
        done = count[DONE] + count[SKIPPED]
        print(
            f"stopped by {ending}: {done} of {len(outcomes)} files are done; add --resume to continue.",
            file=sys.stderr,
        )
    elif count[FAILED]:
        print(f"{count[FAILED]} of {len(outcomes)} files failed; the errors are listed above.", file=sys.stderr)
