"""Rows and cells shared out to threads."""

import threading

import pytest

from flowmask.system.parallel import in_parallel


@pytest.mark.parametrize(("count", "size", "threads"), [(0, 4, 2), (1, 4, 2), (4, 4, 3), (1000, 7, 3), (1000, 7, 1)])
def test_every_number_is_worked_on_once(count, size, threads):
    seen = []
    in_parallel(count, size, threads, lambda first, last: seen.extend(range(first, last)))
    assert sorted(seen) == list(range(count))


def test_as_many_threads_as_were_asked_for_work_at_once():
    meeting = threading.Barrier(3, timeout=60)
    in_parallel(9, 3, 3, lambda first, last: meeting.wait())


def test_what_fails_in_a_thread_fails_here():
    def work(first, last):
        if first == 6:
            raise ValueError("six")

    for threads in (1, 2):
        with pytest.raises(ValueError, match="six"):
            in_parallel(9, 3, threads, work)
