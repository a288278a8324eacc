"""Cache the finished rows of maps on disk, so that an interrupted run continues after the last cached row.

The network takes most of the time, so only its maps are cached; the cached rows are labelled again. The file is one of
records (`flowmask.records`): the first one has the diameter, the others are maps (channels, n, X) float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .labels.provenance import Origin
from .records import Payload, RecordFile, as_output_error
from .tiles.blend import Array


def discard(path: Path) -> None:
    """Remove a cache file if it exists. Raises OutputError when that fails.

    >>> discard(Path(".missing_label.tiff.maps"))
    """
    with as_output_error(path):
        path.unlink(missing_ok=True)


class MapCache:
    """A file with the finished rows of the maps of one image, from the top down. Use it as a context manager.

    First read `parts` to its end, then call `append`. All methods raise OutputError when the file cannot be read or
    written.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        """Open the file or create it. Its rows are deleted unless they have the same ``origin``.

        origin: everything that decides the maps, such as the image, the network and the options. Raises FileInUse if
        another live process has the file open.
        """
        self._file = RecordFile(path, origin)

    def __enter__(self) -> MapCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.__exit__()

    @property
    def diameter(self) -> float | None:
        """The cell diameter in image px that the cached rows were computed with; None if there are no rows."""
        return self._file.about["diameter"] if self._file.about else None

    def begin(self, diameter: float) -> None:
        """Write the diameter in image px for the rows that follow. Call this only if `diameter` is None."""
        self._file.begin(diameter=diameter)

    def parts(self, width: int, channels: int) -> Iterator[Array]:
        """Yield the cached rows (channels, n, width) float32; cut the file at the first damaged record."""
        return (rows_of(payload, width, channels) for payload in self._file.payloads())

    def append(self, part: Array) -> None:
        """Write the next rows (channels, n, X) float32."""
        self._file.add(payload_of(part))


def payload_of(part: Array) -> Payload:
    """Return the payload of a record with maps (channels, n, X) float32.

    >>> len(payload_of(np.zeros((3, 2, 5), np.float32)))  # 4 bytes each
    120
    """
    payload: Payload = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
    return payload


def rows_of(payload: Payload, width: int, channels: int) -> Array:
    """Return the maps (channels, n, width) float32 of a record.

    >>> rows_of(payload_of(np.array([[[1, 2]], [[3, 4]]], np.float32)), width=2, channels=2).tolist()
    [[[1.0, 2.0]], [[3.0, 4.0]]]
    """
    rows: Array = payload.view(np.float32).reshape(channels, -1, width)
    return rows
