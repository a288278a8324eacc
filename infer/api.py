"""The Python calls: an array or a file in, labels out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import SettingsError
from .families import family_of
from .images.image import Image, as_image, open_image
from .labels.labels import Labels
from .network.registry import default_network, find_network
from .network.session import Network, OnnxNetwork
from .options import Runtime, Segmentation
from .pipeline import Result, label_rows, plan_image, segment_image

AnyImage = str | Path | npt.NDArray[np.generic]
"""A file, or an array (Y, X), (Y, X, C) or (C, Y, X) of numbers."""
AnyNetwork = Network | str | Path | None
"""What `load_network` returned, a name such as "small", a file, or None for the default network."""


def load_network(
    name: str | Path | None = None, device: str = "auto", threads: int = 0, gpu_memory: str | None = None
) -> OnnxNetwork:
    """Open a network once, for any number of images.

    name: a name of `flowmask models`, the path of an .onnx file, or None for the default network. device, threads,
    gpu_memory: as in `Runtime`. Raises NetworkError when there is no such network or the file cannot be used,
    SettingsError when the device is not available.
    """
    path = default_network() if name is None else find_network(name)
    network = OnnxNetwork(path, device, threads, gpu_memory)
    family_of(network.contract)
    return network


def segment(
    image: AnyImage,
    network: AnyNetwork = None,
    options: Segmentation | None = None,
    runtime: Runtime | None = None,
    **changes: Any,
) -> Result:
    """Segment one image.

    image: an array (Y, X), (Y, X, C) or (C, Y, X) of numbers, or a file. network: a name, a file, or what
    `load_network` returned; the default network if not given. options and runtime: the records of options; any field
    of `Segmentation` can also be given by name, such as ``diameter=30``.

    The result holds ``labels`` (Y, X) int32 with 0 for background, the number of ``cells`` and the ``diameter`` in px.
    An opened network keeps the device, GPU memory and threads that it was opened with; those of ``runtime`` then apply
    to the rest of the work only. Raises ImageError, NetworkError, SettingsError or RunError, all of them FlowmaskError.

    >>> import numpy as np
    >>> y, x = np.mgrid[:64, :64]
    >>> disk = 200.0 * ((y - 32) ** 2 + (x - 32) ** 2 < 14**2)
    >>> segment(disk, diameter=28).cells
    1
    """
    runtime = runtime or Runtime()
    return segment_image(_opened(image), _network(network, runtime), _options(options, changes), runtime)


def segment_rows(
    image: AnyImage,
    network: AnyNetwork = None,
    options: Segmentation | None = None,
    runtime: Runtime | None = None,
    **changes: Any,
) -> Iterator[Labels]:
    """Yield the labels of one image from the top down, some rows (n, X) int32 at a time, as they are finished.

    The arguments and errors are those of `segment`, and so are the labels; only a strip of the image and of its labels
    is held at a time. Ids are 1, 2, ... in the order of their first pixel.

    >>> import numpy as np
    >>> y, x = np.mgrid[:64, :64]
    >>> disk = 200.0 * ((y - 32) ** 2 + (x - 32) ** 2 < 14**2)
    >>> sum(len(rows) for rows in segment_rows(disk, diameter=28))
    64
    """
    runtime = runtime or Runtime()
    opened, loaded = _opened(image), _network(network, runtime)
    return label_rows(opened, loaded, plan_image(opened, loaded, _options(options, changes), runtime))


def _opened(image: AnyImage) -> Image:
    return open_image(Path(image)) if isinstance(image, str | Path) else as_image(image)


def _network(network: AnyNetwork, runtime: Runtime) -> Network:
    if network is None or isinstance(network, str | Path):
        return load_network(network, runtime.device, runtime.threads, runtime.gpu_memory)
    return network


def _options(options: Segmentation | None, changes: dict[str, Any]) -> Segmentation:
    """Return the options with some fields changed. Raises SettingsError for a name that is no option."""
    known = [field.name for field in fields(Segmentation)]
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: there is no such option; the options are {', '.join(known)}.")
    return replace(options or Segmentation(), **changes)
