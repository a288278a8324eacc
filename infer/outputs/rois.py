"""Outlines as a zip file of ImageJ's ROIs, which Fiji's ROI Manager opens: one ROI for each cell."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..images.memmap import Pixels
from ..labels.labels import Labels
from ..system.atomic_write import atomic_write
from .complete_cells import Cell
from .subject import Subject

TIME = (1980, 1, 1, 0, 0, 0)
"""The time of all entries, so that the same cells give the same file."""
MOVE, LINE, CLOSE = 0.0, 1.0, 4.0
"""Commands of a path in ImageJ's file format."""


class Rois:
    """Writes ROIs to an open zip file."""

    def __init__(self, file: zipfile.ZipFile, roifile: Any) -> None:
        self._file, self._roifile = file, roifile

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Do nothing: outlines do not depend on the pixels of the image."""

    def cell(self, cell: Cell) -> None:
        """Write the ROI of a cell; its name is the cell's number."""
        roi = (
            _composite(cell, self._roifile)
            if len(cell.outlines[0]) + len(cell.outlines) > 2
            else _polygon(cell, self._roifile)
        )
        self._file.writestr(zipfile.ZipInfo(f"{cell.number}.roi", TIME), roi.tobytes(), zipfile.ZIP_DEFLATED)


@contextmanager
def write_rois(path: Path, subject: Subject) -> Iterator[Rois]:
    """Write a zip file of ROIs with the package roifile. Raises OutputError if that fails."""
    import roifile

    with atomic_write(path) as partial, zipfile.ZipFile(partial, "w") as file:
        yield Rois(file, roifile)


def _polygon(cell: Cell, roifile: Any) -> Any:
    """Return the exact outline of a cell in one part without holes."""
    roi = roifile.ImagejRoi.frompoints(cell.outlines[0][0][:, ::-1], name=str(cell.number))
    roi.roitype = roifile.ROI_TYPE.TRACED
    return roi


def _composite(cell: Cell, roifile: Any) -> Any:
    """Return a cell of several parts or with holes as one path of several closed lines."""
    rings = [ring[:, ::-1].astype(np.float32) for part in cell.outlines for ring in part]
    corners = np.concatenate(rings)
    path: list[float] = []
    for ring in rings:
        path += [MOVE, *ring[0]]
        for point in ring[1:]:
            path += [LINE, *point]
        path.append(CLOSE)
    roi = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, name=str(cell.number))
    roi.left, roi.top = map(int, corners.min(axis=0))
    roi.right, roi.bottom = map(int, corners.max(axis=0))
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    return roi
