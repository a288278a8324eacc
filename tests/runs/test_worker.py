"""Runs that are stopped, and workers that die, as a user meets them: through `python -m infer`."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import cv2
import pytest

from flowmask.cli import main
from flowmask.errors import NetworkError, RunError
from flowmask.runs import process
from flowmask.runs.batch import SOME_FAILED
from flowmask.runs.jobs import Job
from flowmask.runs.process import Preparation
from flowmask.runs.record import DONE, FAILED
from flowmask.runs.signals import stoppable
from flowmask.runs.worker import in_worker
from tests.conftest import ROOT, needs_network
from train.simulate import simulate

pytestmark = [needs_network, pytest.mark.slow]


@cache
def large():
    """An image (700, 690) of nuclei."""
    return simulate("fluorescence_nuclei", (700, 690), 5, 20).image


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    small = simulate("fluorescence_nuclei", (90, 110), 3, 20).image
    for name, image in (("a", small), ("b", large()), ("c", small)):
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), image)
    return tmp_path


def heed_interrupts():
    """A shell's job in the background, as the tests may be, ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


AFRESH = (
    "import sys; from infer.runs import process; process.FORK = False; from infer.cli import main; "
    "sys.exit(main(own_process=True))"
)
"""`python -m infer` with a worker that is started afresh, as on macOS and Windows."""


def start(folder, *options, fork=True):
    program = ["-m", "infer"] if fork else ["-c", AFRESH]
    words = [sys.executable, *program, "-i", folder / "in", "-o", folder / "out", "--diameter", "20", *options]
    words += ["--report", folder / "run.json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, cwd=ROOT, preexec_fn=heed_interrupts, **pipes)


def files(folder):
    return sorted(path.name for path in (folder / "out").iterdir())


def statuses(folder):
    return [file["status"] for file in json.loads((folder / "run.json").read_text())["files"]]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("fork", [True, False])
def test_a_signal_ends_the_run_tidily(folder, number, code, fork):
    running = start(folder, fork=fork)
    assert running.stdout.readline().startswith("a.png: ")
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == code
    assert errors.splitlines() == [
        f"3 images to segment; the labels go to {folder / 'out'}",
        f"stopped by {number.name}: 1 of 3 files are done and 1 not begun; add --resume to continue.",
    ]
    assert files(folder) == ["a_label.tiff"]
    assert statuses(folder) == ["done", "interrupted", "not reached"]
    made = json.loads((folder / "run.json").read_text())
    assert (made["exit_code"], made["ending"]) == (code, number.name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_run_at_once(number):
    """Even while the first one is dealt with, which may take long."""
    code = f"""
import signal
from flowmask.runs.signals import Stopped, stoppable
signal.signal({int(number)}, signal.SIG_DFL)
with stoppable() as close:
    try:
        signal.raise_signal({int(number)})
    except Stopped:
        close()
        print("stopped", flush=True)
        signal.raise_signal({int(number)})
        print("not reached", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (128 + number, "stopped\n")


def test_a_signal_while_the_record_is_written_does_no_harm():
    with stoppable() as close:
        close()
        signal.raise_signal(signal.SIGTERM)


def worker(running):
    (child,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return int(child)


@pytest.mark.parametrize("fork", [True, False])
def test_a_worker_that_dies_costs_one_file(folder, fork):
    running = start(folder, fork=fork)
    assert running.stdout.readline().startswith("a.png: ")
    os.kill(worker(running), signal.SIGKILL)
    out, errors = running.communicate(timeout=60)
    assert running.returncode == SOME_FAILED
    assert out.startswith("c.png: ")
    assert len(errors.splitlines()) == 3
    assert "b.png: the worker process was killed, probably because memory ran out" in errors
    assert files(folder) == ["a_label.tiff", "c_label.tiff"]
    assert statuses(folder) == ["done", "failed", "done"]


@pytest.mark.parametrize("fork", [True, False])
def test_a_worker_does_not_outlive_the_run(folder, fork):
    running = start(folder, fork=fork)
    assert running.stdout.readline().startswith("a.png: ")
    child = worker(running)
    running.kill()
    running.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert files(folder) == ["a_label.tiff"]


def test_the_process_that_minds_the_run_imports_none_of_the_heavy_packages(folder):
    """It is forked, which its threads would not survive, and lives on when memory runs out."""
    code = "import sys; from flowmask.cli import main; main(own_process=True); print(sorted(sys.modules))"
    words = [sys.executable, "-c", code, "-i", folder / "in" / "a.png", "-o", folder / "out", "--diameter", "20"]
    modules = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "a.png: " in modules
    for heavy in ("numpy", "numba", "onnxruntime", "cv2", "tifffile", "skimage", "scipy"):
        assert f"'{heavy}'" not in modules


@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_strict_stops_at_the_first_failure(folder, capsys, options):
    (folder / "in" / "b.png").write_bytes(b"no image")
    words = ["-i", folder / "in", "-o", folder / "out", "--report", folder / "run.json", "--diameter", "20", *options]
    assert main([str(word) for word in words]) == SOME_FAILED
    assert files(folder) == (["a_label.tiff"] if options else ["a_label.tiff", "c_label.tiff"])
    assert statuses(folder) == ["done", "failed", "not reached" if options else "done"]
    assert capsys.readouterr().err.splitlines()[2].startswith("stopped by --strict: 1 of 3" if options else "1 of 3")


def test_strict_stops_at_two_names_for_one_label_file_before_any_work(folder):
    cv2.imwrite(str(folder / "in" / "b.x.png"), large())
    words = [
        "-i",
        folder / "in",
        "-o",
        folder / "out",
        "--report",
        folder / "run.json",
        "--strict",
        "--ids",
        "challenge",
    ]
    assert main([str(word) for word in words]) == SOME_FAILED
    assert files(folder) == []
    assert statuses(folder) == ["failed", "not reached", "not reached", "not reached"]


@pytest.fixture(params=["forked", "started afresh"])
def any_start(request, monkeypatch):
    """Both ways to start a worker: Linux forks it, macOS and Windows start a new process."""
    monkeypatch.setattr(process, "FORK", request.param == "forked")


def by_name(function, **arguments):
    return Preparation("tests.runs.workers", function, arguments)


JOBS = [Job(Path(name), Path(f"/nowhere/{name}_label.tiff")) for name in "abc"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("SIGSEGV", r"b: .* crashed \(SIGSEGV\), because the file is damaged or memory ran out"),
        ("SIGABRT", r"b: .* crashed \(SIGABRT\)"),
        ("SIGKILL", r"b: .* was killed, probably because memory ran out"),
        ("os._exit", r"b: .* ended \(exit code 3\)"),
        ("sys.exit", r"b: .* ended \(exit code 1\)"),
    ],
)
@pytest.mark.usefixtures("any_start")
def test_every_death_is_an_outcome(how, reason):
    a, b, c = in_worker(by_name("dying", how=how), JOBS)
    assert [a.status, b.status, c.status] == [DONE, FAILED, DONE]
    assert re.match(reason, b.reason)
    assert len({*a.labels, *c.labels, str(os.getpid())}) == 3


@pytest.mark.usefixtures("any_start")
def test_a_death_costs_one_frame_of_a_series():
    outcomes = list(in_worker(by_name("series", dies_at=["b", 1], frames=3), JOBS[1:]))
    assert [(one.file, one.frame, one.status) for one in outcomes] == [
        ("b", "t001", DONE), ("b", "t002", FAILED), ("b", "t003", DONE),
        ("c", "t001", DONE), ("c", "t002", DONE), ("c", "t003", DONE),
    ]  # fmt: skip
    assert outcomes[1].reason.startswith("b: frame t002: the worker process was killed")
    assert outcomes[1].frames == 3


@pytest.mark.usefixtures("any_start")
def test_a_death_at_the_last_frame_goes_on_with_the_next_file():
    outcomes = list(in_worker(by_name("series", dies_at=["b", 1], frames=2), JOBS))
    assert [one.status for one in outcomes] == [DONE, DONE, DONE, FAILED, DONE, DONE]


@pytest.mark.usefixtures("any_start")
def test_a_fresh_process_goes_on_after_an_outcome_that_is_the_last_of_its_process():
    outcomes = list(in_worker(by_name("last_at_b"), JOBS))
    assert [outcome.status for outcome in outcomes] == [DONE, FAILED, DONE]
    a, b, c = (outcome.labels for outcome in outcomes)
    assert a == b != c


@pytest.mark.usefixtures("any_start")
def test_what_cannot_be_prepared_is_raised_here():
    with pytest.raises(NetworkError, match="n.onnx: no"):
        list(in_worker(by_name("refused"), JOBS))
    with pytest.raises(RunError, match="the worker process ended while it opened the network"):
        list(in_worker(by_name("crash"), JOBS))


@pytest.mark.usefixtures("any_start")
def test_what_a_worker_prints_is_no_outcome(capfd):
    outcomes = list(in_worker(by_name("talking"), JOBS))
    assert [outcome.status for outcome in outcomes] == [DONE] * 3
    printed = capfd.readouterr()
    assert (printed.out + printed.err).count("of a library") == 3


@pytest.mark.usefixtures("any_start")
def test_progress_comes_before_the_outcome_of_its_file():
    seen = []
    for outcome in in_worker(by_name("advancing"), JOBS, lambda at: seen.append((at.file, at.fraction))):
        seen.append(outcome.file)
    assert seen == [entry for name in "abc" for entry in ((name, 0.0), (name, 0.5), name)]


@pytest.mark.usefixtures("any_start")
def test_a_consumer_that_stops_ends_the_worker_and_removes_what_it_left(tmp_path):
    partial = tmp_path / ".b_label.tiff.partial"
    jobs = [Job(Path(name), tmp_path / f"{name}_label.tiff") for name in "ab"]
    outcomes = in_worker(by_name("sleeping_at_b", partial=str(partial)), jobs)
    next(outcomes)
    while not partial.exists():
        time.sleep(0.001)
    outcomes.close()
    assert list(tmp_path.iterdir()) == []


def test_only_a_named_call_can_be_given_to_a_process_started_afresh(monkeypatch):
    monkeypatch.setattr(process, "FORK", False)
    with pytest.raises(TypeError, match="cannot be given"):
        list(in_worker(lambda: None, JOBS))


def test_strict_keeps_its_exit_code_where_the_next_file_has_too_long_a_name(folder):
    for path in (folder / "in").iterdir():
        path.write_bytes(b"nothing") if path.stem == "a" else path.unlink()
    (folder / "in" / f"{'b' * 250}.tif").write_bytes(b"nothing")
    running = start(folder, "--strict")
    running.communicate(timeout=120)
    assert running.returncode == 1
