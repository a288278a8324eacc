"""The worker process: forked on Linux, which is quick, and started afresh on other systems.

The parent process imports none of the heavy packages, so that on Linux it can be forked safely. macOS' own libraries do
not survive a fork, and Windows has none.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Protocol

from ..errors import FlowmaskError
from ..options import in_command_words
from .jobs import Job
from .record import Advanced, Opened, Outcome
from .signals import HEEDED

Report = Callable[[Advanced], bool | None]
"""Gets the progress of an image from time to time; returns whether others have time to compute maps of it."""
Segment = Callable[[Job, Report], Iterator[Opened | Outcome]]
"""Segments one file: yields that it was opened, then the outcome of each frame; or one outcome. Raises no errors."""
KINDS: dict[str, type[Advanced | Opened | Outcome]] = {kind.__name__: kind for kind in (Advanced, Opened, Outcome)}
"""The records that a worker sends, by their names."""
FORK = sys.platform == "linux" and hasattr(os, "fork")
"""Whether a worker is forked."""
START = (
    "import json, sys; task = json.loads(sys.stdin.readline()); sys.path[:] = task['path']; import {0}; {0}.run(task)"
)
"""The program of a process that is started afresh; {0} is this module. Its standard input stays open for its life."""


@dataclass(frozen=True)
class Preparation:
    """A call that prepares a worker, by name, so that a new process can make it."""

    module: str
    function: str
    """Returns the function that segments a file."""
    arguments: Mapping[str, Any]
    """Keyword arguments, of values that JSON can store."""

    def __call__(self) -> Segment:
        segment: Segment = getattr(import_module(self.module), self.function)(**self.arguments)
        return segment


class Process(Protocol):
    """A running worker process."""

    results: IO[str]
    """Gives the lines that `_serve` sends."""

    def end(self) -> int:
        """End the process and return its exit code: negative, the number of a signal that ended it."""
        ...


def start(prepare: Callable[[], Segment], jobs: Sequence[Job]) -> Process:
    """Start a worker process that works on the jobs. Without fork, ``prepare`` must be a `Preparation`."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed or full: what it lost does not matter
            stream.flush()
    if FORK:
        return _Forked(prepare, jobs)
    if not isinstance(prepare, Preparation):
        raise TypeError(f"a process that is not forked cannot be given {prepare}")
    return _Spawned(prepare, jobs)


def set_up_logging() -> None:
    """Print warnings on stderr, but not those of decoders about harmless peculiarities of files that they can read."""
    handler = logging.StreamHandler()
    handler.setFormatter(_CommandWords("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for decoder in ("tifffile", "imagecodecs"):
        logging.getLogger(decoder).setLevel(logging.CRITICAL)


class _CommandWords(logging.Formatter):
    """Formats warnings in the words of the command line."""

    def format(self, record: logging.LogRecord) -> str:
        return in_command_words(super().format(record))


class _Forked:
    """A copy of this process."""

    def __init__(self, prepare: Callable[[], Segment], jobs: Iterable[Job]) -> None:
        results, results_end = os.pipe()
        # The worker ends itself when this pipe is closed, so it does not outlive the parent process.
        lifeline, self._lifeline_end = os.pipe()
        with _signals_blocked():
            self._pid = os.fork()
            if not self._pid:
                os.close(self._lifeline_end)
                _serve(prepare, jobs, results_end, lifeline)
        os.close(results_end)
        os.close(lifeline)
        self.results: IO[str] = open(results, encoding="ascii")  # noqa: SIM115 (closed by end)

    def end(self) -> int:
        os.kill(self._pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        os.close(self._lifeline_end)
        self.results.close()
        return code


class _Spawned:
    """A new process. Its standard input is the lifeline, and its standard output gives the results."""

    def __init__(self, prepare: Preparation, jobs: Iterable[Job]) -> None:
        import subprocess  # the others need not wait for this import

        plain = [{"path": str(job.path), "target": str(job.target), "frame": job.frame} for job in jobs]
        task = {"path": sys.path, "prepare": asdict(prepare), "jobs": plain}
        with _signals_blocked():
            self._process = subprocess.Popen(
                [sys.executable, "-c", START.format(__name__)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="ascii",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # on Windows: Ctrl-C is not for it
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.results: IO[str] = self._process.stdout
        with suppress(OSError):  # it ended already, as `results` tells
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()

    def end(self) -> int:
        self._process.kill()
        code = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(AttributeError, OSError):  # what was not sent does not matter any more
                stream.close()  # type: ignore[union-attr]
        return code


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Hold back signals in a new process until it ignores them; Windows has no such mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(task: Mapping[str, Any]) -> None:
    """Work on the jobs of a task in a process that was started afresh, and end the process."""
    results = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not be taken for results
    set_up_logging()
    jobs = [Job(Path(job["path"]), Path(job["target"]), job["frame"]) for job in task["jobs"]]
    _serve(Preparation(**task["prepare"]), jobs, results, 0)


def _serve(prepare: Callable[[], Segment], jobs: Iterable[Job], results_end: int, lifeline: int) -> None:
    """Work on the jobs in the worker process, send the outcomes, and end the process.

    The first line sent is null, or the name and message of the FlowmaskError that ``prepare`` raised; each further line
    is the name and the values of one of `KINDS`. All lines are JSON.
    """
    code = 1
    try:
        for number in HEEDED:
            signal.signal(number, signal.SIG_IGN)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
        # Numba imports scipy.linalg, which is slow and hangs if memory is short. The worker does not use it.
        sys.modules.setdefault("scipy.linalg", None)  # type: ignore[arg-type]
        try:
            segment = prepare()
        except FlowmaskError as error:
            _send(results_end, [type(error).__name__, str(error)])
        else:
            _send(results_end, None)
            for job in jobs:
                for message in segment(job, partial(_send_record, results_end)):
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
