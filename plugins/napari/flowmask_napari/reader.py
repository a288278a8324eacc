"""Opens the label files of Flowmask as layers of labels; those of slides are read where one looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tifffile
import zarr

LayerData = tuple[Any, dict[str, Any], str]
"""Pixels, or the levels of a pyramid; properties of the layer; kind of layer."""


def labels_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the function that opens label files; None if a file is not (Y, X) with whole numbers."""
    return read_labels if all(_holds_labels(file) for file in _files(path)) else None


def read_labels(path: str | Sequence[str]) -> list[LayerData]:
    """Return a layer of labels for each file. Its pixels are those of the image: the pixel size is not applied."""
    return [(pixels(Path(file)), {"name": Path(file).name.split(".")[0]}, "labels") for file in _files(path)]


def pixels(path: Path) -> Any:
    """Return the labels (Y, X) of a file, or a list of the levels of its pyramid, which are read in windows."""
    with tifffile.TiffFile(path) as file:
        levels, tiled = len(file.series[0].levels), file.pages.first.is_tiled
    if not tiled:
        return tifffile.imread(path)
    opened = zarr.open(tifffile.imread(path, aszarr=True), mode="r")
    return opened if levels == 1 else [opened[str(level)] for level in range(levels)]


def _files(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)


def _holds_labels(path: str) -> bool:
    with tifffile.TiffFile(path) as file:
        return file.series[0].ndim == 2 and file.series[0].dtype.kind in "iu"
