"""The command `flowmask` in a process of its own, with what it prints, line by line."""

from __future__ import annotations

import re
import sys
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence

from qtpy.QtCore import QCoreApplication, QProcess, Qt

STOPPED = (130, 143)
"""Exit codes of a run that was stopped."""


class Command:
    """A running command `flowmask`."""

    def __init__(
        self, words: Sequence[str], on_line: Callable[[str], object], on_end: Callable[[int, str], object]
    ) -> None:
        """Start `flowmask` with these words.

        on_line: gets each line; of a bar of progress, each of its states. on_end: gets the exit code, -1 if the process
        did not start, crashed or was killed, and the sentence of the last error, empty if there is none.
        """
        self._on_line, self._on_end = on_line, on_end
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._rest, self._error = "", ""
        self._process = QProcess(QCoreApplication.instance())
        self._process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.finished.connect(self._end)
        self._process.errorOccurred.connect(self._failed, Qt.ConnectionType.QueuedConnection)
        self._process.start(sys.executable, ["-m", "flowmask", *words])

    def stop(self) -> None:
        """Ask the command to end; it writes no file that is not whole."""
        self._process.terminate()

    def _read(self) -> None:
        text = self._rest + self._decoder.decode(bytes(self._process.readAllStandardOutput().data()))
        *lines, self._rest = re.split(r"[\r\n]+", text)
        for line in lines:
            self._line(line)

    def _line(self, line: str) -> None:
        if line.startswith("error: "):
            self._error = line.removeprefix("error: ")
        if line.strip():
            self._on_line(line.strip())

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:  # after every other error, the process ends
            self._process.deleteLater()
            self._on_end(-1, f"{sys.executable} did not start; install flowmask into an environment with napari.")

    def _end(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._line(self._rest)
        self._process.deleteLater()
        self._on_end(code if status == QProcess.ExitStatus.NormalExit else -1, self._error)
