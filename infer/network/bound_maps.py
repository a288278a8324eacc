"""Run a network on a GPU with an input buffer on the device that is allocated once and reused."""

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
"""Height and width in px of the small tile with which a GPU session is tested."""
SHRINK = "memory.enable_memory_arena_shrinkage"
"""ONNX Runtime's run option that frees the unused memory of an arena, such as "gpu:0", at the end of the run."""
NO_ROOM = (
    "failed to allocate", "smaller than requested bytes", "out of memory", "out_of_memory", "alloc_failed",
    "allocation_failed", "bad_alloc",
)  # fmt: skip
"""Parts of the messages of ONNX Runtime's arena, CUDA, cuDNN, cuBLAS and C++ when memory runs out."""


def no_room(error: Exception) -> bool:
    """Return whether an exception means that memory ran out.

    >>> no_room(MemoryError()), no_room(RuntimeError("bad_alloc")), no_room(RuntimeError("illegal instruction"))
    (True, True, False)
    """
    return isinstance(error, MemoryError) or means_no_room(one_line(error))


def means_no_room(message: str) -> bool:
    """Return whether an error message means that memory ran out.

    >>> means_no_room("CUDA failure 2: out of memory"), means_no_room("CUDA failure 700: an illegal memory access")
    (True, False)
    """
    return any(words in message.lower() for words in NO_ROOM)


def probe_tile(session: Any) -> Array:
    """Return a small tile of zeros (1, C, `PROBE`, `PROBE`) float32 for the network of a session.

    >>> from types import SimpleNamespace
    >>> probe_tile(SimpleNamespace(get_inputs=lambda: [SimpleNamespace(shape=("batch", 3, "y", "x"))])).shape
    (1, 3, 64, 64)
    """
    return np.zeros((1, session.get_inputs()[0].shape[1], PROBE, PROBE), np.float32)


class BoundMaps:
    """Runs a session on batches of tiles through one input buffer on the device.

    The buffer is reused while the tiles have the same shape and fill more than half of it. A smaller batch is filled up
    with zeros or earlier tiles, because cuDNN plans every convolution again for a new batch size. If memory runs
    out, the session's arena first frees the memory that tiles of other shapes have used, and the batch runs once more.
    Only one thread runs at a time.
    """

    def __init__(self, session: Any, device: str, index: int, heads: tuple[Head, ...]) -> None:
        """``session``: ONNX Runtime's. ``device`` and ``index``: ONNX Runtime's name of the device ("cuda", 0)."""
        self._session, self._device, self._heads = session, (device, index), heads
        self._binding = session.io_binding()
        self._shape: tuple[int, ...] = (0,)
        self._tiles: Any = None
        """The buffer on the device, with the shape `_shape`."""
        self._host_tiles: Any = None
        """A batch of the shape `_shape` in host memory, for batches with fewer tiles."""
        self._lock = Lock()

    def run(self, tiles: Array) -> Array:
        """Return the values of all heads (B, channels, Y, X) for tiles (B, C, Y, X), both float32, as a new array."""
        with self._lock:
            try:
                return self._run(tiles)
            except Exception as error:
                if not no_room(error):
                    raise
            with suppress(Exception):  # the next line shows whether it helped
                self._free_unused()
            return self._run(tiles)

    def _run(self, tiles: Array) -> Array:
        try:
            self._fill(tiles)
            outputs = [np.empty((self._shape[0], head.channels, *self._shape[2:]), np.float32) for head in self._heads]
            for head, values in zip(self._heads, outputs, strict=True):
                self._binding.bind_output(head.name, "cpu", 0, np.float32, values.shape, values.ctypes.data)
            self._session.run_with_iobinding(self._binding)
        except Exception:
            self._drop()  # so that a smaller batch, which may come next, gets a smaller buffer
            raise
        maps = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1)
        return maps[: len(tiles)]

    def _fill(self, tiles: Array) -> None:
        """Copy the tiles into the buffer; allocate a new one if they do not fit or fill only half of it."""
        if not self._shape[0] // 2 < len(tiles) <= self._shape[0] or tiles.shape[1:] != self._shape[1:]:
            self._make_room(tiles.shape)
        if tiles.shape == self._shape:
            self._tiles.update_inplace(tiles)
        else:
            self._host_tiles[: len(tiles)] = tiles
            self._tiles.update_inplace(self._host_tiles)

    def _free_unused(self) -> None:
        """Let the session's arena free its unused memory, which it does at the end of a run: run a small tile."""
        from onnxruntime import RunOptions

        kind, index = self._device
        options = RunOptions()
        options.add_run_config_entry(SHRINK, f"{'gpu' if kind == 'cuda' else kind}:{index}")
        self._session.run([self._heads[0].name], {"image": probe_tile(self._session)}, options)

    def _make_room(self, shape: tuple[int, ...]) -> None:
        """Allocate the buffer for tiles of this shape."""
        self._drop()
        self._tiles = self._session.create_ortvalue_from_shape_and_type(shape, np.float32, *self._device)
        self._binding.bind_ortvalue_input("image", self._tiles)
        self._host_tiles = np.zeros(shape, np.float32)
        self._shape = shape

    def _drop(self) -> None:
        """Free the buffer."""
        self._shape, self._tiles, self._host_tiles = (0,), None, None
        self._binding.clear_binding_inputs()
