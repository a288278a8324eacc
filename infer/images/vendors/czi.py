"""Zeiss CZI, read in windows with pylibCZIrw: mosaics are put together, and each scene is a position."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ...errors import ImageError
from ..memmap import Pixels
from ..planes import PlaneStack, Position, as_image_error, stacks

KIND = "Zeiss CZI"
TYPES = {"Gray8": "u1", "Gray16": "u2", "Gray32Float": "f4", "Bgr24": "u1", "Bgr48": "u2", "Bgr96Float": "f4"}
"""The dtype of each pixel type. Bgr are colours, stored as blue, green, red."""
PLANES = "ZTHIVRB"
"""Axes of a CZI file besides channels: depth, time, phase, illumination, view, rotation, block."""
LETTER = {"R": "A"}
"""Our letter of an axis, where it differs: R are positions for us, rotations in a CZI file."""


def open_czi(path: Path, kind: str, chosen: bool) -> list[PlaneStack]:
    """Open a CZI file and return its scenes. Raises ImageError if it cannot be read."""
    with as_image_error(KIND):
        from pylibCZIrw.czi import CziReader

        file = CziReader(str(path))
        types = set(file.pixel_types.values())
        if not types <= TYPES.keys() or len({name[:3] for name in types}) > 1:
            raise ImageError(f"its pixel types ({', '.join(sorted(types))}) cannot be read together; save it as TIFF.")
        scenes = file.scenes_bounding_rectangle_no_pyramid or {None: file.total_bounding_rectangle_no_pyramid}
        metadata = ElementTree.fromstring(file.raw_metadata)
        names = {one.get("Index"): one.get("Name", "") for one in metadata.iterfind(".//Dimensions/S/Scenes/Scene")}
        positions = [
            _position(file, types, scene, box, metadata, names.get(str(scene), ""))
            for scene, box in sorted(scenes.items())
        ]
    return stacks(path, KIND, positions, chosen)


def _position(
    file: Any, types: set[str], scene: int | None, box: Any, metadata: ElementTree.Element, name: str
) -> Position:
    lengths = {axis: end - start for axis, (start, end) in file.total_bounding_box.items()}
    sizes = {LETTER.get(axis, axis): lengths[axis] for axis in PLANES if axis in lengths}
    sizes |= {"C": lengths.get("C", 1), "Y": box.h, "X": box.w}
    if next(iter(types)).startswith("Bgr"):
        sizes["S"] = 3

    def plane(chosen: Mapping[str, int]) -> _Plane:
        index = {axis: chosen[letter] for axis in "C" + PLANES if (letter := LETTER.get(axis, axis)) in chosen}
        return _Plane(file, scene, box, index)

    channels = [one.get("Name", "") for one in metadata.iterfind(".//Information/Image/Dimensions/Channels/Channel")]
    return Position(sizes, np.result_type(*(TYPES[one] for one in types)), plane, name, channels, _pixel_size(metadata))


def _pixel_size(metadata: ElementTree.Element) -> float | None:
    """Return the pixel size in micrometres; the file has it in metres."""
    value = metadata.findtext(".//Scaling/Items/Distance[@Id='X']/Value")
    try:
        return float(value) * 1e6 if value else None
    except ValueError:
        return None


class _Plane:
    """One plane of a scene: (Y, X), or (Y, X, 3) as red, green, blue."""

    def __init__(self, file: Any, scene: int | None, box: Any, index: dict[str, int]) -> None:
        self._file, self._scene, self._box, self._index = file, scene, box, index

    def __getitem__(self, window: tuple[slice, slice]) -> Pixels:
        rows, columns = window
        place = (self._box.x + columns.start, self._box.y + rows.start)
        roi = (*place, columns.stop - columns.start, rows.stop - rows.start)
        pixels: Pixels = self._file.read(roi=roi, plane=self._index, scene=self._scene)
        return pixels[..., ::-1] if pixels.shape[2] == 3 else pixels[..., 0]
