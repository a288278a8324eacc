"""The measurements of each cell as AnnData, which scanpy and squidpy open.

The file is written as https://anndata.readthedocs.io/en/stable/fileformat-prose.html says. The package anndata itself
is not used, because its import takes more time and memory than the table of a slide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..system.atomic_write import atomic_write
from .measurements import INTENSITIES, Columns, Measurements

ENDING = "_cells.h5ad"
EMPTY = ("layers", "obsp", "varm", "varp")
"""Parts of an AnnData file that hold nothing here."""
CHUNK = 4096
"""Rows that are compressed together."""
LEVEL = 1
"""Of gzip. After the filter shuffle it makes files as small as level 4 does without it, in two thirds of the time."""


@contextmanager
def write_h5ad(path: Path, measured: Measurements) -> Iterator[Measurements]:
    """Write an AnnData file with the package h5py. Raises OutputError if that fails.

    X: (cells, C) float32, the mean intensities; obs: all measurements; obsm["spatial"]: (cells, 2) float64, the
    centroids (x, y) in px; uns: the image's name, and the pixel size if it is known.
    """
    import h5py

    with atomic_write(path) as partial:
        yield measured
        with h5py.File(partial, "w", locking=False) as file:  # atomic_write has locked it
            _write(file, measured, measured.columns())


def _write(file: Any, measured: Measurements, columns: Columns) -> None:
    subject = measured.subject
    _mark(file, "anndata", "0.1.0")
    means = [columns[f"{INTENSITIES[0]}-{channel}"] for channel in subject.channels]
    _array(file, "X", np.stack(means, axis=1).astype(np.float32))
    _frame(file, "obs", columns["label"].astype(str), columns)
    _frame(file, "var", np.array(subject.channels), {})
    spatial = _group(file, "obsm")
    _array(spatial, "spatial", np.stack([columns["centroid-1"], columns["centroid-0"]], axis=1))
    about = _group(file, "uns")
    _mark(about.create_dataset("image", data=subject.name), "string", "0.2.0")
    if subject.pixel_size_um is not None:
        _mark(about.create_dataset("pixel_size_um", data=subject.pixel_size_um), "numeric-scalar", "0.2.0")
    for name in EMPTY:
        _group(file, name)


def _mark(item: Any, kind: str, version: str) -> None:
    """Say how an item is stored."""
    item.attrs["encoding-type"], item.attrs["encoding-version"] = kind, version


def _group(parent: Any, name: str) -> Any:
    group = parent.create_group(name)
    _mark(group, "dict", "0.1.0")
    return group


def _array(parent: Any, name: str, values: np.ndarray[tuple[int, ...], np.dtype[Any]]) -> None:
    """Store numbers, compressed if there are many."""
    rows = min(CHUNK, len(values))
    packing = {"shuffle": True, "compression": "gzip", "compression_opts": LEVEL}
    storage = {"chunks": (rows, *values.shape[1:]), **packing} if rows else {}
    _mark(parent.create_dataset(name, data=values, track_times=False, **storage), "array", "0.2.0")


def _frame(
    parent: Any, name: str, index: np.ndarray[tuple[int], np.dtype[np.str_]], columns: Mapping[str, Any]
) -> None:
    """Store a data frame whose rows have the names ``index``."""
    import h5py

    frame = parent.create_group(name)
    _mark(frame, "dataframe", "0.2.0")
    frame.attrs["_index"] = "_index"
    frame.attrs.create("column-order", list(columns), dtype=h5py.string_dtype(), shape=(len(columns),))
    _mark(frame.create_dataset("_index", data=index.astype(object), dtype=h5py.string_dtype()), "string-array", "0.2.0")
    for column, values in columns.items():
        _array(frame, column, values.astype(np.bool_) if column == "touches_border" else values)
