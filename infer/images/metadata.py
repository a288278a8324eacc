"""What an image file says about itself: channel names, pixel size, pyramid levels."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MICROMETRES = {
    "": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6, "picometer": 1e-6, "angstrom": 1e-4,
    "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6, "å": 1e-4, "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
"""Micrometres in each unit of length, by its name in lower case. Without a unit, OME means micrometres."""
TIFF_UNITS = {2: 25400.0, 3: 1e4, 4: 1e3, 5: 1.0}
"""Micrometres in each value of TIFF's tag ResolutionUnit: inch, centimetre, millimetre, micrometre."""
SQUARE = 0.01
"""Pixels whose sides differ by at most this part are squares."""
SMALLEST, LARGEST = 0.001, 20.0
"""Range of plausible pixel sizes, in micrometres. 1,270 dots per inch are 20 um: screens and printers are coarser."""


@dataclass(frozen=True)
class ImageInfo:
    """What is known about an image beside its pixels."""

    file_type: str
    """The format, such as "OME-TIFF" or "PNG"; "array" for an array."""
    axes: str = "CYX"
    """The axes as they are stored, such as "TZCYX"; S are the samples (colours) of a pixel."""
    channel_names: tuple[str, ...] = ()
    """One name for each channel; empty if the file names none."""
    pixel_size_um: float | None = None
    """Side of a pixel in micrometres, None if unknown; of a pixel that is no square, that of a square of its area."""
    levels: tuple[tuple[int, int], ...] = ()
    """(Y, X) of each pyramid level, the full resolution first."""
    notes: tuple[str, ...] = ()
    """One sentence about each decision that the user may want to know."""
    nodata: float | None = None
    """The value that stands for "no data" in the file. Such pixels are read as NaN."""
    name: str = ""
    """The name of the image in its file, where a file can hold several images."""
    pixel_sides_um: tuple[float, float] | None = None
    """Height and width of a pixel in micrometres if they differ."""


def plausible(size: float | None) -> float | None:
    """Return a pixel size in micrometres, or None if no microscope has pixels of that size.

    >>> plausible(0.25), plausible(25400 / 300), plausible(0.0)
    (0.25, None, None)
    """
    return size if size is not None and math.isfinite(size) and SMALLEST <= size <= LARGEST else None


def square_pixel(height: float | None, width: float | None) -> tuple[float | None, tuple[float, float] | None]:
    """Return the side of a pixel, or of a square of its area, and (height, width) if they differ by more than 1 %.

    >>> square_pixel(0.5, 0.5), square_pixel(0.25, 1.0), square_pixel(None, 0.5)
    ((0.5, None), (0.5, (0.25, 1.0)), (0.5, None))
    """
    if height is None or width is None or abs(height - width) <= SQUARE * width:
        return width if width is not None else height, None
    return math.sqrt(height * width), (height, width)


def in_micrometres(text: object, unit: object) -> float | None:
    """Return a length in micrometres, or None if the number or its unit cannot be understood.

    >>> in_micrometres("250", "nm"), in_micrometres("1", "pixel")
    (0.25, None)
    """
    factor = MICROMETRES.get(str(unit or "").replace("\\u00B5", "µ").strip().lower())
    try:
        return None if factor is None else float(str(text)) * factor
    except ValueError:
        return None


def ome_image(
    xml: str, found: list[str], index: int
) -> tuple[str, tuple[str, ...], float | None, tuple[float, float] | None]:
    """Return name, channel names and the result of `square_pixel` of an image in OME-XML.

    found: the names of the images whose pixels were found; index: which of them. Channel names are empty unless every
    channel has one. A channel of several samples (colours) has one name for all of them; then the names are empty.

    >>> xml = '<OME><Image Name="A"/><Image Name="B"><Pixels PhysicalSizeX="250" PhysicalSizeXUnit="nm"/></Image></OME>'
    >>> ome_image(xml, ["B"], 0)
    ('B', (), 0.25, None)
    """
    images = _images(xml)
    if len(images) != len(found):
        images, index = [image for image in images if image.get("Name", "") == found[index]], 0
    pixels = _children(images[index], "Pixels") if images else []
    if not pixels:
        return "", (), None, None
    channels = _children(pixels[0], "Channel")
    names = tuple(channel.get("Name", "").strip() for channel in channels)
    colours = any(channel.get("SamplesPerPixel", "1") != "1" for channel in channels)
    height, width = (
        plausible(in_micrometres(pixels[0].get(f"PhysicalSize{axis}"), pixels[0].get(f"PhysicalSize{axis}Unit")))
        for axis in "YX"
    )
    names = () if colours or not all(names) else names
    return images[index].get("Name", ""), names, *square_pixel(height, width)


def ome_image_count(xml: str) -> int:
    """Return how many images OME-XML lists; 0 if it cannot be read.

    >>> ome_image_count("<OME><Image/><Image/></OME>"), ome_image_count("notes")
    (2, 0)
    """
    return len(_images(xml))


def _images(xml: str) -> list[Element]:
    """Return the images that OME-XML lists; none if it cannot be read."""
    from xml.etree import ElementTree  # imported here: most images have no OME-XML

    try:
        return _children(ElementTree.fromstring(xml), "Image")
    except ElementTree.ParseError:
        return []


def _children(element: Element, tag: str) -> list[Element]:
    """Return the children with this tag, in any namespace."""
    return [child for child in element if child.tag.rpartition("}")[2] == tag]


def imagej_channels(metadata: dict[str, Any], channels: int) -> tuple[str, ...]:
    """Return the channel names in ImageJ's metadata: the labels of the first ``channels`` slices.

    ImageJ writes the label of slice 1 as "c:1/4 z:1/5 - DAPI" or as "DAPI"; a line break separates further text.

    >>> imagej_channels({"Labels": ["c:1/2 - CD3", "c:2/2 - DAPI"]}, 2)
    ('CD3', 'DAPI')
    """
    labels = metadata.get("Labels") or []
    labels = [labels] if isinstance(labels, str) else list(labels)
    lines = [(str(label).splitlines() or [""])[0] for label in labels[:channels]]
    names = tuple(re.sub(r"^(?:[czt]:\d+/\d+\s*)+(?:-\s*)?", "", line).strip() for line in lines)
    if len(names) == channels and all(names):
        return names
    info = dict(re.findall(r"^\s*Channel[ _]?(\d+)[ _]?Name\s*[=:]\s*(.+?)\s*$", str(metadata.get("Info", "")), re.M))
    found = tuple(info.get(str(number), "") for number in range(1, channels + 1))
    return found if all(found) else ()


def qptiff_names(pages: list[Any]) -> tuple[str, ...]:
    """Return the names that Akoya's QPTIFF stores in the description of each page, or nothing.

    >>> from types import SimpleNamespace
    >>> qptiff_names([SimpleNamespace(description="<Biomarker>CD3</Biomarker><Name>Opal 520</Name>")])
    ('CD3',)
    """
    names = tuple(
        match[1].strip() if (match := re.search(r"<(?:Biomarker|Name)>([^<]+)</", str(page.description))) else ""
        for page in pages
    )
    return names if all(names) else ()


def tiff_pixel_size(page: Any, unit: object = None) -> tuple[float | None, tuple[float, float] | None]:
    """Return the result of `square_pixel` for the resolution tags of a page.

    unit: a unit of length that replaces the tag ResolutionUnit, as in ImageJ's description. The resolution of a screen
    or a printer, such as 72 or 300 dots per inch, is no pixel size.

    >>> from types import SimpleNamespace
    >>> tags = {282: (20_000, 1), 296: 3}  # 20,000 pixels per centimetre
    >>> tiff_pixel_size(SimpleNamespace(tags=SimpleNamespace(valueof=lambda tag, default=None: tags.get(tag, default))))
    (0.5, None)
    """
    height, width = (_tiff_side(page, page.tags.valueof(tag), unit) for tag in (283, 282))
    return (None, None) if width is None else square_pixel(height, width)


def _tiff_side(page: Any, value: Any, unit: object) -> float | None:
    """Return a side of a pixel in micrometres from the value of a resolution tag."""
    try:
        numerator, denominator = value
        if unit is not None:
            return plausible(in_micrometres(denominator / numerator, unit))
        return plausible(denominator / numerator * TIFF_UNITS[int(page.tags.valueof(296, 2))])
    except (TypeError, ValueError, ZeroDivisionError, KeyError):
        return None


def aperio_pixel_size(description: str) -> float | None:
    """Return the pixel size in micrometres from an Aperio description.

    >>> aperio_pixel_size("Aperio Image Library|AppMag = 20|MPP = 0.4990")
    0.499
    """
    match = re.search(r"\bMPP\s*=\s*([0-9.]+)", description)
    return plausible(in_micrometres(match[1], "um")) if match else None
