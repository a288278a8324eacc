"""The maps of a GPU session, whose tiles lie in a buffer on the device that is used again."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import one_line
from .contract import Head

Array = npt.NDArray[np.float32]
PROBE = 64
"""Height and width in px of the tile that a GPU is tried with."""
SHRINK = "memory.enable_memory_arena_shrinkage"
"""ONNX Runtime's option for a run, after which the arena that it names gives back what it does not use."""
NO_ROOM = (
    "failed to allocate", "smaller than requested bytes", "out of memory", "out_of_memory", "alloc_failed",
    "allocation_failed", "bad_alloc",
)  # fmt: skip
"""What the messages of ONNX Runtime's arena, CUDA, cuDNN, cuBLAS and C++ say, among more, when memory runs out."""


def no_room(error: Exception) -> bool:
    """Return whether memory ran out."""
    return isinstance(error, MemoryError) or says_no_room(one_line(error))


def says_no_room(said: str) -> bool:
    return any(words in said.lower() for words in NO_ROOM)


def probe_tile(session: Any) -> Array:
    """Return a small tile of zeros (1, C, Y, X) for the session's network."""
    return np.zeros((1, session.get_inputs()[0].shape[1], PROBE, PROBE), np.float32)


class BoundMaps:
    """The maps of a session, whose tiles lie in a buffer on the device that is used again while tiles fill half of it.

    Fewer tiles than it holds go through with what was there before: a new number of tiles would have cuDNN plan every
    convolution anew. Where memory runs out, what tiles of other shapes have left in the session's arena is given back
    first, once. One thread at a time runs.
    """

    def __init__(self, session: Any, device: str, index: int, heads: tuple[Head, ...]) -> None:
        self._session, self._device, self._heads = session, (device, index), heads
        self._binding = session.io_binding()
        self._shape: tuple[int, ...] = (0,)
        self._tiles: Any = None
        """The buffer on the device, of `_shape`."""
        self._staged: Any = None
        """Tiles of `_shape` in the host's memory, where fewer are made up to that number."""
        self._lock = Lock()

    def run(self, tiles: Array) -> Array:
        """Return the values of all heads (B, channels, Y, X) for tiles (B, C, Y, X) float32, in memory of its own."""
        with self._lock:
            try:
                return self._run(tiles)
            except Exception as error:
                if not no_room(error):
                    raise
            with suppress(Exception):  # whether it helps shows at once
                self._give_back()
            return self._run(tiles)

    def _run(self, tiles: Array) -> Array:
        try:
            self._fill(tiles)
            found = [np.empty((self._shape[0], head.channels, *self._shape[2:]), np.float32) for head in self._heads]
            for head, values in zip(self._heads, found, strict=True):
                self._binding.bind_output(head.name, "cpu", 0, np.float32, values.shape, values.ctypes.data)
            self._session.run_with_iobinding(self._binding)
        except Exception:
            self._drop()  # fewer tiles, which may come next, are to have a smaller buffer
            raise
        maps = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
        return maps[: len(tiles)]

    def _fill(self, tiles: Array) -> None:
        """Bring the tiles into the buffer, a new one where they do not fit or fill half of it at most."""
        if not self._shape[0] // 2 < len(tiles) <= self._shape[0] or tiles.shape[1:] != self._shape[1:]:
            self._make_room(tiles.shape)
        if tiles.shape == self._shape:
            self._tiles.update_inplace(tiles)
        else:
            self._staged[: len(tiles)] = tiles
            self._tiles.update_inplace(self._staged)

    def _give_back(self) -> None:
        """Have the session's arena give back what it does not use: it does so after a run."""
        from onnxruntime import RunOptions

        kind, index = self._device
        options = RunOptions()
        options.add_run_config_entry(SHRINK, f"{'gpu' if kind == 'cuda' else kind}:{index}")
        self._session.run([self._heads[0].name], {"image": probe_tile(self._session)}, options)

    def _make_room(self, shape: tuple[int, ...]) -> None:
        self._drop()
        self._tiles = self._session.create_ortvalue_from_shape_and_type(shape, np.float32, *self._device)
        self._binding.bind_ortvalue_input("image", self._tiles)
        self._staged = np.zeros(shape, np.float32)
        self._shape = shape

    def _drop(self) -> None:
        """Give up the buffer that there is."""
        self._shape, self._tiles, self._staged = (0,), None, None
        self._binding.clear_binding_inputs()
