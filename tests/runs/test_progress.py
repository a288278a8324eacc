"""A bar on a terminal, silence elsewhere."""

import io

from flowmask.runs.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_that_is_cleared(monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    bar = ProgressBar("a.png")
    bar(0.5)
    bar(1.0)
    bar.close()
    shown = terminal.getvalue()
    assert "a.png [##############################] 100%    0 s left" in shown
    assert shown.endswith("\r\033[K")


def test_a_log_gets_nothing(monkeypatch):
    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    bar = ProgressBar("a.png")
    bar(1.0)
    bar.close()
    assert log.getvalue() == ""
