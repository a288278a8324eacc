"""Some of the damaged files of `bench.trust.fuzz`; and that it sees failures."""

import faulthandler
import os
import signal
import time
from collections import Counter

import pytest

from bench.trust import fuzz
from bench.trust.samples import samples

FILES = 3000


@pytest.mark.slow
def test_mutated_files_end_with_pixels_or_one_clear_error(tmp_path):
    verdicts = list(fuzz.fuzz(0, FILES, 11, tmp_path))
    assert [verdict for verdict in verdicts if verdict.kind in fuzz.FAILURES] == []
    count = Counter(verdict.kind for verdict in verdicts)
    assert count["pixels"] > FILES // 10
    assert count["refused"] > FILES // 2
    assert {verdict.sample for verdict in verdicts} == set(samples())


def test_a_file_of_a_seed_is_always_the_same():
    originals = samples()
    assert fuzz.mutated(originals, 3, 7) == fuzz.mutated(originals, 3, 7)
    assert len({fuzz.mutated(originals, 3, index)[1] for index in range(300)}) > 280


def crash(_):
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(_):
    time.sleep(60)


def mumble(_):
    raise fuzz.ImageError("two\nlines")


def slip(_):
    raise ZeroDivisionError


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "fault"), [*zip(fuzz.FAILURES, (crash, hang, mumble, slip), strict=True)])
def test_each_failure_is_seen_and_the_next_file_is_read(tmp_path, monkeypatch, kind, fault):
    real, calls = fuzz.open_image, tmp_path / "calls"
    calls.write_bytes(b"")

    def opened(path):
        calls.write_bytes(calls.read_bytes() + b".")
        return fault(path) if calls.stat().st_size == 2 else real(path)

    monkeypatch.setattr(fuzz, "open_image", opened)
    monkeypatch.setattr(fuzz, "SECONDS", 5)
    kinds = [verdict.kind for verdict in fuzz.fuzz(0, 4, 11, tmp_path)]
    assert kinds[1] == kind
    assert not {kinds[0], *kinds[2:]} & set(fuzz.FAILURES)
