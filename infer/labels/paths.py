"""Names of the label files of an image and of the hidden files beside them."""

from __future__ import annotations

import re
from pathlib import Path

from ..system.atomic_write import remove_partial

LABEL_SUFFIX = "_label.tiff"
FULL_SUFFIX = "_label_int32.tiff"
ENDINGS = (
    LABEL_SUFFIX, FULL_SUFFIX, "_overlay.jpg", "_cells.csv", "_cells.geojson", "_cells.geojson.gz", "_rois.zip",
    "_labels.ome.tif", "_labels.ome.zarr", "_cells.parquet", "_cells.h5ad", "_card.json",
)  # fmt: skip
"""The endings of all files and folders that can be written for an image."""
LABEL_SUFFIXES = ("", "_nuclear")
"""What tells the label files of one image, or of one frame, apart (`flowmask.families.Family.label_sets`)."""
SUFFIX = re.compile(r"(\.ome)?\.[a-z][a-z0-9]{1,5}$", re.IGNORECASE)
"""What a file name loses when it becomes the name of a label file."""


def label_path(folder: Path, name: str, challenge: bool = False) -> Path:
    """Return the label file of an image with this file name, in ``folder``.

    The last suffix is removed, and ``.ome`` before it. With ``challenge`` the name ends at its first dot, as the
    challenge's evaluation reads it.

    >>> label_path(Path("out"), "2026.11.29_well1.ome.tiff").as_posix()
    'out/2026.11.29_well1_label.tiff'
    >>> label_path(Path("out"), "2026.11.29_well1.ome.tiff", challenge=True).as_posix()
    'out/2026_label.tiff'
    """
    return folder / f"{name.split('.')[0] if challenge else SUFFIX.sub('', name)}{LABEL_SUFFIX}"


def frame_path(target: Path, suffix: str) -> Path:
    """Return the label file of one frame of a series, whose image has the label file ``target``.

    suffix: of the frame, such as "_t001"; empty for a file of one image.

    >>> frame_path(Path("out/cells_label.tiff"), "_t001").as_posix()
    'out/cells_t001_label.tiff'
    """
    return target.with_name(f"{target.name.removesuffix(LABEL_SUFFIX)}{suffix}{LABEL_SUFFIX}")


def may_be_frame(target: Path, other: Path) -> bool:
    """Return whether ``target`` can be a label file of an image whose first label file is ``other``, or of its frames.

    >>> may_be_frame(Path("a_t001_label.tiff"), Path("a_label.tiff"))
    True
    >>> may_be_frame(Path("a_test_label.tiff"), Path("a_label.tiff"))
    False
    >>> may_be_frame(Path("a_t001_nuclear_label.tiff"), Path("a_label.tiff"))
    True
    """
    stem, start = target.name.removesuffix(LABEL_SUFFIX), other.name.removesuffix(LABEL_SUFFIX)
    if not stem.startswith(start):
        return False
    return re.fullmatch(rf"(_[a-z]\d{{3,}})*({'|'.join(LABEL_SUFFIXES)})", stem[len(start) :]) is not None


def full_path(target: Path) -> Path:
    """Return the int32 file beside the label file ``target``; it is written if int16 cannot number all cells.

    >>> full_path(Path("out/cells_label.tiff")).as_posix()
    'out/cells_label_int32.tiff'
    """
    return target.with_name(target.name.removesuffix(LABEL_SUFFIX) + FULL_SUFFIX)


def maps_path(target: Path) -> Path:
    """Return the hidden file that caches the network's output until the label file ``target`` is finished.

    >>> maps_path(Path("out/cells_label.tiff")).as_posix()
    'out/.cells_label.tiff.maps'
    """
    return target.with_name(f".{target.name}.maps")


def bands_path(target: Path) -> Path:
    """Return the hidden folder in which processes share the network's output of the image with this label file.

    >>> bands_path(Path("out/cells_label.tiff")).as_posix()
    'out/.cells_label.tiff.bands'
    """
    return target.with_name(f".{target.name}.bands")


def counts_path(target: Path) -> Path:
    """Return the hidden folder in which processes share the histograms of the image with this label file.

    >>> counts_path(Path("out/cells_label.tiff")).as_posix()
    'out/.cells_label.tiff.counts'
    """
    return target.with_name(f".{target.name}.counts")


def remove_partials(target: Path) -> None:
    """Remove the partial files that an interrupted run left of an image, whose label file is ``target``.

    Cached maps stay.

    Raises OutputError if a partial file cannot be removed.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, ".a_label.tiff.partial").touch()
    ...     remove_partials(Path(folder, "a_label.tiff"))
    ...     list(Path(folder).iterdir())
    []
    """
    for ending in ENDINGS:
        remove_partial(target.with_name(target.name.removesuffix(LABEL_SUFFIX) + ending))
