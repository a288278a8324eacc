"""The masks in a `NAME_seg.npy` file, in which cellpose's window keeps corrected cells, read without running code.

Such a file is a pickled dictionary. Unpickling can run any code, so only NumPy arrays, numbers and texts are allowed.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from flowmask.errors import ImageError

ALLOWED = ("_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer")
"""What of NumPy a pickled array or number asks for."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")


def read_seg(path: Path) -> npt.NDArray[np.int64]:
    """Return the masks (Y, X) int64 of a cellpose file; 0 is background. Raises ImageError for any other file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/a_seg.npy", {"masks": np.eye(2, dtype=np.uint16)})
    ...     read_seg(Path(folder, "a_seg.npy"))
    array([[1, 0],
           [0, 1]])
    """
    try:
        with path.open("rb") as file:
            masks: npt.NDArray[np.generic] = np.squeeze(_content(file)["masks"])
    except OSError as error:
        raise ImageError(f"{path}: it cannot be read ({error.strerror}); check its permissions.") from error
    except (pickle.UnpicklingError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError) as error:
        raise ImageError(
            f"{path}: this is not a file that cellpose saved ({type(error).__name__}: {error}); save the masks as TIFF."
        ) from error
    if masks.ndim != 2 or masks.dtype.kind not in "ui":
        raise ImageError(f"{path}: its masks have shape {masks.shape}; only masks of one plane (Y, X) can be used.")
    return np.asarray(masks, np.int64)


def _content(file: BinaryIO) -> dict[str, Any]:
    """Return the dictionary that `numpy.save` wrote as an array of one object."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(file)
    if not dtype.hasobject:
        raise ValueError("it holds a plain array")
    content: dict[str, Any] = _Unpickler(file).load().item()
    return content
