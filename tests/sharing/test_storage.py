"""Shared storage that is slow, or fails once with EIO or ESTALE: it costs a retry or the image, never a wrong file."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

import flowmask
from flowmask import records
from flowmask.errors import OutputError
from flowmask.sharing import pieces as module
from flowmask.sharing.labels import compute_labels
from flowmask.sharing.pieces import DONE
from flowmask.system import atomic_write
from tests.conftest import needs_network, write_nuclei
from tests.sharing.test_labels import Case, flow, never, same

pytestmark = pytest.mark.slow
ERRORS = [errno.EIO, errno.ESTALE]


@pytest.fixture(scope="module")
def case():
    return Case(flow)


@pytest.fixture
def made(case, tmp_path, monkeypatch):
    """Some of the pieces of an image, on disk."""
    monkeypatch.setattr("flowmask.sharing.labels.HEIGHT", 200)
    pieces = case.pieces(tmp_path)
    pieces.begin()
    compute_labels(pieces, case.maps_from, len(pieces) - 3, never)
    return pieces


def failing_at(function, number, at):
    """Return a function that raises an OSError at some of its calls, counted from 0; it counts them."""

    def failing(*args, **more):
        failing.calls += 1
        if failing.calls - 1 in at:
            raise OSError(number, os.strerror(number))
        return function(*args, **more)

    failing.calls = 0
    return failing


@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_read_that_fails_once_costs_a_retry(case, made, monkeypatch, number, at):
    failing = failing_at(records._read, number, {at})
    monkeypatch.setattr(module, "read_records", lambda *args: reading(failing, *args))
    same(case, made)
    assert failing.calls > at


def reading(failing, path, origin):
    """`read_records` on storage that fails."""
    with open(path, "rb") as file:
        assert records._about(failing(file), origin) is not None
        while (payload := failing(file)) is not None:
            yield payload


@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_write_of_a_helper_that_fails_once_costs_its_piece(case, made, monkeypatch, number, at):
    """The helper ends with a sentence, and the reader labels what it left."""
    helper = case.pieces(made.folder.parent, make=False)
    with monkeypatch.context() as failing:
        failing.setattr(records.RecordFile, "_append", failing_at(records.RecordFile._append, number, {at}))
        with pytest.raises(OutputError, match=r"\.part: the cached maps cannot be read or written \("):
            compute_labels(helper, case.maps_from, 1, never)
    same(case, made)


@pytest.mark.parametrize("number", ERRORS)
def test_a_rename_that_fails_once_leaves_no_piece(case, made, monkeypatch, number):
    helper, before = case.pieces(made.folder.parent, make=False), made.states(0)
    with monkeypatch.context() as failing:
        failing.setattr(module.os, "replace", failing_at(os.replace, number, {0}))
        with pytest.raises(OutputError, match=r"\.part: it cannot be renamed or removed \("):
            compute_labels(helper, case.maps_from, 1, never)
    assert made.states(0) == before
    same(case, made)


def test_slow_storage_changes_nothing(case, made, monkeypatch):
    """Each write, each read and each rename takes its time, in two processes at once."""

    def slowed(function):
        def slow(*args):
            time.sleep(0.02)
            return function(*args)

        return slow

    monkeypatch.setattr(records.RecordFile, "_append", slowed(records.RecordFile._append))
    monkeypatch.setattr(records, "_read", slowed(records._read))
    monkeypatch.setattr(module.os, "replace", slowed(os.replace))
    helper = threading.Thread(
        target=compute_labels, args=(case.pieces(made.folder.parent, make=False), case.maps_from, 0, never)
    )
    helper.start()
    same(case, made)
    helper.join()
    assert made.states(0) == [DONE] * len(made)


@needs_network
@pytest.mark.parametrize("number", ERRORS)
def test_a_label_file_that_cannot_be_written_once_costs_one_image(tmp_path, monkeypatch, number):
    (tmp_path / "in").mkdir()
    for name in "abc":
        write_nuclei(tmp_path / "in" / f"{name}.tif", (90, 110), ord(name))
    expected = tmp_path / "expected"
    flowmask.segment_many([tmp_path / "in"], expected, diameter=26.0)
    monkeypatch.setattr(atomic_write.os, "replace", failing_at(os.replace, number, {1}))
    outcomes = flowmask.segment_many([tmp_path / "in"], tmp_path / "out", diameter=26.0)
    assert [one.status for one in outcomes] == ["done", "failed", "done"]
    assert f"b_label.tiff: it cannot be written ({os.strerror(number)})" in outcomes[1].reason
    found = {path.name: path.read_bytes() for path in Path(tmp_path / "out").iterdir()}
    assert found == {name: (expected / name).read_bytes() for name in ("a_label.tiff", "c_label.tiff")}
    again = flowmask.segment_many([tmp_path / "in"], tmp_path / "out", diameter=26.0, resume=True)
    assert [one.status for one in again] == ["skipped", "done", "skipped"]
    assert (tmp_path / "out" / "b_label.tiff").read_bytes() == (expected / "b_label.tiff").read_bytes()
