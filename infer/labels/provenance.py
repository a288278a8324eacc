"""Provenance of label files: a later run reads from the file itself whether it would make the same labels.

The description tag of the label file holds a digest of everything that decided the labels. So no second file can be
lost or belong to another run, and since label files appear complete, a file with the right digest is finished.
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
"""All that decides a result, in values that JSON keeps."""


@dataclass(frozen=True)
class Provenance:
    """The provenance that a label file carries."""

    flowmask: str
    """SHA-256 of the origin of its labels, in hexadecimal digits."""
    cells: int
    diameter: float
    """In px of the image."""


def labels_origin(image: str, network: str, runtime: str, options: Options) -> Origin:
    """Return all that decides the labels of an image.

    image, network: SHA-256 of the contents of the files; runtime: version and provider of ONNX Runtime.
    """
    return _origin(image, network, runtime, values_that_change(options, (MAPS, LABELS)))


def maps_origin(image: str, network: str, runtime: str, options: Options) -> Origin:
    """Return all that decides the network's maps of an image; the arguments are those of `labels_origin`."""
    return _origin(image, network, runtime, values_that_change(options, (MAPS,)))


def _origin(image: str, network: str, runtime: str, values: Origin) -> Origin:
    return {"image": image, "network": network, "runtime": runtime, "engine": __version__, **values}


def description(origin: Origin, cells: int, diameter: float) -> str:
    """Return the description tag of a label file: JSON of `Provenance`."""
    return json.dumps(asdict(Provenance(_digest(origin), cells, diameter)))


def finished(target: Path, origin: Origin) -> Provenance | None:
    """Return the provenance of the labels ``target`` if they are complete and of this origin, otherwise None."""
    made, dtype = _read(target)
    if made is None or made.flowmask != _digest(origin):
        return None
    if made.cells > INT16_CELLS and dtype == np.int16 and not has_provenance(full_path(target), made):
        return None
    return made


def has_provenance(path: Path, made: Provenance) -> bool:
    """Tell whether a file is a complete label file with just this provenance."""
    return _read(path)[0] == made


def is_ours(path: Path) -> bool:
    """Tell whether a file is a label file that Flowmask has made."""
    return _read(path)[0] is not None


def _read(path: Path) -> tuple[Provenance | None, np.dtype[np.generic] | None]:
    """Return provenance and type of a label file; None where there is no complete file with a provenance."""
    if not path.is_file():
        return None, None
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
            made = Provenance(**json.loads(page.description))
            return (made, page.dtype) if max(ends) <= file.filehandle.size else (None, None)
    except Exception:  # it may be anybody's file, and damaged in any way: it is none that is known to be finished
        return None, None


def _digest(origin: Origin) -> str:
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
