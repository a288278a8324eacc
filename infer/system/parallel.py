"""Work on many rows or cells, shared out to threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap


def in_parallel(count: int, size: int, threads: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(first, last)`` for bands of ``size`` that make up 0 to ``count``, in ``threads`` threads.

    Raises what ``work`` raises, MemoryError where a thread cannot be started.
    """
    bands = [(first, min(first + size, count)) for first in range(0, count, size)]
    if threads == 1 or len(bands) < 2:
        for _ in starmap(work, bands):
            pass
        return
    with ThreadPoolExecutor(min(threads, len(bands))) as pool:
        try:
            done = pool.map(work, *zip(*bands, strict=True))
        except RuntimeError as error:
            raise MemoryError("there is no room for another thread") from error
        for _ in done:
            pass
