"""A progress bar for one image, drawn only if stderr is a terminal."""

from __future__ import annotations

import math
import sys
import time

from ..errors import printable

WIDTH = 30
"""Characters of the bar."""
INTERVAL = 0.1
"""Least time in seconds between two updates."""


class ProgressBar:
    """One line on stderr for one image: name, bar, percentage, time left."""

    def __init__(self, name: str) -> None:
        self._name, self._shown = printable(name), bool(sys.stderr and sys.stderr.isatty())
        self._drawn = 0.0
        self._start: tuple[float, float] | None = None
        """Time and fraction at the first call. With --resume this fraction can be above 0: the cached part."""

    def __call__(self, fraction: float) -> None:
        """Show the finished fraction of the image, from 0 to 1."""
        now = time.monotonic()
        start_time, start_fraction = self._start = self._start or (now, fraction)
        if self._shown and (now - self._drawn > INTERVAL or fraction == 1):
            self._drawn = now
            progress = fraction - start_fraction
            seconds_left = (now - start_time) * (1 - fraction) / progress if progress > 0 else math.inf
            bar = "#" * round(WIDTH * fraction)
            time_left = f"{seconds_left:4.0f} s left" if seconds_left < math.inf else ""
            print(
                f"\r{self._name} [{bar:<{WIDTH}}] {fraction:4.0%} {time_left}",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Erase the line."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
