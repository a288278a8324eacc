"""Nikon ND2, read with the package nd2: frames that are not compressed are mapped, others decoded one at a time."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ..memmap import Pixels
from ..planes import PlaneStack, Position, as_image_error, stacks

KIND = "Nikon ND2"


def open_nd2(path: Path, kind: str, chosen: bool) -> list[PlaneStack]:
    """Open an ND2 file and return its positions. Raises ImageError if it cannot be read."""
    with as_image_error(KIND), ExitStack() as closing:
        from nd2 import ND2File

        file = ND2File(path)
        closing.callback(file.close)
        frames = _Frames(file)
        opened = stacks(path, KIND, _positions(file, frames), chosen)
        weakref.finalize(frames, closing.pop_all().close)
        return opened


def _positions(file: Any, frames: _Frames) -> list[Position]:
    sizes = {"Y": 1, "X": 1} | {axis: length for axis, length in file.sizes.items() if axis != "P"}
    channels = [channel.channel.name for channel in file.metadata.channels or ()]
    count = file.sizes.get("P", 1)
    found = []
    for number in range(count):

        def plane(chosen: Mapping[str, int], number: int = number) -> Pixels:
            return frames.plane({**chosen, "P": number})

        names = _names(file) if count > 1 else []
        name = names[number] if number < len(names) else ""
        found.append(Position(sizes, np.dtype(file.dtype), plane, name, channels, file.voxel_size().x))
    return found


def _names(file: Any) -> list[str]:
    """Return the names of the positions, where the file gives them."""
    loops = [loop for loop in file.experiment if loop.type == "XYPosLoop"]
    return [point.name or "" for point in loops[0].parameters.points] if loops else []


class _Frames:
    """The frames of a file. A frame holds all channels of one plane; the last one is kept for its other channels."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._number = {frozenset(loop.items()): number for number, loop in enumerate(file.loop_indices)}
        self._axes = {axis for loop in file.loop_indices for axis in loop}
        self._last: tuple[int, Pixels] | None = None

    def plane(self, chosen: Mapping[str, int]) -> Pixels:
        """Return (Y, X) of a channel, or (Y, X, 3) as red, green, blue: the file has blue first."""
        key = frozenset((axis, chosen.get(axis, 0)) for axis in self._axes)
        number = self._number.get(key, 0) if self._axes else 0
        if self._last is None or self._last[0] != number:
            self._last = number, self._frame(number)
        frame = self._last[1]
        if self._file.sizes.get("S", 1) == 3:
            return frame[0, :, :, ::-1]
        channel = 0 if "C" in self._axes else chosen.get("C", 0)
        return frame[channel // frame.shape[3], :, :, channel % frame.shape[3]]

    def _frame(self, number: int) -> Pixels:
        """Return a frame as (channels, Y, X, components of a channel)."""
        file, sizes = self._file, self._file.sizes
        components = file.components_per_channel
        frame: Pixels = file.read_frame(number)
        return frame.reshape(-1, sizes.get("Y", 1), sizes.get("X", 1), components)
