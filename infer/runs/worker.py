"""Segment files in a worker process, so that a file that crashes the process does not stop the other files.

Decoders, ONNX Runtime and compiled code can crash, and the system kills a process that uses too much memory. Python
cannot catch either as an exception.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress

from .. import errors
from ..errors import FlowmaskError, RunError
from ..labels.paths import remove_partials
from ..options import named
from .jobs import Job
from .process import KINDS, Report, Segment, start
from .record import Advanced, Opened, Outcome
from .remaining import Remaining

KILLED = -9
"""Exit code of a process that was ended by SIGKILL, as Linux does when memory runs out."""


def in_worker(
    prepare: Callable[[], Segment], jobs: Iterable[Job], report: Report = lambda _: None
) -> Generator[Outcome]:
    """Yield the outcomes of every job, segmented in a worker process.

    prepare: runs in the worker and returns the function that segments a file; report: gets the progress, in this
    process, while the caller waits for an outcome. If the worker ends during a job, its present frame fails, and a new
    worker continues with the next one. A new worker also follows after an outcome that is `last`. Raises the
    FlowmaskError that ``prepare`` raises, and RunError if the worker ends during ``prepare``. When the generator is
    closed, the worker is killed and partial files are removed.
    """
    remaining = Remaining(jobs)
    while remaining.jobs:
        died = True
        try:
            with _Worker(prepare, list(remaining.jobs)) as worker:
                for message in worker.messages():
                    if isinstance(message, Advanced):
                        report(message)
                        continue
                    if isinstance(message, Opened):
                        remaining.suffixes = message.suffixes
                        continue
                    remaining.advance()
                    yield message
                    if message.last:
                        died = False
                        break
        finally:
            if remaining.jobs:
                with suppress(FlowmaskError):  # the next run reports it when it writes the same label file
                    remove_partials(remaining.target)
        if remaining.jobs and died:
            outcome = remaining.failed(worker.cause_of_death())
            remaining.advance()
            yield outcome


class _Worker:
    """A process that works on jobs one after the other; a context manager that kills it at the end."""

    def __init__(self, prepare: Callable[[], Segment], jobs: Sequence[Job]) -> None:
        self._process = start(prepare, jobs)
        self._exit_code = 0

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_code = self._process.end()

    def messages(self) -> Iterator[Advanced | Opened | Outcome]:
        """Yield messages until the process ends. Raises the FlowmaskError that ``prepare`` raised in the process."""
        first_line = self._process.results.readline()
        if not first_line.endswith("\n"):
            raise RunError(
                "the worker process ended while it opened the network, which may be damaged or too large; choose "
                f"another with {named('network')}."
            )
        failure = json.loads(first_line)
        if failure:
            error_name, message = failure
            raise getattr(errors, error_name)(message)
        for line in self._process.results:
            if line.endswith("\n"):
                kind, values = json.loads(line)
                yield KINDS[kind](**values)

    def cause_of_death(self) -> str:
        """Return why the process ended early and what to do, as an error message; call it after the context."""
        if self._exit_code == KILLED:
            return f"the worker process was killed, probably because memory ran out; set a smaller {named('memory')}."
        if self._exit_code < 0:
            name = signal.Signals(-self._exit_code).name
            return (
                f"the worker process crashed ({name}), because the file is damaged or memory ran out; save the file "
                "again, remove it, or use a machine with more memory."
            )
        return (
            f"the worker process ended (exit code {self._exit_code}), probably because memory ran out; use a machine "
            "with more memory."
        )
