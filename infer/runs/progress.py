"""A progress bar on a terminal, nothing anywhere else."""

from __future__ import annotations

import math
import sys
import time

from ..errors import printable

WIDTH = 30
INTERVAL = 0.1


class ProgressBar:
    """One line on stderr for one image: name, bar, percentage, time left."""

    def __init__(self, name: str) -> None:
        self._name, self._shown = printable(name), sys.stderr.isatty()
        self._drawn = 0.0
        self._first: tuple[float, float] | None = None
        """Time and fraction when it was first told: what a run that goes on found done says nothing of its speed."""

    def __call__(self, fraction: float) -> None:
        now = time.monotonic()
        begun, before = self._first = self._first or (now, fraction)
        if self._shown and (now - self._drawn > INTERVAL or fraction == 1):
            self._drawn = now
            left = (now - begun) * (1 - fraction) / (fraction - before) if fraction > before else math.inf
            bar = "#" * round(WIDTH * fraction)
            ahead = f"{left:4.0f} s left" if left < math.inf else ""
            print(
                f"\r{self._name} [{bar:<{WIDTH}}] {fraction:4.0%} {ahead}",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
