"""A run over many files: segment each one, print a line about it, write the record, and return the exit code."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from ..errors import FlowmaskError, printable
from ..options import Options, in_command_words
from ..system.atomic_write import make_folder
from .jobs import Job, find_images, plan
from .process import Preparation, set_up_logging
from .record import DONE, FAILED, INTERRUPTED, NOT_REACHED, SKIPPED, Outcome, make_room, write_record
from .signals import Stopped, stoppable
from .worker import in_worker

MOST_NAMED = 5
"""Files that are no images and that the line about them names."""
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
    set_up_logging()
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


def say(text: str, stream: TextIO | None) -> None:
    """Print one line. If the stream is closed or full, the line is lost and the run goes on: labels are in files.

    >>> say("two\\nlines.tif: 7 cells", sys.stdout)
    two\\nlines.tif: 7 cells
    """
    if stream is None:
        return
    try:
        print(printable(text), file=stream, flush=True)
    except (OSError, ValueError):
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Connect a stream that failed to the null device, so that Python can flush it when it exits."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def complain(reason: str) -> None:
    """Print one error message on stderr, in the words of the command line."""
    say(f"error: {in_command_words(reason)}", sys.stderr)


def _in_command_words(outcome: Outcome) -> Outcome:
    """Return an outcome whose messages are in the words of the command line."""
    reason, fallback = (text and in_command_words(text) for text in (outcome.reason, outcome.fallback))
    notes, warnings = (tuple(map(in_command_words, said)) for said in (outcome.notes, outcome.warnings))
    return replace(outcome, reason=reason, fallback=fallback, notes=notes, warnings=warnings)


def _finish(make_request: Callable[[], Request], outcomes: list[Outcome], own_process: bool) -> tuple[int, str | None]:
    """Process all files; return the exit code and the reason for an early end, or None."""
    try:
        return _process(make_request(), outcomes, own_process)
    except Stopped as stop:
        say(f"stopped by {stop}.", sys.stderr)
        return stop.exit_code, str(stop)
    except FlowmaskError as error:
        complain(str(error))
        return WRONG_USAGE, in_command_words(str(error))


def _process(request: Request, outcomes: list[Outcome], own_process: bool) -> tuple[int, str | None]:
    """Segment all images and add their outcomes to ``outcomes``; a failed image does not affect the others.

    Returns the exit code, and the reason if the run ended before all images were processed, otherwise None.
    """
    paths, others = find_images(request.inputs, request.output)
    jobs, conflicts = plan(paths, request.output, request.options.output.ids == "challenge")
    _print_skipped(others)
    make_folder(request.output)
    code, ending = ALL_DONE, None
    try:
        with closing(_segmented(request, jobs, own_process)) as segmented:
            for outcome in map(_in_command_words, chain(conflicts, segmented)):
                _print_outcome(outcome, outcomes[-1] if outcomes else None)
                outcomes.append(outcome)
                if outcome.status == FAILED:
                    code = SOME_FAILED
                    if request.strict:
                        ending = "--strict"
                        break
    except Stopped as stop:
        code, ending = stop.exit_code, str(stop)
    if ending:
        outcomes += _unprocessed(jobs, outcomes, INTERRUPTED if code != SOME_FAILED else NOT_REACHED)
    if "table" in request.options.output.save:
        _write_folder_table(request.output, outcomes)
    _print_summary(outcomes, ending, request.output)
    return code, ending


def _write_folder_table(output: Path, outcomes: list[Outcome]) -> None:
    """Write one table of the cells of all finished images into the output folder."""
    from ..outputs.folder import NAME, write_folder_table
    from ..outputs.table import ENDING

    tables = [
        (" ".join(filter(None, (Path(outcome.file).name, outcome.frame))), Path(path))
        for outcome in outcomes
        for path in outcome.outputs
        if path.endswith(ENDING)
    ]
    write_folder_table(output / NAME, tables)


def _segmented(request: Request, jobs: list[Job], own_process: bool) -> Outcomes:
    """Yield the outcomes of each job, from a worker process or from this process."""

    arguments = {
        "model": str(request.model),
        "options": asdict(request.options),
        "resume": request.resume,
        "targets": [str(job.target) for job in jobs],
    }
    prepare = Preparation(f"{__package__}.process_file", "prepare_from", arguments)
    if own_process:
        yield from in_worker(prepare, jobs)
    else:
        segment = prepare()
        for job in jobs:
            yield from (message for message in segment(job) if isinstance(message, Outcome))


def _unprocessed(jobs: list[Job], outcomes: list[Outcome], first: str) -> list[Outcome]:
    """Return outcomes for the jobs that are not done: status ``first`` for the first, `NOT_REACHED` for the others.

    A series is done when there is an outcome for each of its frames.
    """
    processed = Counter(outcome.file for outcome in outcomes)
    frames = {outcome.file: outcome.frames for outcome in outcomes}
    unprocessed = [str(job.path) for job in jobs if processed[str(job.path)] < frames.get(str(job.path), 1)]
    return [Outcome(path, NOT_REACHED if index else first) for index, path in enumerate(unprocessed)]


def _print_outcome(outcome: Outcome, before: Outcome | None) -> None:
    """Print one line about an image, and its notes unless ``before``, a frame of the same file, has the same notes."""
    if outcome.status == FAILED:
        complain(outcome.reason or "")
    else:
        duration = "already done" if outcome.status == SKIPPED else f"{outcome.seconds:.2f} s"
        summary = f"{outcome.cells} cells, diameter {outcome.diameter:.1f} px, {duration}"
        if outcome.verdict:
            summary += f", {outcome.verdict}"
        if outcome.reasons:
            summary += f": {'; '.join(outcome.reasons)}"
        name = " ".join(filter(None, (Path(outcome.file).name, outcome.frame)))
        say(f"{name}: {summary}", sys.stdout)
        repeated = before is not None and (before.file, before.notes) == (outcome.file, outcome.notes)
        for note in () if repeated else outcome.notes:
            say(f"note: {name}: {note}", sys.stderr)
        for warning in outcome.warnings:
            say(f"warning: {name}: {warning}", sys.stderr)


def _print_skipped(files: list[Path]) -> None:
    """Print one line about files in folders that are no images."""
    if files:
        shown = ", ".join(file.name for file in files[:MOST_NAMED]) + (", ..." if len(files) > MOST_NAMED else "")
        plural = "file that is no image was" if len(files) == 1 else "files that are no images were"
        say(f"{len(files)} {plural} skipped: {shown}", sys.stderr)


def _print_summary(outcomes: list[Outcome], ending: str | None, output: Path) -> None:
    """Print the last line of a run: what failed, how it ended, or where the labels are."""
    count = Counter(outcome.status for outcome in outcomes)
    if ending:
        done = count[DONE] + count[SKIPPED]
        say(f"stopped by {ending}: {done} of {len(outcomes)} files are done; add --resume to continue.", sys.stderr)
    elif count[FAILED]:
        say(f"{count[FAILED]} of {len(outcomes)} files failed; the errors are listed above.", sys.stderr)
    else:
        cells = sum(outcome.cells or 0 for outcome in outcomes)
        say(f"{len(outcomes)} image{'s' * (len(outcomes) != 1)}, {cells} cells; the labels are in {output}", sys.stderr)
