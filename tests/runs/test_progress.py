"""A bar on a terminal of 80 columns, lines elsewhere, and nothing with --quiet."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import tqdm.std

from flowmask.cli import main
from flowmask.runs import progress
from flowmask.runs.progress import NAME, ProgressDisplay, shortened
from flowmask.runs.record import Advanced
from tests.conftest import ROOT, needs_network
from train.simulate import simulate

FILES = [Path("in/a.png"), Path(f"in/{'long_' * 20}.tif"), Path("in", "細胞の画像" * 12)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_that_is_erased(monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    display = ProgressDisplay(FILES)
    assert "opening the network   0% |" in terminal.getvalue()  # at once
    for file in FILES:
        for fraction in (0.0, 0.5, 1.0):
            display(Advanced(str(file), None, fraction))
    display(Advanced(str(FILES[0]), "t002", 0.25))
    display.clear()
    drawn = terminal.getvalue().split("\r")
    assert max(map(len, drawn)) == 79
    assert any(re.match(r"\[1/3\] a\.png  50% \|.{20,}\| .* left", line) for line in drawn)
    assert any(line.startswith("[1/3] a.png t002  25% |") for line in drawn)
    assert any(re.match(r"\[2/3\] long_long_long\.\.\._long_long_\.tif 100% \|.{10,}\|", line) for line in drawn)
    assert drawn[-2].strip() == drawn[-1] == ""


def test_the_time_left_does_not_count_what_was_cached(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    clock = [1000.0]
    for module in (progress.time, tqdm.std):
        monkeypatch.setattr(module, "time", lambda: clock[0])
    display = ProgressDisplay(FILES)
    for seconds, fraction in ((0, 0.0), (0, 0.8), (10, 0.9)):
        clock[0] += seconds
        display(Advanced(str(FILES[0]), None, fraction))
    assert "00:10 left" in str(display._bar)
    display.clear()


def test_a_log_gets_a_line_every_thirty_seconds(monkeypatch):
    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    clock = [5.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    display = ProgressDisplay(FILES)
    for second in range(100):
        clock[0] = 5.0 + second
        display(Advanced(str(FILES[0]), None, second / 100))
    display.clear()
    assert log.getvalue() == "[1/3] a.png: 30%\n[1/3] a.png: 60%\n[1/3] a.png: 90%\n"


def test_a_terminal_that_fails_and_none_at_all(monkeypatch):
    class Broken(Terminal):
        def write(self, text):
            raise OSError(5, "no terminal any more")

    for stream in (Broken(), None):
        monkeypatch.setattr("sys.stderr", stream)
        display = ProgressDisplay(FILES)
        display(Advanced(str(FILES[0]), None, 0.5))
        display.clear()


@pytest.mark.parametrize("length", [1, 31, 32, 33, 200])
def test_names_are_shortened_in_their_middle(length):
    name = "".join(chr(ord("a") + i % 26) for i in range(length))
    short = shortened(name)
    assert len(short) == min(length, NAME)
    start, *end = short.split("...")
    assert name.startswith(start)
    assert all(name.endswith(rest) for rest in end)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name in "ab":
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), simulate("fluorescence_nuclei", (90, 110), 3, 20).image)
    return tmp_path


@needs_network
@pytest.mark.parametrize("words", ["--quiet", None, "--verbose"])
def test_how_much_is_printed(folder, capsys, words):
    (folder / "in" / "c.png").write_bytes(b"no image")
    options = [] if words is None else [words]
    assert main(["-i", str(folder / "in"), "-o", str(folder / "out"), "--diameter", "20", *options]) == 1
    out, errors = capsys.readouterr()
    lines = errors.splitlines()
    assert sum("c.png: it is no" in line for line in lines) == 1
    if words == "--quiet":
        assert out == ""
        assert len(lines) == 2
        return
    assert [line[:7] for line in out.splitlines()] == ["a.png: ", "b.png: "]
    assert lines[0] == f"3 images to segment; the labels go to {folder / 'out'}"
    details = [line for line in lines if line.startswith("  ")]
    assert bool(details) == (words == "--verbose")
    if details:
        assert details[0] == f"  written: {folder / 'out' / 'a_label.tiff'}"
        assert details[1].startswith("  device cpu")


@pytest.mark.slow
@needs_network
def test_a_real_terminal_shows_whole_lines(folder):
    """The command writes both streams to one terminal, as a user sees it."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "infer", "-i", folder / "in", "-o", folder / "out", "--diameter", "20"]
    running = subprocess.Popen(list(map(str, words)), cwd=ROOT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux reports the end of a terminal as an error
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert running.wait(60) == 0
    text = seen.decode()
    assert text.startswith("\ropening the network")
    assert "\r[1/2] a.png" in text
    assert "\r[2/2] b.png" in text
    left = [line.split("\r")[-1] for line in text.replace("\r\n", "\n").split("\n")]
    assert left[0] == f"2 images to segment; the labels go to {folder / 'out'}"
    assert left[1].startswith("a.png: ")
    assert left[2].startswith("b.png: ")
    assert left[3].startswith("2 images, ")
