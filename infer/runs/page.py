"""The report of a run for readers: OUT/report.html, if ``--save report`` asks for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import OutputError

NAME = "report.html"
"""The file in the output folder."""
MARK = b'<meta name="generator" content="Flowmask'
"""Stands within the first `BEGINNING` bytes of a report."""
BEGINNING = 1000


def check_free(path: Path) -> None:
    """Raise OutputError if the path exists and is not the report of an earlier run.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, NAME)
    ...     _ = path.write_bytes(b"<!doctype html>" + MARK)
    ...     check_free(path)
    """
    if not os.path.lexists(path):
        return
    try:
        with open(path, "rb") as file:
            ours = MARK in file.read(BEGINNING)
    except OSError:
        ours = False
    if not ours:
        raise OutputError(
            f"{path}: the file exists and Flowmask did not write it; move it or choose another output folder."
        )


def write_report(path: Path, record: Mapping[str, Any]) -> None:
    """Write the report of a run. Raises OutputError if that fails, or if the path is that of another file.

    record: as in `flowmask.outputs.report.page.write_page`.
    """
    from ..outputs.report.page import write_page

    check_free(path)
    write_page(path, record)
