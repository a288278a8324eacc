"""Segment files in a worker process, so that a file that crashes the process does not stop the other files.

Decoders, ONNX Runtime and compiled code can crash, and the system kills a process that uses too much memory. Python
cannot catch either as an exception. The parent process does not import these libraries, so it can be forked quickly
and safely.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from .. import errors
from ..errors import FlowmaskError, RunError
from ..labels.paths import frame_path, remove_partials
from ..options import named
from .jobs import Job
from .record import Advanced, Opened, Outcome, failure
from .signals import HEEDED

Segment = Callable[[Job], Iterator[Opened | Outcome]]
"""Segments one file: yields that it was opened, then the outcome of each frame; or one outcome. Raises no errors."""
Report = Callable[[Advanced], object]
"""Gets the progress of an image from time to time."""
Prepare = Callable[[Report], Segment]
"""Opens the network and returns the function that segments files, which calls the report. Raises FlowmaskError."""


def in_worker(prepare: Prepare, jobs: Iterable[Job], report: Report = lambda _: None) -> Iterator[Outcome]:
    """Yield the outcomes of every job, segmented in a worker process.

    prepare: runs in the worker; report: is called in this process while the caller waits for an outcome. If the worker
    ends during a job, its present frame fails, and a new worker continues with the next one. A new worker also follows
    after an outcome that is `last`. Raises the FlowmaskError that ``prepare`` raises, and RunError if the worker ends
    during ``prepare``. When the generator is closed, the worker is killed and partial files are removed.
    """
    remaining = _Remaining(jobs)
    while remaining.jobs:
        died = True
        try:
            with _Worker(prepare, remaining.jobs) as worker:
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


KINDS: dict[str, type[Advanced | Opened | Outcome]] = {kind.__name__: kind for kind in (Advanced, Opened, Outcome)}
"""The records that a worker sends, by their names."""


class _Remaining:
    """The jobs that are not done, of which the first may be a series that is partly done."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs = deque(jobs)
        self.suffixes: Sequence[str] = ("",)
        """Those of the frames of the first job, once its file is opened."""

    @property
    def _suffix(self) -> str:
        return self.suffixes[self.jobs[0].frame] if len(self.suffixes) > 1 else self.suffixes[0]

    @property
    def target(self) -> Path:
        """The label file of the present frame."""
        return frame_path(self.jobs[0].target, self._suffix)

    def failed(self, reason: str) -> Outcome:
        """Return the outcome of the present frame, which failed."""
        return failure(self.jobs[0].path, reason, self._suffix.strip("_") or None, len(self.suffixes))

    def advance(self) -> None:
        """Go on to the next frame, or to the next job."""
        job = self.jobs.popleft()
        if job.frame + 1 < len(self.suffixes):
            self.jobs.appendleft(replace(job, frame=job.frame + 1))
        else:
            self.suffixes = ("",)


class _Worker:
    """A process that works on jobs one after the other; a context manager that kills it at the end."""

    def __init__(self, prepare: Prepare, jobs: Iterable[Job]) -> None:
        results, results_end = os.pipe()
        # The worker ends itself when this pipe is closed, so it does not outlive the parent process.
        lifeline, self._lifeline_end = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # closed or full: what it lost does not matter
                stream.flush()
        mask_before = signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
        self._pid = os.fork()
        if not self._pid:
            os.close(self._lifeline_end)
            _serve(prepare, jobs, results_end, lifeline)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask_before)
        os.close(results_end)
        os.close(lifeline)
        self._results = open(results, encoding="ascii")  # noqa: SIM115 (closed by __exit__)
        self._exit_code = 0

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._exit_code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        os.close(self._lifeline_end)
        self._results.close()

    def messages(self) -> Iterator[Advanced | Opened | Outcome]:
        """Yield messages until the process ends. Raises the FlowmaskError that ``prepare`` raised in the process."""
        first_line = self._results.readline()
        if not first_line.endswith("\n"):
            raise RunError(
                "the worker process ended while it opened the network, which may be damaged or too large; choose "
                f"another with {named('network')}."
            )
        failure = json.loads(first_line)
        if failure:
            error_name, message = failure
            raise getattr(errors, error_name)(message)
        for line in self._results:
            if line.endswith("\n"):
                kind, values = json.loads(line)
                yield KINDS[kind](**values)

    def cause_of_death(self) -> str:
        """Return why the process ended early and what to do, as an error message; call it after the context."""
        if self._exit_code == -signal.SIGKILL:
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


def _serve(prepare: Prepare, jobs: Iterable[Job], results_end: int, lifeline: int) -> None:
    """Work on the jobs in the worker process, send the outcome of each, and end the process.

    The first line sent is null, or the name and message of the FlowmaskError that ``prepare`` raised; each further line
    is the name and the values of one of `KINDS`. All lines are JSON.
    """
    code = 1
    try:
        for number in HEEDED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
        # Numba imports scipy.linalg, which is slow and hangs if memory is short. The worker does not use it.
        sys.modules.setdefault("scipy.linalg", None)  # type: ignore[arg-type]
        try:
            segment = prepare(partial(_send_record, results_end))
        except FlowmaskError as error:
            _send(results_end, [type(error).__name__, str(error)])
        else:
            _send(results_end, None)
            for job in jobs:
                for message in segment(job):
                    _send_record(results_end, message)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _send_record(results_end: int, record: Advanced | Opened | Outcome) -> None:
    """Write a record to the parent process."""
    _send(results_end, [type(record).__name__, asdict(record)])


def _send(results_end: int, message: object) -> None:
    """Write one line of JSON to the parent process."""
    with open(results_end, "w", encoding="ascii", closefd=False) as file:
        file.write(json.dumps(message) + "\n")


def _end_with_parent(lifeline: int) -> None:
    """End this process when the parent process ends: nothing is written to the pipe, so reading waits for its end."""
    os.read(lifeline, 1)
    os._exit(1)
