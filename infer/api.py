"""The Python interface: `segment` and `segment_rows` for one image, `load_network` for many images."""

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
from .labels.cells import CellTable
from .labels.labels import Labels
from .network.registry import default_network, find_network
from .network.session import Network, OnnxNetwork
from .options import Runtime, Segmentation
from .pipeline import Progress, Result, label_rows, plan_image, segment_image

AnyImage = str | Path | npt.NDArray[np.generic]
"""The path of a file, or a numeric array (Y, X), (Y, X, C) or (C, Y, X)."""
AnyNetwork = Network | str | Path | None
"""The result of `load_network`, a name such as "small", the path of a file, or None for the default network."""


def load_network(
    name: str | Path | None = None, device: str = "auto", threads: int = 0, gpu_memory: str | None = None
) -> OnnxNetwork:
    """Open a network and return it, for use with any number of images.

    name: a name that `flowmask models` lists, the path of an .onnx file, or None for the default network. device,
    threads, gpu_memory: as in `Runtime`. Raises NetworkError if the network does not exist or cannot be used, and
    SettingsError if the device is not available.
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
    progress: Progress | None = None,
    **changes: Any,
) -> Result:
    """Segment one image and return its labels.

    image: a numeric array (Y, X), (Y, X, C) or (C, Y, X), or the path of a file. network: a name, the path of a file,
    or the result of `load_network`; by default the default network. options, runtime: records of options. ``changes``
    replace fields of ``options``, such as ``diameter=30``.

    progress: a function that gets the finished fraction of the image, 0 to 1, from time to time, in a thread of the
    engine; if it returns False or raises an exception, the work stops and Cancelled is raised.

    The result has ``labels`` (Y, X) int32 with 0 for background, the number of ``cells``, the ``diameter`` in px, a
    ``table`` with measurements of each cell, ``notes``, and a ``verdict`` with reasons.
    A network from `load_network` keeps its device, GPU memory and threads; the device and GPU memory of ``runtime`` are
    then ignored, and its threads apply only to the other steps. Raises ImageError, NetworkError, SettingsError,
    RunError or Cancelled, which are all subclasses of FlowmaskError.

    >>> import numpy as np
    >>> y, x = np.mgrid[:64, :64]
    >>> disk = 200.0 * ((y - 32) ** 2 + (x - 32) ** 2 < 14**2)
    >>> segment(disk, diameter=28).cells
    1
    """
    runtime = runtime or Runtime()
    return segment_image(_opened(image), _network(network, runtime), _options(options, changes), runtime, progress)


def segment_rows(
    image: AnyImage,
    network: AnyNetwork = None,
    options: Segmentation | None = None,
    runtime: Runtime | None = None,
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
    runtime = runtime or Runtime()
    opened, loaded = _opened(image), _network(network, runtime)
    plan = plan_image(opened, loaded, _options(options, changes), runtime)
    return label_rows(opened, loaded, plan, CellTable(), progress)


def _opened(image: AnyImage) -> Image:
    return open_image(Path(image)) if isinstance(image, str | Path) else as_image(image)


def _network(network: AnyNetwork, runtime: Runtime) -> Network:
    if network is None or isinstance(network, str | Path):
        return load_network(network, runtime.device, runtime.threads, runtime.gpu_memory)
    return network


def _options(options: Segmentation | None, changes: dict[str, Any]) -> Segmentation:
    """Return the options with some fields replaced. Raises SettingsError for an unknown name."""
    names = [field.name for field in fields(Segmentation)]
    unknown = [name for name in changes if name not in names]
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: there is no such option; the options are {', '.join(names)}.")
    return replace(options or Segmentation(), **changes)
