"""Leica LIF, read with liffile: the pixels are not compressed, so that they are mapped and read in windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..memmap import Pixels
from ..metadata import in_micrometres
from ..planes import PlaneStack, Position, as_image_error, stacks
from ..size_limits import check_memory

KIND = "Leica LIF"
LETTER = {"M": "R"}
"""Our letter of an axis, where it differs: M are the tiles of a mosaic, which are positions for us."""


def open_lif(path: Path, kind: str, chosen: bool) -> list[PlaneStack]:
    """Open a LIF file and return its images. Raises ImageError if it cannot be read or holds no image."""
    with as_image_error(KIND):
        from liffile import LifFile

        images = list(LifFile(path).images)
        usable = [image for image in images if not image.is_flim and {"Y", "X"} <= image.sizes.keys()]
        left_out = [image.name for image in images if image not in usable]
        return stacks(path, KIND, [_position(image) for image in usable], chosen, left_out)


def _position(image: Any) -> Position:
    sizes = {LETTER.get(axis, axis): length for axis, length in image.sizes.items()}
    channels = [_channel_name(channel) for channel in image.xml_element.iterfind(".//ChannelDescription")]

    def plane(chosen: Mapping[str, int]) -> Pixels:
        index = {axis: chosen[letter] for axis in image.sizes if (letter := LETTER.get(axis, axis)) in chosen}
        return _plane(image, index)

    return Position(sizes, image.dtype, plane, image.name, channels, _pixel_size(image))


def _plane(image: Any, index: Mapping[str, int]) -> Pixels:
    """Return a plane (Y, X) or (Y, X, S): mapped if the image is stored without gaps and without colours."""
    if "S" not in image.sizes and math.prod(image.shape) * image.dtype.itemsize == image.memory_block.size:
        mapped: Pixels = image.memory_block.read_array(image.shape, image.dtype, out="memmap")
        rest = [axis for axis in image.dims if axis in "YX"]
        mapped = mapped[tuple(index.get(axis, slice(None)) if axis not in "YX" else slice(None) for axis in image.dims)]
        return mapped if rest == ["Y", "X"] else mapped.T
    check_memory(math.prod(image.sizes.get(axis, 1) for axis in "YXS") * image.dtype.itemsize)
    (plane,) = image.frames(**index).values() if index else image.frames.values()
    return np.asarray(plane)


def _channel_name(channel: Any) -> str:
    """Return the dye of a channel, otherwise the name of its colour table."""
    named = {one.get("Key"): one.get("Value", "") for one in channel.iterfind("./ChannelProperty")}
    for one in channel.iterfind("./ChannelProperty"):
        named.setdefault(one.findtext("Key"), one.findtext("Value") or "")
    return str(named.get("DyeName") or channel.get("LUTName") or "")


def _pixel_size(image: Any) -> float | None:
    """Return the pixel size in micrometres: the length of the axis X by its steps."""
    for dimension in image.xml_element.iterfind(".//DimensionDescription[@DimID='1']"):
        count = int(dimension.get("NumberOfElements", 0))
        length = in_micrometres(dimension.get("Length"), dimension.get("Unit"))
        return abs(length) / (count - 1) if length and count > 1 else None
    return None
