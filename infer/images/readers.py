"""Open an image file with the reader of its format; see `READERS` for how to add a format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from ..errors import ImageError
from .axes import check_choice
from .file_type import FORMATS, HEAD, is_zarr, kind_of, other_kind
from .image import Image
from .memmap import hold
from .metadata import ImageInfo
from .stack import Described, Frames, OneImage, Stack, naming, only_frame

SUFFIXES = (".tif", ".tiff", ".svs", ".png", ".jpg", ".jpeg", ".bmp")
"""Files with these suffixes count as images in a folder. The format of a file is detected from its contents."""


def open_image(path: Path, plane: int | None = None, project: str | None = None) -> Image:
    """Open an image file with the reader of its format. The format is detected from the contents, not from the name.

    plane: which plane of a stack, from 1. project: "max" or "mean" of all planes. Alpha channels are ignored. Pixels
    are returned as stored: a rotation in EXIF or in TIFF's orientation tag is not applied, so that labels match the
    pixels in other analysis programs. A TIFF file is decoded in windows when they are read (`flowmask.images.tiff`); a
    PNG, JPEG or BMP file is decoded at once (`flowmask.images.raster`), into a temporary file if it is large. Raises
    ImageError, naming the file, if it cannot be decoded or holds several planes or frames and none is chosen;
    SettingsError if plane or project is invalid.

    >>> import numpy as np
    >>> import tifffile
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", np.zeros((50, 60), np.uint8))
    ...     open_image(Path(folder, "a.tif")).shape
    (1, 50, 60)
    """
    with naming(path):
        image: Image = only_frame(open_frames(path, plane, project))
        return image


def open_frames(path: Path, plane: int | None = None, project: str | None = None) -> Frames:
    """Return a sequence of (suffix, image), one for each frame of a time or position series.

    The suffix, such as "_t001" or "_p002_t001", belongs into the name of the label file; it is empty for a file of one
    image. An image is opened when the sequence is indexed, so memory is that of one frame, and a damaged frame raises
    ImageError only then. plane, project and errors as in `open_image`.

    >>> import numpy as np
    >>> import tifffile
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", np.zeros((2, 50, 60), "u1"), imagej=True, metadata={"axes": "TYX"})
    ...     [(suffix, image.shape) for suffix, image in open_frames(Path(folder, "a.tif"))]
    [('_t001', (1, 50, 60)), ('_t002', (1, 50, 60))]
    """
    check_choice(plane, project)
    with naming(path):
        return Frames(open_stacks(path, plane is not None or project is not None), plane, project, path)


def open_single(path: Path) -> Image:
    """Open an image file where no plane can be chosen, as that of labels or of a training image.

    Raises ImageError as `open_image` does, and if the file holds several planes or frames.

    >>> import numpy as np
    >>> import tifffile
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", np.zeros((50, 60), np.uint8))
    ...     open_single(Path(folder, "a.tif")).shape
    (1, 50, 60)
    """
    with naming(path):
        stacks = open_stacks(path)
        axes = stacks[0].axes
        if len(stacks) > 1 or axes.planes > 1 or axes.frames:
            raise ImageError(f"it holds several images (axes {axes.letters}); save each as a file of its own.")
        image: Image = only_frame(Frames(stacks, None, None, path))
        return image


def open_stacks(path: Path, chosen: bool = False) -> Sequence[Stack]:
    """Open a file and return its positions, with all planes and frames. ``chosen``: the user chose a plane.

    Raises ImageError as `open_image` does.

    >>> import numpy as np
    >>> import tifffile
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", np.zeros((9, 50, 60), "u1"), imagej=True, metadata={"axes": "ZYX"})
    ...     [stack.axes.planes for stack in open_stacks(Path(folder, "a.tif"))]
    [9]
    """
    with naming(path):
        if is_zarr(path):
            return READERS["OME-Zarr"](path, "OME-Zarr", chosen)
        if path.is_dir():
            raise ImageError("it is a folder; give each image file in it.")
        with path.open("rb") as file:
            head = file.read(HEAD)
        kind = kind_of(head)
        if kind is None:
            raise ImageError(_unknown_format(head))
        return READERS[kind](path, kind, chosen)


def _open_tiff(path: Path, kind: str, chosen: bool) -> Sequence[Stack]:
    from .tiff import open_positions

    return open_positions(path, chosen)


def _open_raster(path: Path, kind: str, chosen: bool) -> Sequence[Stack]:
    from .raster import picture_notes, read_picture

    pixels = hold(read_picture(path, kind))
    letters = "YXS" if pixels.shape[0] > 1 else "YX"
    info = ImageInfo(kind, letters, levels=(pixels.shape[1:],), notes=picture_notes(path, kind))
    return [OneImage(Described(pixels, info))]


def _open_vendor(path: Path, kind: str, chosen: bool) -> Sequence[Stack]:
    """Open a file with the module of its format, which imports its package: one of the extra `formats`."""
    module = import_module(f".vendors.{kind.lower()}", __package__)
    positions: Sequence[Stack] = getattr(module, f"open_{kind.lower()}")(path, kind, chosen)
    return positions


def _open_ome_zarr(path: Path, kind: str, chosen: bool) -> Sequence[Stack]:
    from .ome_zarr import open_ome_zarr

    return open_ome_zarr(path, kind, chosen)


READERS: dict[str, Callable[[Path, str, bool], Sequence[Stack]]] = {
    "TIFF": _open_tiff,
    "PNG": _open_raster,
    "JPEG": _open_raster,
    "BMP": _open_raster,
    "CZI": _open_vendor,
    "ND2": _open_vendor,
    "LIF": _open_vendor,
    "OME-Zarr": _open_ome_zarr,
}
"""The function that opens a file of each format: (path, format, whether a plane was chosen) -> positions.

To add a format, add its first bytes to `flowmask.images.file_type.KINDS` and its function here. The function imports
the decoder, so that a run loads only the decoders that it needs.
"""


def _unknown_format(head: bytes) -> str:
    """Return the error message for a file that begins with ``head``."""
    if not head:
        return "it is not an image but an empty file; remove it."
    other = other_kind(head)
    if other:
        return f"it is not a {FORMATS} image but {other}; save it as TIFF, or remove it."
    return f"it is not a {FORMATS} image; save it in one of these formats, or remove it."
