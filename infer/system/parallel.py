"""Share work on many rows or cells among threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap


def in_parallel(count: int, size: int, threads: int, work: Callable[[int, int], None]) -> None:
    """Cut ``range(count)`` into bands of ``size`` and call ``work(first, last)`` for each, in ``threads`` threads.

    The last band may be shorter; ``last`` is excluded. Raises the exceptions of ``work``, and MemoryError when a thread
    cannot be started.

    >>> in_parallel(5, 2, 1, lambda first, last: print(first, last))
    0 2
    2 4
    4 5
    """
    bands = [(first, min(first + size, count)) for first in range(0, count, size)]
    if threads == 1 or len(bands) < 2:
        for _ in starmap(work, bands):
            pass
        return
    with ThreadPoolExecutor(min(threads, len(bands))) as pool:
        try:
            results = pool.map(work, *zip(*bands, strict=True))
        except RuntimeError as error:
            raise MemoryError("another thread cannot be started") from error
        for _ in results:  # raises the first exception of a band
            pass
