"""Lines on the screen, which cost nothing when the stream fails."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

from ..errors import OutputError, printable
from ..options import in_command_words


def say(text: str, stream: TextIO | None) -> None:
    """Print one line. If the stream is closed or full, the line is lost and the run goes on: labels are in files.

    >>> say("two\\nlines.tif: 7 cells", sys.stdout)
    two\\nlines.tif: 7 cells
    """
    if stream is None:
        return
    try:
        print(printable(text), file=stream, flush=True)
    except (OSError, ValueError):
        _silence(stream)


def answer(text: str) -> None:
    """Print what a command was asked for on stdout. Raises OutputError if it cannot be written.

    If the program that reads it has ended, as ``head`` does, this text and all others are lost.

    >>> answer("a.tif: 7 cells")
    a.tif: 7 cells
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        raise OutputError(
            f"the output cannot be written to stdout ({error.strerror}); check the free disk space."
        ) from error


def _silence(stream: TextIO) -> None:
    """Connect a stream that failed to the null device, so that Python can flush it when it exits."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def complain(reason: str) -> None:
    """Print one error message on stderr, in the words of the command line."""
    say(f"error: {in_command_words(reason)}", sys.stderr)
