"""Compute the next items in a thread while the current one is used."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from queue import Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
Messages = Queue[tuple[str, Item | BaseException | None]]
"""("item", an item), ("end", None) or ("error", an exception)."""
DEPTH = 2
"""How many finished items wait at most for the consumer."""


def prefetch(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield the items in their order while a thread computes up to `DEPTH` items ahead.

    An exception of ``items`` is raised here. When the consumer stops, the thread ends after its current item. Raises
    MemoryError when the thread cannot be started.

    >>> list(prefetch(number**2 for number in range(4)))
    [0, 1, 4, 9]
    """
    queue: Messages[Item] = Queue(DEPTH)
    stopped = Event()
    thread = Thread(target=_produce, args=(items, queue, stopped), daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # Python gives no other reason for a thread that cannot start
        raise MemoryError("a thread cannot be started") from error
    message: tuple[str, Item | BaseException | None] = "begin", None
    try:
        while (kind := (message := queue.get())[0]) == "item":
            yield message[1]  # type: ignore[misc]
        if kind == "error":
            raise message[1]  # type: ignore[misc]
    finally:
        # The traceback of an error refers to this frame. Without `del` the two would refer to each other, and only the
        # garbage collector would free them.
        del message
        stopped.set()
        while thread.is_alive():
            _empty(queue)
            thread.join(0.05)


def _produce(items: Iterable[Item], queue: Messages[Item], stopped: Event) -> None:
    """Put all items into the queue, then "end" or "error"; return early once ``stopped`` is set."""
    try:
        with _closing(items):
            for item in items:
                queue.put(("item", item))
                if stopped.is_set():
                    return
        queue.put(("end", None))
    except BaseException as error:  # of any type: the consumer raises it again
        queue.put(("error", error))


def _closing(items: Iterable[Item]) -> AbstractContextManager[object]:
    """Close a generator at the end of the context, in the thread that ran it."""
    return closing(items) if isinstance(items, Generator) else nullcontext()


def _empty(queue: Messages[Item]) -> None:
    """Remove all messages, so that a thread that waits for a free place can continue."""
    while not queue.empty():
        queue.get()
