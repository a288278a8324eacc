"""Provenance of label files: with --resume, the label file itself shows whether a run would make the same labels.

The description tag of a label file holds a digest of everything that determines the labels: the image, the network,
the version of Flowmask, the runtime and the options. Label files appear complete or not at all, so a file with the
expected digest is finished. No second file is needed, so none can get lost or belong to another run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..options import LABELS, MAPS, Options, values_that_change
from ..version import __version__
from .labels import INT16_CELLS
from .paths import full_path

Origin = dict[str, Any]
"""Everything that determines a result, as values that JSON can store."""


@dataclass(frozen=True)
class Provenance:
    """The content of the description tag of a label file."""

    flowmask: str
    """SHA-256 of the origin of the labels, in hexadecimal digits."""
    cells: int
    """Number of cells."""
    diameter: float
    """Cell diameter in px of the image, given or estimated."""
    verdict: str | None = None
    """The level of the verdict on the labels (`flowmask.labels.verdict`)."""
    reasons: tuple[str, ...] = ()
    """The reasons of the verdict."""
    outputs: tuple[str, ...] = ()
    """The names for --save of the files beside the label file that were made from these labels."""


def labels_origin(image: str, network: str, runtime: str, options: Options) -> Origin:
    """Return everything that determines the labels of an image.

    image: `flowmask.images.file_type.fingerprint` of the image file, with the suffix of the frame.
    network: SHA-256 of the contents of the network file. runtime: version and provider of ONNX Runtime.

    >>> labels_origin("a1", "b2", "1.23 CPU", Options())["ids"]
    'int32'
    """
    return _origin(image, network, runtime, values_that_change(options, (MAPS, LABELS)))


def maps_origin(image: str, network: str, runtime: str, options: Options) -> Origin:
    """Return everything that determines the network's maps of an image; arguments as in `labels_origin`.

    >>> "ids" in maps_origin("a1", "b2", "1.23 CPU", Options())  # it changes the labels, not the maps
    False
    """
    return _origin(image, network, runtime, values_that_change(options, (MAPS,)))


def _origin(image: str, network: str, runtime: str, values: Origin) -> Origin:
    return {"image": image, "network": network, "runtime": runtime, "engine": __version__, **values}


def description(origin: Origin, cells: int, diameter: float, **more: Any) -> str:
    """Return the description tag of a label file, `Provenance` as JSON.

    diameter: in px of the image. more: the other fields of `Provenance`.

    >>> json.loads(description({"image": "a1"}, cells=7, diameter=30.5, verdict="good"))["cells"]
    7
    """
    return json.dumps(asdict(Provenance(_digest(origin), cells, diameter, **more)))


def finished(target: Path, origin: Origin) -> Provenance | None:
    """Return the provenance of the label file ``target`` if it is complete and has this origin, otherwise None.

    >>> finished(Path("missing_label.tiff"), {"image": "a1"}) is None
    True
    """
    provenance, dtype = _read(target)
    if provenance is None or provenance.flowmask != _digest(origin):
        return None
    if provenance.cells > INT16_CELLS and dtype == np.int16 and not has_provenance(full_path(target), provenance):
        return None
    return provenance


def has_provenance(path: Path, provenance: Provenance) -> bool:
    """Return whether a file is a complete label file with exactly this provenance.

    >>> has_provenance(Path("missing_label.tiff"), Provenance("a1", cells=7, diameter=30.5))
    False
    """
    return _read(path)[0] == provenance


def read_provenance(path: Path) -> Provenance | None:
    """Return the provenance of a label file, or None if Flowmask did not write the file, or if it is incomplete.

    >>> read_provenance(Path("missing_label.tiff")) is None
    True
    """
    return _read(path)[0]


def is_ours(path: Path) -> bool:
    """Return whether a file is a complete label file that Flowmask wrote.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a_label.tiff")
    ...     tifffile.imwrite(path, np.zeros((5, 6), "i4"), description=description({}, 0, 30.5), metadata=None)
    ...     is_ours(path), is_ours(Path(folder))
    (True, False)
    """
    return read_provenance(path) is not None


def _read(path: Path) -> tuple[Provenance | None, np.dtype[np.generic] | None]:
    """Return provenance and dtype of a label file, or (None, None) for any other or incomplete file."""
    try:
        if not path.is_file():
            return None, None
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
            values: dict[str, Any] = json.loads(page.description)
            lists: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
            provenance = Provenance(**{**values, **lists})
            return (provenance, page.dtype) if max(ends) <= file.filehandle.size else (None, None)
    except Exception:  # any user file may be here, with any damage, and any name; then it is no finished label file
        return None, None


def _digest(origin: Origin) -> str:
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
