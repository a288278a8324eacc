"""Label files that say what they were made of, so that a later run knows those that it need not make again.

The label file itself says it, in its description tag: no other file can be lost, or be of another run, and since label
files appear whole, one that says so is complete.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..options import Settings
from ..version import __version__
from .labels import INT16_CELLS
from .paths import full_path

Origin = dict[str, Any]
"""All that decides a result, in values that JSON gives back unchanged."""
UNHEEDED = ("batch", "memory", "threads", "device", "gpu_memory")
"""Settings on which the labels do not depend; what the device comes to is part of the runtime."""
OF_DYNAMICS = ("flow_threshold", "cellprob_threshold", "min_size", "ids")
"""Settings on which the labels depend and the maps do not."""


@dataclass(frozen=True)
class Made:
    """What a label file says of itself."""

    flowmask: str
    """SHA-256 of the origin of its labels, in hexadecimal digits."""
    cells: int
    diameter: float
    """In px of the image."""


def labels_origin(image: str, network: str, runtime: str, settings: Settings) -> Origin:
    """Return all that decides the labels of an image: image and network by the digest of their contents."""
    return {
        "image": image,
        "network": network,
        "runtime": runtime,
        "engine": __version__,
        **{name: value for name, value in asdict(settings).items() if name not in UNHEEDED},
        "channels": settings.channels and list(settings.channels),
    }


def maps_origin(origin: Origin) -> Origin:
    """Return all that decides the maps, of what decides the labels."""
    return {name: value for name, value in origin.items() if name not in OF_DYNAMICS}


def description(origin: Origin, cells: int, diameter: float) -> str:
    """Return what a label file is to say of itself: JSON of `Made`."""
    return json.dumps(asdict(Made(_digest(origin), cells, diameter)))


def finished(target: Path, origin: Origin) -> Made | None:
    """Return what the labels ``target`` say of themselves if they are complete and of this origin, otherwise None."""
    made, dtype = _read(target)
    if made is None or made.flowmask != _digest(origin):
        return None
    if made.cells > INT16_CELLS and dtype == np.int16 and not says(full_path(target), made):
        return None
    return made


def says(path: Path, made: Made) -> bool:
    """Tell whether a file is a complete label file that says just this of itself."""
    return _read(path)[0] == made


def is_ours(path: Path) -> bool:
    """Tell whether a file is a label file that Flowmask has made."""
    return _read(path)[0] is not None


def _read(path: Path) -> tuple[Made | None, np.dtype[np.generic] | None]:
    """Return what a label file says of itself, and its type; None where there is no complete one that says anything."""
    if not path.is_file():
        return None, None
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
            made = Made(**json.loads(page.description))
            return (made, page.dtype) if max(ends) <= file.filehandle.size else (None, None)
    except Exception:  # it may be anybody's file, and damaged in any way: it is none that is known to be finished
        return None, None


def _digest(origin: Origin) -> str:
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
