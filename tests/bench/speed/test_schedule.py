"""The simulator of the schedule, against schedules that can be worked out by hand."""

import pytest

from bench.speed.schedule import Costs, costs_from, plan, simulate

COSTS = Costs(2.0, 0.5, 1.2, 0.4)


def test_one_worker_needs_the_sum():
    assert simulate([1, 10, 3], 1, COSTS) == pytest.approx(2 + 3 * 0.5 + 14 * 1.6)


def test_small_images_go_to_the_first_free_worker():
    work = Costs(0.0, 0.0, 1.0, 0.0)
    assert simulate([3, 1, 1, 1, 2], 2, work) == 5  # 3 2 | 1 1 1
    assert simulate([1] * 7, 3, work) == 3


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_a_large_image_is_shared_but_not_its_labels(workers):
    alone, shared = simulate([100], 1, COSTS) - 2, simulate([100], workers, COSTS) - 2
    assert shared < alone / 1.5
    assert shared > alone / workers
    assert shared > 0.5 + 100 * 0.4


def test_more_workers_are_never_slower():
    sizes = [30, 5, 80, 80, 2, 44]
    found = [simulate(sizes, workers, COSTS) for workers in (1, 2, 4, 6, 12, 24)]
    assert found == sorted(found, reverse=True)


def test_costs_are_those_of_the_runs_they_come_from():
    side, slide, images = 500, 5000, 40
    times = {
        "one image": COSTS.start + COSTS.of(0.25),
        "many images": simulate([0.25] * images, 1, COSTS),
        "a slide": simulate([25], 1, COSTS),
    }
    record = {"side": side, "slide": slide, "images": images, "share_of_labels": 0.25}
    found = costs_from({**record, "times": {name: {"1 worker": [took, took + 1]} for name, took in times.items()}})
    assert (found.start, found.image, found.network, found.labels) == pytest.approx((2.0, 0.5, 1.2, 0.4))


def test_the_plan_names_what_limits_it():
    one, slow, many = (
        plan(1000, 1, [count], bandwidth, COSTS)[0] for count, bandwidth in ((10, 1), (10, 1e-3), (5000, 1))
    )
    assert [found["limit"] for found in (one, slow, many)] == ["workers", "storage", "scheduler"]
    assert one["hours"] == pytest.approx(1000 * 1600 / 10 / 3600, rel=0.01)
    assert slow["hours"] == pytest.approx(1000 * 0.9 / 1e-3 / 3600)
    assert one["dollars_a_slide"] == pytest.approx(0.04 * 1600 / 3600, rel=0.01)
