"""Files worked on in a process of their own, so that one which takes it down costs the others nothing.

Decoders, the network's runtime and compiled code may crash, and the system kills what takes too much memory: none of
that is an exception. This process imports none of them, so forking it is quick and safe.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict

from .. import errors
from ..errors import FlowmaskError, RunError
from ..labels.paths import remove_partials
from .jobs import Job
from .record import FAILED, Outcome
from .signals import HEEDED

Segment = Callable[[Job], Outcome]


def in_worker(prepare: Callable[[], Segment], jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Yield the outcome of every job: what ``prepare()()`` returns for it in another process, or how that one died.

    After a death, or an outcome that is its process's last, a fresh process goes on with the next job. Raises what
    ``prepare`` raises, RunError when it dies. Once the consumer stops, so does the process, and no file is left half
    written.
    """
    left = deque(jobs)
    while left:
        died = True
        try:
            with _Worker(prepare, left) as worker:
                for outcome in worker.outcomes():
                    left.popleft()
                    yield outcome
                    if outcome.last:
                        died = False
                        break
        finally:
            for job in list(left)[:1]:
                with suppress(FlowmaskError):  # the next run that makes these labels says so
                    remove_partials(job.target)
        if left and died:
            job = left.popleft()
            yield Outcome(str(job.path), FAILED, f"{job.path}: {worker.obituary()}")


class _Worker:
    """A process that works on jobs, one after the other; a context manager, which ends it."""

    def __init__(self, prepare: Callable[[], Segment], jobs: Iterable[Job]) -> None:
        results, into = os.pipe()
        watched, self._held = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
        self._pid = os.fork()
        if not self._pid:
            os.close(self._held)
            _serve(prepare, jobs, into, watched)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(into)
        os.close(watched)
        self._results = open(results, encoding="ascii")  # noqa: SIM115 (closed by __exit__)
        self._exit_code = 0

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._exit_code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        os.close(self._held)
        self._results.close()

    def outcomes(self) -> Iterator[Outcome]:
        """Yield outcomes until the process ends. Raises what `prepare` raised there."""
        head = self._results.readline()
        if not head.endswith("\n"):
            raise RunError("the process that opens the network died; it may be damaged or too large: try another.")
        failure = json.loads(head)
        if failure:
            raise getattr(errors, failure[0])(failure[1])
        for line in self._results:
            if line.endswith("\n"):
                yield Outcome(**json.loads(line))

    def obituary(self) -> str:
        """Say, once it has ended, how the process died and what to do."""
        if self._exit_code == -signal.SIGKILL:
            return "the process that worked on it was killed, as happens when memory runs out; set --memory."
        if self._exit_code < 0:
            name = signal.Signals(-self._exit_code).name
            how = f"it made a decoder or the network crash ({name}): it is damaged, or memory ran out"
            return f"{how}; open and save it again, remove it, or give more memory."
        how = f"the process that worked on it ended (exit code {self._exit_code})"
        return f"{how}, as happens when memory runs out; give it more."


def _serve(prepare: Callable[[], Segment], jobs: Iterable[Job], into: int, watched: int) -> None:
    """Work on the jobs, say what became of each, and end this process."""
    code = 1
    try:
        for number in HEEDED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
        # This process does not use SciPy. Numba would import its linear algebra, which is slow, and hangs if memory is
        # short.
        sys.modules.setdefault("scipy.linalg", None)  # type: ignore[arg-type]
        try:
            segment = prepare()
        except FlowmaskError as error:
            _send(into, [type(error).__name__, str(error)])
        else:
            _send(into, None)
            for job in jobs:
                _send(into, asdict(segment(job)))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _send(into: int, message: object) -> None:
    with open(into, "w", encoding="ascii", closefd=False) as file:
        file.write(json.dumps(message) + "\n")


def _end_with(watched: int) -> None:
    """End this process when the one that started it ends: nothing is ever written to ``watched``."""
    os.read(watched, 1)
    os._exit(1)
