"""The Python interface: `segment` and `segment_rows` for one image, `load_network` for many images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .errors import NetworkError, SettingsError
from .families import open_network
from .images.image import Image, as_image
from .images.readers import open_frames as _open_frames
from .images.readers import open_image
from .labels.cell_table import CellTableBuilder
from .labels.labels import Labels
from .network.mean import MeanNetwork
from .network.registry import find_networks
from .network.session import Network, OnnxNetwork
from .options import Output, Runtime, Segmentation
from .pipeline import Progress, Result, label_rows, plan_image, segment_image

AnyImage = str | Path | npt.NDArray[np.generic] | Image | Any
"""The path of a file, an image of `open_frames`, an array, or any object with shape, dtype and slicing, such as a Zarr
or Dask array."""
Record = TypeVar("Record", Segmentation, Runtime, Output)
AnyNetwork = Network | str | Path | None
"""The result of `load_network`, a name such as "small", the path of a file, or None for the default network."""


def load_network(
    name: str | Path | None = None, device: str = "auto", threads: int = 0, gpu_memory: str | None = None
) -> OnnxNetwork | MeanNetwork:
    """Open a network and return it, for use with any number of images.

    name: a name that `flowmask models` lists, the path of an .onnx file, several of them separated by commas, whose
    maps are averaged, or None for the default network. device, threads, gpu_memory: as in `Runtime`. Raises
    NetworkError if the network does not exist or cannot be used, and SettingsError if the device is not available.

    >>> load_network("small").contract.inputs
    3
    """
    return open_network(find_networks(name), Runtime(device=device, threads=threads, gpu_memory=gpu_memory))


def segment(
    image: AnyImage,
    network: AnyNetwork = None,
    options: Segmentation | None = None,
    runtime: Runtime | None = None,
    axes: str | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> Result:
    """Segment one image and return its labels.

    image: a numeric array (Y, X), (Y, X, C) or (C, Y, X), or the path of a file. network: a name, the path of a file,
    or the result of `load_network`; by default the default network. options, runtime: records of options. axes: one
    letter for each axis of an array, such as "CYX" (`flowmask.images.image.as_image`).
    ``changes`` replace fields of ``options``, such as ``diameter=30``. progress: a function that gets the finished
    fraction of the image, 0 to 1, from time to time, perhaps in another thread. To cancel the work, raise
    `flowmask.Cancelled` in it: the threads end, and the error is raised here. The same holds for every other exception.

    The result has ``labels`` (Y, X) int32 with 0 for background, the ``diameter`` in px, the table ``cells`` with
    place, size and quality of each cell (`flowmask.labels.cell_table.CellTable`), and a ``verdict``.
    A network from `load_network` keeps its device, GPU memory and threads; the device and GPU memory of ``runtime`` are
    then ignored, and its threads apply only to the other steps. Raises ImageError, NetworkError, SettingsError or
    RunError, which are all subclasses of FlowmaskError.

    >>> import numpy as np
    >>> y, x = np.mgrid[:64, :64]
    >>> disk = 200.0 * ((y - 32) ** 2 + (x - 32) ** 2 < 14**2)
    >>> len(segment(disk, diameter=28).cells)
    1
    """
    check_call(progress, "progress")
    runtime = record_of(runtime, Runtime, "runtime")
    chosen = changed(options, changes)
    return segment_image(_opened(image, chosen, axes), _network(network, runtime), chosen, runtime, progress)


def segment_rows(
    image: AnyImage,
    network: AnyNetwork = None,
    options: Segmentation | None = None,
    runtime: Runtime | None = None,
    axes: str | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> Iterator[Labels]:
    """Yield the labels of one image from the top down, as rows (n, X) int32, as soon as they are final.

    Arguments, labels and errors are those of `segment`, but memory holds only a strip of the image and its labels. Ids
    are 1, 2, ... in the order of first pixels.

    >>> import numpy as np
    >>> y, x = np.mgrid[:64, :64]
    >>> disk = 200.0 * ((y - 32) ** 2 + (x - 32) ** 2 < 14**2)
    >>> sum(len(rows) for rows in segment_rows(disk, diameter=28))
    64
    """
    check_call(progress, "progress")
    runtime = record_of(runtime, Runtime, "runtime")
    chosen = changed(options, changes)
    opened, loaded = _opened(image, chosen, axes), _network(network, runtime)
    plan = plan_image(opened, loaded, chosen, runtime)
    return label_rows(opened, loaded, plan, CellTableBuilder(), progress)


def open_frames(path: str | Path, plane: int | None = None, project: str | None = None) -> Sequence[tuple[str, Image]]:
    """Return (suffix, image) of each frame of a time or position series; every image can be given to `segment`.

    The suffix, such as "_t001", tells the frames apart. An image is opened when the sequence is indexed, so memory
    holds one frame. plane, project: as in `Segmentation`. Raises ImageError and SettingsError.

    >>> import tempfile, tifffile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     series = np.zeros((2, 50, 60), np.uint8)
    ...     tifffile.imwrite(f"{folder}/a.tif", series, imagej=True, metadata={"axes": "TYX"})
    ...     for suffix, image in open_frames(f"{folder}/a.tif"):
    ...         print(suffix, image.shape)
    _t001 (1, 50, 60)
    _t002 (1, 50, 60)
    """
    frames: Sequence[tuple[str, Image]] = _open_frames(path_of(path, "path"), plane, project)
    return frames


def path_of(value: object, name: str) -> Path:
    """Return the argument ``name`` as a path. Raises SettingsError if it is none.

    >>> path_of("a.tif", "path").name
    'a.tif'
    """
    if not isinstance(value, str | PathLike):
        raise SettingsError(
            f"{name} is an object of the type {type(value).__name__}; give the path of a file or folder."
        )
    return Path(value)


def check_call(value: object, name: str) -> None:
    """Raise SettingsError if the argument ``name`` is neither None nor a function.

    >>> check_call(print, "progress")
    """
    if value is not None and not callable(value):
        raise SettingsError(
            f"{name} is an object of the type {type(value).__name__}; give a function, or leave it out."
        )


def changed(options: Segmentation | None, changes: dict[str, Any]) -> Segmentation:
    """Return the options with some fields replaced. Raises SettingsError for an unknown name.

    >>> changed(None, {"diameter": 30}).diameter
    30.0
    """
    names = [field.name for field in fields(Segmentation)]
    unknown = [name for name in changes if name not in names]
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: there is no such option; the options are {', '.join(names)}.")
    return replace(record_of(options, Segmentation, "options"), **changes)


def record_of(value: Record | None, kind: type[Record], name: str) -> Record:
    """Return the record of the argument ``name``: the value, or the default for None.

    Raises SettingsError if the value is not of this kind.

    >>> record_of(None, Runtime, "runtime").threads
    0
    """
    if value is not None and not isinstance(value, kind):
        raise SettingsError(f"{name} is an object of the type {type(value).__name__}; give a flowmask.{kind.__name__}.")
    return kind() if value is None else value


def _opened(image: AnyImage, options: Segmentation, axes: str | None) -> Image:
    if isinstance(image, Image):
        if axes is not None or options.plane is not None or options.project is not None:
            raise SettingsError(
                "this image is already open; give axes, plane and project to the function that opens it."
            )
        return image
    if isinstance(image, str | Path):
        if axes is not None:
            raise SettingsError("axes apply to arrays only, because a file states its own axes; leave them out.")
        return open_image(Path(image), options.plane, options.project)
    return as_image(image, axes, options.plane, options.project)


def _network(network: AnyNetwork, runtime: Runtime) -> Network:
    if network is None or isinstance(network, str | Path):
        return load_network(network, runtime.device, runtime.threads, runtime.gpu_memory)
    if not hasattr(network, "contract"):
        raise NetworkError(
            f"an object of the type {type(network).__name__} is not a network; give its name, the path of its file or "
            "the result of load_network, and give options by their names, such as diameter=30."
        )
    return network
