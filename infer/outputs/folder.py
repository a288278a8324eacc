"""One table for all images of a run: their tables, one below the other, with the name of the image in front."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TextIO

from ..system.atomic_write import atomic_write

NAME = "cells.csv"
"""The file in the output folder."""


def write_folder_table(path: Path, tables: Sequence[tuple[str, Path]]) -> None:
    """Write the tables of several images as one CSV file; columns that an image does not have are empty.

    tables: (name of the image, its table). Raises OutputError if the file cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table, whole = Path(folder, "a_cells.csv"), Path(folder, NAME)
    ...     _ = table.write_text("label,area\\n1,40\\n")
    ...     write_folder_table(whole, [("a.tif", table)])
    ...     whole.read_text().split()
    ['image,label,area', 'a.tif,1,40']
    """
    columns = {"image": None}
    for _, table in tables:
        with open(table, newline="", encoding="utf-8") as file:
            columns |= dict.fromkeys(next(csv.reader(file)))
    names = [*columns][1:]
    with atomic_write(path) as partial, open(partial, "w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerow(columns)
        for image, table in tables:
            with open(table, newline="", encoding="utf-8") as file:
                out.writelines(_rows(image, file, names))


def _rows(image: str, file: TextIO, columns: Sequence[str]) -> Iterator[str]:
    """Yield the rows of a table with the name of the image in front. Below its header a table holds only numbers."""
    there = next(csv.reader(file))
    quoted = StringIO()
    csv.writer(quoted, lineterminator=",").writerow([image])
    name = quoted.getvalue()
    if there == columns:
        yield from (name + line for line in file)
        return
    for line in file:
        values = dict(zip(there, line.rstrip("\n").split(","), strict=True))
        yield f"{name}{','.join(values.get(column, '') for column in columns)}\n"
