"""How many cores may be used, as bound processes and the control groups of containers say it."""

import os

import pytest

from flowmask.network.session import network_threads
from flowmask.system import cpu as module
from flowmask.system.cpu import cores, physical_cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 16 cores without limits; returns where version 2 and 1 of the control groups keep theirs."""
    two, one = (tmp_path / "cpu.max",), (tmp_path / "cfs_quota_us", tmp_path / "cfs_period_us")
    monkeypatch.setattr(module, "QUOTAS", (two, one))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    return two, one


def write(paths, *texts):
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text + "\n")


def test_without_limits_all_cores(machine):
    assert cores() == 16
    write(machine[0], "max 100000")
    write(machine[1], "-1", "100000")
    assert cores() == 16


@pytest.mark.parametrize(("quota", "found"), [(200000, 2), (150000, 2), (5000, 1), (9900000, 16)])
def test_a_share_of_the_time_counts_in_whole_cores(machine, quota, found):
    write(machine[0], f"{quota} 100000")
    assert cores() == found
    machine[0][0].unlink()
    write(machine[1], str(quota), "100000")
    assert cores() == found


def test_a_bound_process_has_the_cores_that_it_is_bound_to(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert cores() == 2
    write(machine[0], "100000 100000")
    assert cores() == 1


@pytest.mark.parametrize("text", ["", "max", "a b"])
def test_a_limit_that_cannot_be_read_is_none(machine, text):
    write(machine[0], text)
    write(machine[1], text, "")
    assert cores() == 16


def test_threads_of_one_core_count_once_for_the_network(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CPUS", tmp_path)
    assert physical_cores() == 16
    for number in range(16):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{number % 8},{number % 8 + 8}\n")
    assert physical_cores() == 8
    write(machine[0], "1500000 100000")
    assert (cores(), network_threads(0), network_threads(12)) == (15, 8, 12)


@pytest.mark.parametrize(
    ("quota", "requested", "threads"),
    [("max", 0, 0), ("max", 4, 4), ("max", 99, 16), ("300000", 0, 3), ("300000", 9, 3)],
)
def test_the_network_gets_no_more_threads_than_cores(machine, quota, requested, threads):
    write(machine[0], f"{quota} 100000")
    assert network_threads(requested) == threads


def test_a_processor_of_the_level_v3_has_all_its_instructions(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "cpuinfo")
    assert not module.is_x86_64_v3()  # no such file
    flags = " ".join(sorted(module.X86_64_V3))
    for line, expected in (
        (f"flags : fpu {flags} sse", True),
        (f"flags : fpu {flags.replace('avx2', 'avx')} sse", False),
        (f"vmx flags : {flags}", False),
    ):
        module.CPUINFO.write_text(f"processor : 0\n{line}\n")
        assert module.is_x86_64_v3() == expected
