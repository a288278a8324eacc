"""Work done ahead: its order, its errors, and its end when nobody asks any more."""

import gc
import threading

import pytest

from flowmask.system.prefetch import prefetch


def counting(stop, ended=None):
    try:
        yield from range(stop)
        raise ValueError("enough")
    finally:
        if ended is not None:
            ended.append(threading.get_ident())


def test_items_come_in_order_and_then_the_error():
    items = prefetch(counting(20))
    assert [next(items) for _ in range(20)] == list(range(20))
    with pytest.raises(ValueError, match="enough"):
        next(items)


def test_a_consumer_that_stops_ends_the_threads_behind_it():
    before, ended = threading.active_count(), []
    items = prefetch(number for number in prefetch(counting(1000, ended)))
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before
    assert ended != [threading.get_ident()]
    assert len(ended) == 1


def test_an_error_between_two_ends_both_without_the_garbage_collector():
    def failing(numbers):
        for number in numbers:
            if number == 3:
                raise MemoryError
            yield number

    before, ended = threading.active_count(), []
    gc.disable()
    try:
        with pytest.raises(MemoryError):
            list(prefetch(failing(prefetch(counting(1000, ended)))))
        assert threading.active_count() == before
    finally:
        gc.enable()
    assert len(ended) == 1
