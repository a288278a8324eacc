"""The progress of the image at work, on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..errors import printable
from ..images.file_type import image_name
from .record import Advanced
from .screen import say

if TYPE_CHECKING:
    from tqdm import tqdm

INTERVAL = 30.0
"""Seconds between two lines about one image where stderr is not a terminal."""
NAME = 32
"""Most characters of a file name in front of the bar, so that the bar fits into 80 columns."""
COLUMNS = 80
"""Columns of a terminal that does not say how wide it is."""
BAR = "{desc} {percentage:3.0f}% |{bar}| {remaining} left"


def shortened(name: str, length: int = NAME) -> str:
    """Return a name of at most ``length`` characters, with dots for its middle.

    >>> shortened("a_long_name_of_an_image.tif", 15)
    'a_long...ge.tif'
    """
    if len(name) <= length:
        return name
    start = (length - 3) // 2
    return f"{name[:start]}...{name[len(name) - (length - 3 - start) :]}"


class ProgressDisplay:
    """Shows the progress of the image at work: a bar on a terminal, elsewhere a line every `INTERVAL` seconds."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._numbers = {str(file): number for number, file in enumerate(files, start=1)}
        self._stream = sys.stderr
        self._terminal = bool(self._stream and self._stream.isatty())
        self._bar: tqdm[None] | None = None
        self._title = ""
        self._printed = time.monotonic()
        self._draw("opening the network", 0.0)

    def __call__(self, at: Advanced) -> None:
        """Show how far the work on an image has come."""
        name = shortened(" ".join(filter(None, (image_name(Path(at.file)), at.frame))))
        title = f"[{self._numbers[at.file]}/{len(self._numbers)}] {name}"
        if self._terminal:
            self._draw(title, at.fraction)
        elif time.monotonic() - self._printed >= INTERVAL:
            self._printed = time.monotonic()
            say(f"{title}: {at.fraction:.0%}", self._stream)

    def clear(self) -> None:
        """Erase the bar, so that a line can be printed."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with suppress(OSError, ValueError):
                bar.close()

    def _draw(self, title: str, fraction: float) -> None:
        """Draw the bar; a terminal that fails gets no more of it."""
        if not self._terminal:
            return
        try:
            if self._bar is None or title != self._title:
                self.clear()
                self._title, self._bar = title, _new_bar(title, self._stream)
            if self._bar.n == 0:  # what an interrupted run has done before does not count for the time left
                self._bar.initial, self._bar.start_t = fraction, time.time()
                self._bar.last_print_t = self._bar.start_t  # otherwise tqdm does not erase the bar
            self._bar.n, self._bar.ncols = fraction, _columns(self._stream)
            self._bar.refresh()
        except (OSError, ValueError):
            self._terminal = False


def _columns(stream: TextIO) -> int:
    """Return the characters that fit into a line of a terminal; `COLUMNS` if it does not say so."""
    try:
        return (os.get_terminal_size(stream.fileno()).columns or COLUMNS) - 1
    except (OSError, ValueError):
        return COLUMNS - 1


def _new_bar(title: str, stream: TextIO) -> tqdm[None]:
    from threading import RLock

    from tqdm import tqdm

    tqdm.set_lock(RLock())  # its own lock is shared between processes, which needs shared memory
    tqdm.monitor_interval = 0  # no thread, which a fork of this process would not survive
    return tqdm(
        total=1.0,
        desc=printable(title),
        bar_format=BAR,
        leave=False,
        file=stream,
        ncols=_columns(stream),
        nrows=20,  # a terminal that does not say how high it is shows the bar too
        smoothing=0,
    )
