"""The measurements of each cell as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..system.atomic_write import atomic_write
from .measurements import Measurements

ENDING = "_cells.csv"
ROWS = 2_000
"""Rows that are turned into text at a time."""


@contextmanager
def write_table(path: Path, measured: Measurements) -> Iterator[Measurements]:
    """Write the table as CSV. Raises OutputError if that fails."""
    with atomic_write(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        yield measured
        columns = measured.columns()
        csv.writer(file, lineterminator="\n").writerow(columns)
        for first in range(0, len(measured.subject.cells), ROWS):
            texts = (map(repr, column[first : first + ROWS].tolist()) for column in columns.values())
            file.writelines(f"{','.join(row)}\n" for row in zip(*texts, strict=True))
