"""A bar with the time left for every phase."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS = 30.0
"""Time between two lines where stderr is no terminal."""


def bar(things: Iterable[T], phase: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield the things; stderr shows the phase, how many are done and the time left.

    >>> list(bar([1, 2], "reading", "image"))
    [1, 2]
    """
    yield from tqdm(
        things, desc=phase.ljust(14), unit=unit, total=total, mininterval=0.2 if sys.stderr.isatty() else SECONDS
    )
