"""Turn SIGTERM and Ctrl-C (SIGINT) into an exception, so that a run can clean up and write its record."""

from __future__ import annotations

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
    """A context in which the first SIGTERM or SIGINT raises Stopped in the main thread; later ones are ignored.

    The value of the context is a function; after a call of it both signals are ignored until the end of the context. A
    signal that is ignored at the start stays ignored, such as Ctrl-C for a job in the background of a shell.

    >>> try:
    ...     with stoppable():
    ...         signal.raise_signal(signal.SIGTERM)
    ... except Stopped as stopped:
    ...     stopped.exit_code
    143
    """
    before = {number: signal.getsignal(number) for number in HEEDED}
    heeded = [number for number in HEEDED if before[number] is not signal.SIG_IGN]

    def ignore() -> None:
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)

    def stop(number: int, _: FrameType | None) -> None:
        ignore()
        raise Stopped(number)

    for number in heeded:
        signal.signal(number, stop)
    try:
        yield ignore
    finally:
        for number in heeded:
            signal.signal(number, before[number])
