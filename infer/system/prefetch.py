"""Work that goes on while its results are used."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from queue import Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 2


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, which a thread makes up to `DEPTH` ahead; what it raises is raised here.

    Once the consumer stops, the thread ends at its next item. Raises MemoryError when there is no room for a thread.
    """
    queue: Queue[tuple[str, Item | BaseException | None]] = Queue(DEPTH)
    stopped = Event()

    def make() -> None:
        try:
            with _closing(items):
                for item in items:
                    queue.put(("item", item))
                    if stopped.is_set():
                        return
            queue.put(("end", None))
        except BaseException as error:  # whatever it is, the consumer raises it
            queue.put(("error", error))

    thread = Thread(target=make, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # Python says no more than that it cannot
        raise MemoryError("no room for a thread") from error
    got: tuple[str, Item | BaseException | None] = "begin", None
    try:
        while (kind := (got := queue.get())[0]) == "item":
            yield got[1]  # type: ignore[misc]
        if kind == "error":
            raise got[1]  # type: ignore[misc]
    finally:
        # An error holds this frame by its traceback: were it held here, only the garbage collector would end both.
        del got
        stopped.set()
        while thread.is_alive():
            _emptied(queue)
            thread.join(0.05)


def _closing(items: Iterable[Item]) -> AbstractContextManager[object]:
    """End a generator, and what it waits for, in the thread that ran it."""
    return closing(items) if isinstance(items, Generator) else nullcontext()


def _emptied(queue: Queue[tuple[str, Item | BaseException | None]]) -> None:
    """Take what is waiting, so that a thread which waits for room can go on."""
    while not queue.empty():
        queue.get()
