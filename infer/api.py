"""The Python call: an array or a file in, labels out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from .images.image import as_image, open_image
from .network.session import Network, OnnxNetwork
from .options import Settings
from .pipeline import Result, segment_image


def load_network(
    path: str | Path, device: str = "auto", threads: int = 0, gpu_memory: str | None = None
) -> OnnxNetwork:
    """Open a network file once, for any number of images; see `flowmask.network.session.OnnxNetwork` for the errors."""
    return OnnxNetwork(Path(path), device, threads, gpu_memory)


def segment(
    image: str | Path | npt.NDArray[np.generic], network: Network | str | Path, settings: Settings | None = None
) -> Result:
    """Segment one image: an array (Y, X), (Y, X, C) or (C, Y, X) of numbers, or a file's path.

    ``network`` is what `load_network` returns, or a network file's path. An opened network keeps the device, its
    memory and the threads that it was opened with; ``settings.device`` and ``settings.gpu_memory`` count only for a
    path, ``settings.threads`` for the rest of the work. The result holds ``labels`` (Y, X) int32 with 0 for
    background, the number of ``cells`` and the ``diameter`` in px that was used. Raises ImageError, NetworkError,
    SettingsError or RunError, all of them FlowmaskError.
    """
    settings = settings or Settings()
    opened = open_image(Path(image)) if isinstance(image, str | Path) else as_image(image)
    if isinstance(network, str | Path):
        network = load_network(network, settings.device, settings.threads, settings.gpu_memory)
    return segment_image(opened, network, settings)
