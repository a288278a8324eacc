"""A run over many files: segment each one, print a line about it, write the record, and return the exit code."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import FlowmaskError
from ..options import Options, in_command_words
from ..system.atomic_write import make_folder
from .jobs import Job, find_images, plan
from .page import NAME as PAGE
from .page import check_free, write_report
from .process import Preparation, Report, set_up_logging
from .record import FAILED, INTERRUPTED, NOT_REACHED, Outcome, make_room, run_record, write_record
from .screen import complain, say
from .signals import Stopped, stoppable
from .words import NORMAL, QUIET, Words
from .worker import in_worker

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
    models: Sequence[Path]
    """Network files: one, or several whose maps are averaged."""
    options: Options
    resume: bool = False
    """Skip images with finished labels, and continue an interrupted image from its cached maps."""
    strict: bool = False
    """Stop at the first image that fails."""
    words: str = NORMAL
    """How much is printed: `flowmask.runs.words.QUIET`, `NORMAL` or `VERBOSE`."""


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
        return _write_about_the_run(record, begun, arguments, outcomes, code, ending)


def _write_about_the_run(
    path: Path | None,
    begun: datetime,
    arguments: Mapping[str, Any],
    outcomes: list[Outcome],
    code: int,
    ending: str | None,
) -> int:
    """Write the report and the record of a run as far as they were asked for, and return the exit code."""
    report = bool(outcomes) and "report" in arguments["save"]
    record = run_record(begun, arguments, outcomes, code, ending) if path or report else {}
    try:
        if report:
            written = write_report(arguments["output"], record)
            if arguments["words"] != QUIET:
                say(f"the report is {written}", sys.stderr)
    except FlowmaskError as error:
        complain(str(error))
        record["exit_code"] = code = code or SOME_FAILED
    try:
        if path:
            write_record(path, record)
    except FlowmaskError as error:
        complain(str(error))
        code = code or SOME_FAILED
    return code


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
    make_folder(request.output)
    if "report" in request.options.output.save:
        check_free(request.output / PAGE)
    words = Words(request.words, request.output, [job.path for job in jobs], others)
    code, ending = ALL_DONE, None
    try:
        with words, closing(_segmented(request, jobs, own_process, words.progress)) as segmented:
            for outcome in map(_in_command_words, chain(conflicts, segmented)):
                words.outcome(outcome)
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
    words.summary(outcomes, ending)
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


def _segmented(request: Request, jobs: list[Job], own_process: bool, report: Report) -> Outcomes:
    """Yield the outcomes of each job, from a worker process or from this process; ``report`` gets the progress."""

    arguments = {
        "models": [str(path) for path in request.models],
        "options": asdict(request.options),
        "resume": request.resume,
        "targets": [str(job.target) for job in jobs],
    }
    prepare = Preparation(f"{__package__}.process_file", "prepare_from", arguments)
    if own_process:
        yield from in_worker(prepare, jobs, report)
    else:
        segment = prepare()
        for job in jobs:
            yield from (message for message in segment(job, report) if isinstance(message, Outcome))


def _unprocessed(jobs: list[Job], outcomes: list[Outcome], first: str) -> list[Outcome]:
    """Return outcomes for the jobs that are not done: status ``first`` for the first, `NOT_REACHED` for the others.

    A series is done when there is an outcome for each of its frames.
    """
    processed = Counter(outcome.file for outcome in outcomes)
    frames = {outcome.file: outcome.frames for outcome in outcomes}
    unprocessed = [str(job.path) for job in jobs if processed[str(job.path)] < frames.get(str(job.path), 1)]
    return [Outcome(path, NOT_REACHED if index else first) for index, path in enumerate(unprocessed)]
