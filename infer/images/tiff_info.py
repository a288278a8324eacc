"""Open a TIFF file with tifffile, and collect what it says about its image."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from ..errors import ImageError
from .axes import Axes
from .colours import Colours
from .metadata import (
    ImageInfo,
    aperio_pixel_size,
    imagej_channels,
    ome_image,
    qptiff_names,
    tiff_pixel_size,
)
from .nodata import declared_nodata

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # its messages are not for our user
MOST_NAMED = 3
"""Files that the message about missing planes names."""
DISPLAY_TABLES = ("imagej", "ome", "lsm", "nih", "stk", "fluoview", "mmstack", "ndtiff")
"""Kinds of microscopy files, as named by tifffile, whose colour table only says how to show grey values."""


def open_tiff(path: Path) -> Any:
    """Open a file with tifffile. An OME-TIFF file that was renamed is read as if it had its old name.

    Raises ImageError if an OME-TIFF file lacks planes that are stored in another file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", shape=(50, 60), dtype="u1")
    ...     with open_tiff(Path(folder, "a.tif")) as file:
    ...         file.series[0].shape
    (50, 60)
    """
    file = tifffile.TiffFile(path)
    if not file.is_ome:
        return file
    xml, missing = _own_planes(file, path)
    if missing:
        file.close()
        names = ", ".join(missing[:MOST_NAMED]) + (", ..." if len(missing) > MOST_NAMED else "")
        raise ImageError(f"it is part of a multi-file OME-TIFF (some planes are in {names}); save all as one file.")
    if xml is None:
        return file
    file.close()
    return tifffile.TiffFile(path, omexml=xml)


def _own_planes(file: Any, path: Path) -> tuple[str | None, list[str]]:
    """Return (OME-XML without file names, []) for a renamed file, or (None, names of the other files with planes).

    The planes are all here if they name one file only, and that file's UUID is the one of this file, or this file has
    as many pages as the planes that are listed. (None, []): nothing needs to be changed.
    """
    try:
        root = ElementTree.fromstring(file.pages.first.description)
    except ElementTree.ParseError:
        return None, []
    own = root.get("UUID")
    data = [element for element in root.iter() if element.tag.endswith("}TiffData")]
    uuids = [(child, element) for element in data for child in element if child.tag.endswith("}UUID")]
    foreign = {child.get("FileName", "") for child, _ in uuids} - {path.name}
    strangers = {child.text for child, _ in uuids} - {own}
    if not foreign or not strangers:
        return None, []
    listed = sum(int(element.get("PlaneCount", element.get("NumPlanes", 1))) for element in data)
    if len({child.text for child, _ in uuids}) > 1 or listed > len(file.pages):
        others = {child.get("FileName", "") for child, _ in uuids if child.text != own} - {path.name}
        return None, [name or "a file without a name" for name in sorted(others or foreign)]
    for child, element in uuids:
        element.remove(child)
    return ElementTree.tostring(root, encoding="unicode").strip(), []


def lost_images(file: Any, series: Any) -> tuple[str, ...]:
    """Return a note if an ImageJ file describes more images than are read as ``series``: tifffile reads one image then.

    Either the file was cut off, which happens to stacks above 4 GB, or another program kept the description of a stack
    when it saved one image of it.

    >>> import io, numpy as np
    >>> file = io.BytesIO()
    >>> about = {"description": "ImageJ=1.54f\\nimages=9\\nslices=9\\n", "metadata": None}
    >>> tifffile.imwrite(file, np.zeros((50, 60), np.uint8), **about)
    >>> _ = file.seek(0)
    >>> with tifffile.TiffFile(file) as opened:
    ...     lost_images(opened, opened.series[0])
    ('Its description tells of 9 images, but 1 can be read; the file may be cut off.',)
    """
    described = int((file.imagej_metadata or {}).get("images", 1)) if file.is_imagej else 1
    found = series.size // series.keyframe.size
    if described <= found:
        return ()
    return (f"Its description tells of {described:,} images, but {found:,} can be read; the file may be cut off.",)


def display_only(file: Any, page: Any) -> bool:
    """Return whether the colour table of a page is for display, so that the indices are the data.

    This holds in files of microscopy programs. In other files, the palette holds the colours of the picture.
    """
    if page.photometric != tifffile.PHOTOMETRIC.PALETTE:
        return False
    return bool(page.is_imagej or file.series[0].kind in DISPLAY_TABLES)


def describe(file: Any, series: Any, axes: Axes, colours: Colours, before: tuple[str, ...] = ()) -> ImageInfo:
    """Return what a file says about its image ``series``. ``before``: notes about the choice of the image."""
    page, description = series.keyframe, str(file.pages.first.description)
    names: tuple[str, ...] = ()
    size, sides = None, None
    name = ""
    if file.is_ome:
        kind = "OME-TIFF"
        name, names, size, sides = ome_image(description, [one.name for one in file.series], file.series.index(series))
    elif file.is_imagej:
        kind = "ImageJ TIFF"
        metadata = file.imagej_metadata or {}
        names = imagej_channels(metadata, colours.channels)
        size, sides = tiff_pixel_size(page, metadata.get("unit") or "pixel")
    elif description.startswith("Aperio"):
        kind, size = "Aperio TIFF", aperio_pixel_size(description)
    else:
        kind, (size, sides) = "TIFF", tiff_pixel_size(page)
        names = qptiff_names(list(series.pages)) if "PerkinElmer-QPI" in description else ()
    notes = [*before, *axes.notes]
    if display_only(file, page):
        notes.append("Its colour table is for display and was not applied; the stored grey values are used.")
    nodata = declared_nodata(page)
    if nodata is not None and colours.palette:
        notes.append(f"The entry {nodata:g} of its palette is declared as no data, but is read as its colour.")
        nodata = None
    elif nodata is not None:
        notes.append(f"Pixels of the value {nodata:g} are declared as no data and do not count.")
    y, x = series.axes.index("Y"), series.axes.index("X")
    levels = tuple(
        (int(level.shape[y]), int(level.shape[x])) for level in series.levels if len(level.shape) > max(y, x)
    )
    if len(names) != colours.channels:
        names = ()
    letters = re.sub("[^A-Z]", "", axes.letters)
    return ImageInfo(kind, letters, names, size, levels, tuple(notes), nodata, name, sides)
