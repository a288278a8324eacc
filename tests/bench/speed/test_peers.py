"""Flowmask beside other programs: which rows there are, limits, and the table."""

import sys
from math import inf

import pytest

pytest.importorskip("torch", reason="the benchmarks need PyTorch")
pytest.importorskip("psutil", reason="the benchmarks need psutil")

from bench.speed.peers import Limits, fastest, later, measured, python_of, text
from bench.watched import run_process

RUN = {
    "seconds": 2.0,
    "cpu_seconds": 3.0,
    "startup": 1.5,
    "peak_mb": 1234.0,
    "versions": {"stardist": "0.9"},
    "ended": "",
}
RECORD = {"hardware": "a processor", "default": "small.onnx", "kernels": "compiled ahead", "repeats": 1}


def test_a_program_that_is_not_installed_is_a_row_with_the_command_that_installs_it(tmp_path):
    missing = measured("stardist", tmp_path / "python", None, tmp_path, 30.0, Limits(1, inf))
    assert missing == {"ended": "not installed: `make .venv-stardist/.ready`"}
    cellpose = measured("cellpose3", tmp_path / "python", None, tmp_path, 30.0, Limits(1, inf))
    assert cellpose == {"ended": "not installed: `make .venv-cellpose/.ready`"}


def test_the_environments_are_named_by_variables(monkeypatch):
    monkeypatch.setenv("FLOWMASK_STARDIST_PYTHON", "/a/python")
    monkeypatch.delenv("FLOWMASK_INSTANSEG_PYTHON", raising=False)
    assert str(python_of("stardist")) == "/a/python"
    assert python_of("instanseg").parts[-3:] == (".venv-instanseg", "bin", "python")
    assert str(python_of("flowmask_same")) == sys.executable


def test_a_failure_counts_and_otherwise_the_fastest_run():
    slow, quick, failed = RUN, RUN | {"seconds": 1.0}, {"ended": "stopped after 9 s"}
    assert fastest([slow, quick, slow]) is quick
    assert fastest([quick, failed]) is failed


def test_larger_images_name_the_size_that_was_too_large_once():
    first = {"program": "stardist", "side": 2048, "ended": "stopped above 5 GB"}
    assert later(first)["ended"] == "stopped above 5 GB at 2,048 px"
    absent = {"program": "stardist", "side": 2048, "ended": "not installed: `make x`"}
    assert later(absent)["ended"] == "not installed: `make x`"


def test_random_weights_have_no_cells_and_ratios_are_to_flowmask():
    runs = [
        {"program": "flowmask", "side": 512, **RUN, "cells": 1234},
        {"program": "stardist", "side": 512, **RUN, "seconds": 5.0, "cells": 0},
        {"program": "cellpose3", "side": 512, "ended": "stopped after 9 s"},
    ]
    _, _, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text(RECORD | {"runs": runs}).splitlines()[:5]
    ]
    assert rows[0] == [
        "Flowmask, its default network",
        "512",
        "trained",
        "1,234",
        "2.0",
        "1.00",
        "3.0",
        "1.5",
        "1,234",
        "",
    ]
    assert rows[1] == ["StarDist", "512", "random", "", "5.0", "2.50", "3.0", "1.5", "1,234", "makes no labels"]
    assert rows[2] == ["cellpose 3.1", "512", "trained", "", "", "", "", "", "", "stopped after 9 s"]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's")
def test_a_process_is_stopped_above_its_limits():
    held = [sys.executable, "-c", "import time; held = b'1' * 300_000_000; time.sleep(60)"]
    assert run_process(held, 50, 2e8).ended == "stopped above 0.2 GB"
    assert run_process([sys.executable, "-c", "import time; time.sleep(60)"], 0.5).ended == "stopped after 0.5 s"
    shown = [sys.executable, "-c", "import os, sys; sys.exit(os.environ['A'])"]
    assert run_process(shown, 50, environment={"A": "b"}).ended == "exit code 1: b"
