"""A run over many files: segment each one, print a line about it, write the record, and return the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import FlowmaskError
from ..options import in_command_words
from .executor import Executor, ExecutorLost
from .messages import QUIET, Messages
from .page import NAME as PAGE
from .page import write_report
from .process import set_up_logging
from .record import FAILED, INTERRUPTED, NOT_REACHED, Outcome, make_room, run_record, write_record
from .request import Request, Work, in_order, list_work, save_folder_table, segmented, unprocessed
from .screen import complain, say
from .shard import Shard, in_shard
from .signals import Stopped, stoppable

ALL_DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2
"""Exit codes."""
FOLDER = "an output folder that cannot be written"
"""What ended a run whose disk is full, for example."""


def run(
    make_request: Callable[[], Request],
    record: Path | None,
    arguments: Mapping[str, Any],
    execute: Executor,
    shard: Shard | None = None,
) -> int:
    """Segment all images of a request, write the record, and return the exit code.

    make_request: returns the request; a FlowmaskError that it raises is printed and ends the run. record: JSON file
    about the run, or None for no record; arguments: the options of the command line with their values, for the record.
    execute: segments the images; with `flowmask.runs.worker.in_worker` the calling process must have imported only
    what `flowmask.cli` imports. shard: the one of the request; the record and the report have it in their names.
    """
    set_up_logging()
    begun = datetime.now(UTC)
    outcomes: list[Outcome] = []
    record = record and in_shard(record, shard)
    with stoppable() as close:
        try:
            if record:
                make_room(record)
        except FlowmaskError as error:
            complain(str(error))
            return WRONG_USAGE
        code, ending = _finish(make_request, outcomes, execute)
        close()
        page = in_shard(Path(arguments["output"], PAGE), shard)
        return _write_about_the_run(record, page, begun, arguments, outcomes, code, ending)


def _write_about_the_run(
    path: Path | None,
    page: Path,
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
            write_report(page, record)
            if arguments["verbosity"] != QUIET:
                say(f"the report is {page}", sys.stderr)
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
    notes, warnings = (tuple(map(in_command_words, sentences)) for sentences in (outcome.notes, outcome.warnings))
    return replace(outcome, reason=reason, fallback=fallback, notes=notes, warnings=warnings)


def _finish(make_request: Callable[[], Request], outcomes: list[Outcome], execute: Executor) -> tuple[int, str | None]:
    """Process all files; return the exit code and the reason for an early end, or None."""
    try:
        request = make_request()
        return _process(request, list_work(request), outcomes, execute)
    except Stopped as stop:
        say(f"stopped by {stop}.", sys.stderr)
        return stop.exit_code, str(stop)
    except FlowmaskError as error:
        complain(str(error))
        return WRONG_USAGE, in_command_words(str(error))


def _process(request: Request, work: Work, outcomes: list[Outcome], execute: Executor) -> tuple[int, str | None]:
    """Segment all images and add their outcomes to ``outcomes``; a failed image does not affect the others.

    Returns the exit code, and the reason if the run ended before all images were processed, otherwise None.
    """
    messages = _messages(request, work)
    code, ending = ALL_DONE, None
    try:
        with messages, closing(segmented(request, work, execute, messages.progress)) as found:
            for outcome in map(_in_command_words, found):
                outcomes.append(outcome)  # first, so that it counts if a signal comes while its line is printed
                messages.outcome(outcome)
                if outcome.status == FAILED:
                    code = SOME_FAILED
                    ending = FOLDER if outcome.ends_run else "--strict" if request.strict else None
                    if ending:
                        break
    except Stopped as stop:
        code, ending = stop.exit_code, str(stop)
    except ExecutorLost as error:
        complain(str(error))
        code, ending = SOME_FAILED, "a lost connection"
    outcomes[:] = in_order(outcomes, work)
    if ending:
        outcomes += unprocessed(work.jobs, outcomes, INTERRUPTED if code != SOME_FAILED else NOT_REACHED)
    try:
        save_folder_table(request, outcomes)
    except FlowmaskError as error:
        complain(str(error))
        code = code or SOME_FAILED
    messages.summary(outcomes, ending)
    return code, ending


def _messages(request: Request, work: Work) -> Messages:
    """Return what prints the lines of a run."""
    whole = f"shard {request.shard} of {work.images} images" if request.shard else None
    files = [job.path for job in work.jobs]
    return Messages(request.verbosity, request.output, files, work.others, work.below, whole)
