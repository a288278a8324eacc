"""Runs on a cluster, as a user meets them: the same files as on one machine, whatever becomes of the workers."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import flowmask
from flowmask.cli import main
from flowmask.runs.batch import ALL_DONE, SOME_FAILED, WRONG_USAGE
from tests.conftest import ROOT, needs_network, write_nuclei
from tests.reference.later import later

distributed = later("distributed", "the extra `cluster` is not installed")
pytestmark = [needs_network, pytest.mark.slow]
NAMES = "abcdefgh"
BAD = "d.tif"
DASHBOARD = "the dashboard of the cluster is "


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number, name in enumerate(NAMES):
        write_nuclei(folder / f"{name}.tif", (100 + 30 * number, 130), number)
    (folder / BAD).write_bytes(b"II*\0 and no more")
    return folder


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    """The output folder of a run on one machine."""
    out = tmp_path_factory.mktemp("alone")
    assert main(words(images, out)) == SOME_FAILED
    return out


@pytest.fixture(scope="module")
def cluster():
    with distributed().LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit="4GiB", dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster


def words(images, out, *options):
    files = ["-i", images, "-o", out, "--save", "table,report", "--report", out.parent / f"{out.name}.json"]
    return [str(word) for word in (*files, "--diameter", 26, *options)]


def start(images, out, *options):
    command = [sys.executable, "-m", "infer", *words(images, out, *options)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def same_everywhere(out):
    """The content of each file that may not depend on where and when it was made."""
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.endswith(("_card.json", ".html"))}


def record(out):
    """What the record says of each file, without times and memory."""
    files = json.loads((out.parent / f"{out.name}.json").read_text())["files"]
    kept = ("file", "status", "reason", "cells", "diameter", "verdict", "reasons", "notes", "warnings", "network")
    names = [[Path(path).name for path in (*file["labels"], *file["outputs"])] for file in files]
    return [({name: file[name] for name in kept}, written) for file, written in zip(files, names, strict=True)]


def test_two_workers_on_this_machine_make_the_files_of_one_machine(images, alone, tmp_path):
    running = start(images, tmp_path / "out", "--cluster", "local:2")
    lines, errors = running.communicate(timeout=300)
    assert running.returncode == SOME_FAILED
    assert same_everywhere(tmp_path / "out") == same_everywhere(alone)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in alone.iterdir()}
    assert record(tmp_path / "out") == record(alone)
    assert sorted(line[:7] for line in lines.splitlines()) == [
        f"{name}.tif: " for name in NAMES if f"{name}.tif" != BAD
    ]
    told = [line for line in errors.splitlines() if not line.startswith(("[", DASHBOARD))]  # progress
    assert told == [
        f"8 images to segment; the labels go to {tmp_path / 'out'}",
        f"error: {next(file['reason'] for file, _ in record(alone) if file['reason'])}",
        "1 of 8 files failed; the errors are listed above.",
        f"the report is {tmp_path / 'out' / 'report.html'}",
    ]


def test_resume_on_a_scheduler_does_only_what_is_missing(images, alone, tmp_path, cluster, capsys):
    out = tmp_path / "out"
    assert main(words(images, out, "--shard", "2/2")) in (ALL_DONE, SOME_FAILED)
    capsys.readouterr()
    assert main(words(images, out, "--resume", "--cluster", cluster.scheduler_address)) == SOME_FAILED
    printed = capsys.readouterr()
    assert [line for line in printed.err.splitlines() if DASHBOARD in line] == [f"{DASHBOARD}{cluster.dashboard_link}"]
    lines = dict(line.split(": ") for line in printed.out.splitlines())
    assert {name for name, line in lines.items() if "already done" in line} == {"b.tif", "f.tif", "h.tif"}
    of_the_shard = {"cells_2of2.csv"}
    assert {name: content for name, content in same_everywhere(out).items() if name not in of_the_shard} == (
        same_everywhere(alone)
    )


def test_a_quiet_run_prints_no_link(images, tmp_path, cluster, capsys):
    one = ["-i", str(images / "a.tif"), "-o", str(tmp_path), "--diameter", "26", "--quiet"]
    assert main([*one, "--cluster", cluster.scheduler_address]) == ALL_DONE
    assert capsys.readouterr().err == ""


def worker_processes(running):
    """The processes in which the images are segmented."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    everyone = [int(child) for path in children.parent.parent.glob("*/children") for child in path.read_text().split()]
    return [child for child in everyone if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_workers_that_are_killed_cost_nothing(images, alone, tmp_path):
    """Two of the workers are killed in the midst of an image, one after the other."""
    running = start(images, tmp_path / "out", "--cluster", "local:2")
    lines = []
    for line in running.stdout:
        lines.append(line)
        if len(lines) in (1, 4):
            os.kill(worker_processes(running)[0], signal.SIGKILL)
    errors = running.communicate(timeout=300)[1]
    assert running.returncode == SOME_FAILED, errors
    assert len(lines) == len(NAMES) - 1
    assert same_everywhere(tmp_path / "out") == same_everywhere(alone)
    assert record(tmp_path / "out") == record(alone)


def test_a_signal_ends_the_run_and_resume_continues_it(images, alone, tmp_path):
    out = tmp_path / "out"
    running = start(images, out, "--cluster", "local:1")
    running.stdout.readline()
    running.send_signal(signal.SIGTERM)
    errors = running.communicate(timeout=120)[1]
    assert running.returncode == 143
    assert "stopped by SIGTERM: " in errors.splitlines()[-2]
    statuses = {file["status"] for file, _ in record(out)}
    assert {"done", "not reached"} <= statuses <= {"done", "interrupted", "not reached", "failed"}
    assert main(words(images, out, "--resume")) == SOME_FAILED
    assert same_everywhere(out) == same_everywhere(alone)


@pytest.mark.parametrize("again", [False, True])
def test_a_scheduler_that_ends_ends_the_run_and_keeps_finished_images(images, alone, tmp_path, again):
    """Also if it starts again at the same address, where it does not know the run."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "distributed.cli.dask_spec"]
    specification = {"cls": "dask.distributed.Scheduler", "opts": {"port": 0, "dashboard_address": ":0"}}
    file = tmp_path / "scheduler.json"
    specification["opts"]["scheduler_file"] = str(file)
    scheduler = subprocess.Popen([*command, "--spec", json.dumps(specification)], stderr=subprocess.DEVNULL)
    while not (file.exists() and file.read_text()):
        assert scheduler.poll() is None
        time.sleep(0.05)
    address = json.loads(file.read_text())["address"]
    specification = {"cls": "dask.distributed.Nanny", "opts": {"nthreads": 1}}
    worker = subprocess.Popen(
        [*command, address, "--spec", json.dumps(specification)], stderr=subprocess.DEVNULL, cwd=ROOT
    )
    try:
        running = start(images, out, "--cluster", address)
        running.stdout.readline()
        scheduler.kill()
        if again:
            scheduler.wait()
            specification = {"cls": "dask.distributed.Scheduler", "opts": {"host": address, "dashboard_address": ":0"}}
            scheduler = subprocess.Popen([*command, "--spec", json.dumps(specification)], stderr=subprocess.DEVNULL)
        errors = running.communicate(timeout=200)[1]
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    assert running.returncode == SOME_FAILED
    reason = "(cannot be reached|was started again and does not know)" if again else "cannot be reached any more"
    assert re.search(f"error: the scheduler of the cluster {reason}", errors)
    assert "stopped by a lost connection: " in errors
    assert main(words(images, out, "--resume")) == SOME_FAILED
    assert same_everywhere(out) == same_everywhere(alone)


def test_no_scheduler_is_one_sentence(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("flowmask.cluster.address.PATIENCE", 1.0)
    assert main(words(images, tmp_path / "out", "--cluster", "tcp://127.0.0.1:9")) == WRONG_USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: there is no Dask scheduler at tcp://127.0.0.1:9 (")
    assert len(error.splitlines()) == 1


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("on_cluster", [False, True])
def test_python_segments_many_files_here_and_on_a_client(images, alone, tmp_path, cluster, on_cluster):
    seen = []
    with distributed().Client(cluster, set_as_default=False) as client:
        outcomes = flowmask.segment_many(
            [images],
            tmp_path / "out",
            outputs=flowmask.Output(save=("labels", "table", "report")),
            client=client if on_cluster else None,
            finished=seen.append,
            diameter=26.0,
        )
    assert [Path(outcome.file).name for outcome in outcomes] == [f"{name}.tif" for name in NAMES]
    assert sorted(seen, key=lambda outcome: outcome.file) == outcomes
    assert same_everywhere(tmp_path / "out") == same_everywhere(alone)
    assert (tmp_path / "out" / "report.html").read_text().count("<article") == len(NAMES)


def test_python_refuses_what_it_cannot_begin(tmp_path):
    with pytest.raises(flowmask.InputError):
        flowmask.segment_many([tmp_path / "absent"], tmp_path / "out")
