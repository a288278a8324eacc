"""Turn SIGTERM and Ctrl-C (SIGINT) into an exception, so that a run can clean up and write its record.

A second signal ends the process at once, without a record: the next run removes what is half written.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HEEDED = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """Raised at a signal to end the run. A BaseException, so that ``except Exception`` around a file lets it pass."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        """128 plus the number of the signal, as in shells: 143 for SIGTERM, 130 for Ctrl-C."""


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """A context in which the first SIGTERM or SIGINT raises Stopped in the main thread; a second one ends the process.

    The value of the context is a function; after a call of it the first signal raises nothing until the end of the
    context. A signal that is ignored at the start stays ignored, such as Ctrl-C for a job in the background of a shell.

    >>> try:
    ...     with stoppable():
    ...         signal.raise_signal(signal.SIGTERM)
    ... except Stopped as stopped:
    ...     stopped.exit_code
    143
    """
    before = {number: signal.getsignal(number) for number in HEEDED}
    heeded = [number for number in HEEDED if before[number] is not signal.SIG_IGN]

    came = closing = False

    def close() -> None:
        nonlocal closing
        closing = True

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal came
        if came:
            os._exit(128 + number)  # worker processes end with this one
        came = True
        if not closing:
            raise Stopped(number)

    for number in heeded:
        signal.signal(number, stop)
    try:
        yield close
    finally:
        for number in heeded:
            signal.signal(number, before[number])
