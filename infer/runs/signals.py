"""SIGTERM and Ctrl-C as an exception, so that a run ends tidily."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HEEDED = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """The run is to end. No Exception: what outlives a bad file must not outlive this."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        """What a shell says of a command that a signal has ended: 143 for SIGTERM, 130 for Ctrl-C."""


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """Raise Stopped, in the main thread, at the first SIGTERM or SIGINT; ignore those after it until the end.

    Gives a function that ignores them from then on. A signal that is ignored at the start, as Ctrl-C is for a job in
    the background, stays so.
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
