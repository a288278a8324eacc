"""A progress bar on a terminal, nothing anywhere else."""

from __future__ import annotations

import sys
import time

WIDTH = 30
INTERVAL = 0.1


class ProgressBar:
    """One line on stderr for one image: name, bar, percentage, time left."""

    def __init__(self, name: str) -> None:
        self._name, self._shown = name, sys.stderr.isatty()
        self._begun = self._drawn = time.monotonic()

    def __call__(self, fraction: float) -> None:
        now = time.monotonic()
        if self._shown and (now - self._drawn > INTERVAL or fraction == 1):
            self._drawn = now
            left = (now - self._begun) * (1 - fraction) / fraction
            bar = "#" * round(WIDTH * fraction)
            print(
                f"\r{self._name} [{bar:<{WIDTH}}] {fraction:4.0%} {left:4.0f} s left",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
