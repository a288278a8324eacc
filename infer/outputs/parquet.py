"""The measurements of each cell as Parquet: the table of the CSV file, with types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..system.atomic_write import atomic_write
from .measurements import Columns, Measurements

ENDING = "_cells.parquet"
ROWS = 20_000
"""Cells in a row group."""


@contextmanager
def write_parquet(path: Path, measured: Measurements) -> Iterator[Measurements]:
    """Write the table as Parquet with the package pyarrow. Raises OutputError if that fails."""
    with atomic_write(path) as partial:
        yield measured
        columns = measured.columns()
        with open(partial, "wb") as out, _writer(out, columns) as file:
            for first in range(0, max(1, len(measured.subject.cells)), ROWS):
                file.write_table(_rows(columns, first))


def _writer(out: BinaryIO, columns: Columns) -> Any:
    """Return a writer of pyarrow. Few values occur twice, so a dictionary of them makes the file larger."""
    import pyarrow.parquet

    return pyarrow.parquet.ParquetWriter(out, _rows(columns, 0).schema, use_dictionary=False)


def _rows(columns: Columns, first: int) -> Any:
    """Return a row group as a table of pyarrow; a column of 0 and 1 becomes one of truth values."""
    import pyarrow

    typed = columns | {"touches_border": columns["touches_border"].astype(np.bool_)}
    return pyarrow.table({name: _array(column[first : first + ROWS]) for name, column in typed.items()})


def _array(values: npt.NDArray[Any]) -> Any:
    """Return an array of pyarrow with the same values. ``pyarrow.array`` would import pandas, which takes seconds."""
    import pyarrow

    data = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else np.ascontiguousarray(values)
    buffers = [None, pyarrow.py_buffer(data)]
    return pyarrow.Array.from_buffers(pyarrow.from_numpy_dtype(values.dtype), len(values), buffers)
