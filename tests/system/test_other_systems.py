"""Systems without fork, /proc and the Unix modules: here their absence is forced, on Linux."""

import ctypes
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile

import flowmask
from flowmask.images import memmap
from flowmask.images.readers import open_image
from flowmask.labels.provenance import description
from flowmask.system import memory
from flowmask.viewer.cells import Filter
from flowmask.viewer.found import find_results
from flowmask.viewer.slide import open_slide
from tests.conftest import ROOT, needs_network
from train.simulate import simulate

SAMPLE = simulate("fluorescence_nuclei", (90, 110), 3, 26).image
WITHOUT = """
import io, mmap, os, pathlib, signal, sys

for module, names in (
    (os, ("fork", "pread", "sysconf", "posix_fallocate", "sched_getaffinity", "O_NOFOLLOW")),
    (signal, ("pthread_sigmask", "pthread_kill")),
    (mmap, ("MADV_DONTNEED",)),
):
    for name in names:
        delattr(module, name)
for name in ("resource", "fcntl"):
    sys.modules[name] = None
real_open, real_exists = io.open, pathlib.Path.exists


def of_linux(path):
    return str(path).startswith(("/proc/", "/sys/"))


def open_elsewhere(file, *given, **named):
    if of_linux(file):
        raise FileNotFoundError(2, "No such file or directory", str(file))
    return real_open(file, *given, **named)


io.open = open_elsewhere
pathlib.Path.exists = lambda path: not of_linux(path) and real_exists(path)
"""
"""Run by Python before anything else, as its sitecustomize."""


@pytest.fixture
def elsewhere(tmp_path):
    """The environment of a Python that has nothing of what Windows or macOS lack."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT)
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


@pytest.mark.slow
@needs_network
@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_a_run_gives_the_same_labels(tmp_path, elsewhere, network, options):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), SAMPLE)
    tifffile.imwrite(tmp_path / "in" / "b.tif", np.stack([SAMPLE, SAMPLE[::-1]]), imagej=True, metadata={"axes": "TYX"})
    (tmp_path / "in" / "c.png").write_bytes(b"no image")
    words = [
        "-i",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--diameter",
        26,
        "--report",
        tmp_path / "run.json",
        *options,
    ]
    command = [sys.executable, "-m", "infer", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, env=elsewhere, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "c.png: it is not a TIFF" in done.stderr
    names = ["a_label.tiff", "b_t001_label.tiff", "b_t002_label.tiff"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    expected = flowmask.segment(SAMPLE, network, diameter=26).labels
    for name in names[:2]:
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / name), expected)
    files = json.loads((tmp_path / "run.json").read_text())["files"]
    assert [one["status"] for one in files] == ["done"] * 3 + ["failed"]
    assert [one["peak_memory"] for one in files] == [None] * 4


TILES = """
import sys
from pathlib import Path
from flowmask.viewer.cells import Filter
from flowmask.viewer.found import find_results
from flowmask.viewer.slide import open_slide

slide = open_slide(find_results(Path(sys.argv[1]), [Path(sys.argv[2])])[0][0])
sys.stdout.buffer.write(slide.picture(0, 0, 0) + slide.layer("fills", 0, 0, 0, Filter()))
"""
"""Writes the coarsest tiles of an image, which come from the temporary file of the viewer."""


@pytest.mark.slow
def test_the_viewer_shows_the_same_tiles(tmp_path, elsewhere):
    labels = np.zeros((1100, 600), np.int32)
    cv2.circle(labels, (300, 500), 90, 1, cv2.FILLED)
    cv2.imwrite(str(tmp_path / "a.png"), np.asarray(200 * labels, np.uint8))
    about = description({}, 1, 180.0)
    tifffile.imwrite(tmp_path / "a_label.tiff", labels.astype(np.uint16), description=about, metadata=None)
    words = [sys.executable, "-c", TILES, str(tmp_path), str(tmp_path / "a.png")]
    shown = subprocess.run(words, cwd=ROOT, env=elsewhere, capture_output=True, check=True).stdout
    slide = open_slide(find_results(tmp_path, [tmp_path / "a.png"])[0][0])
    assert slide.levels == 4
    assert shown == slide.picture(0, 0, 0) + slide.layer("fills", 0, 0, 0, Filter())


def test_the_memory_of_a_machine_that_does_not_tell(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(memory, "LIMITS", ())
    assert memory.available_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.delattr(os, "sysconf")
    assert memory.available_memory() == memory.ASSUMED


def test_the_memory_of_windows(monkeypatch):
    def status(pointer):
        found = ctypes.cast(pointer, ctypes.POINTER(memory._MemoryStatus)).contents
        assert found.length == 64
        found.total = 12345
        return 1

    windows = SimpleNamespace(kernel32=SimpleNamespace(GlobalMemoryStatusEx=status))
    monkeypatch.setattr(ctypes, "windll", windows, raising=False)
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(memory, "LIMITS", ())
    monkeypatch.delattr(os, "sysconf")
    assert memory.available_memory() == 12345


def test_large_images_without_the_calls_of_linux(tmp_path, monkeypatch):
    monkeypatch.setattr(memmap, "LARGE", 100)
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.delattr(memmap.mmap, "MADV_DONTNEED")
    cv2.imwrite(str(tmp_path / "a.png"), SAMPLE)
    np.testing.assert_array_equal(open_image(tmp_path / "a.png").read(0, 0, *SAMPLE.shape)[0], SAMPLE)
