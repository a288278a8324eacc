"""The image as the network gets it: normalised by percentiles, or equalised if the contract has `Contract.clahe`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..network.contract import Clahe
from .channels import ChannelMap
from .constants import BINS
from .normalise import IntensityRanges
from .rescale import NormalisedView, View


@dataclass(frozen=True)
class Equalisation:
    """How the values of one network input are equalised; see `flowmask.tiles.equalised`."""

    low: float
    """The value that becomes 0."""
    span: float
    """From there to the value that becomes 1; larger values are clipped to it."""
    side: int
    """Side of a region in network pixels."""
    mappings: npt.NDArray[np.uint16]
    """(rows of regions, columns of regions, `BINS`): the equalised level of each bin in each region."""
    darkest: int
    brightest: int
    """The smallest and the largest equalised level of the image, which become 0 and 1 at the end."""


def find_equalisations(
    image: Image, channels: ChannelMap, ranges: IntensityRanges, scale: float, clahe: Clahe | None
) -> tuple[Equalisation | None, ...]:
    """Return how each of the distinct network inputs is equalised; () without CLAHE.

    None stands for an input that becomes 0: an input of span 0 in ``ranges``, or a constant one. NaN and infinite
    pixels count as 0. Each input is read five times in windows, more often if its values are close to each other.
    scale: network pixels per source pixel.

    >>> from flowmask.images.image import ArrayImage
    >>> image = ArrayImage(np.arange(1000.0).reshape(1, 20, 50))
    >>> (found,) = find_equalisations(image, ((0,), (0,)), np.array([[0.0, 1.0]] * 2), 1.0, Clahe())
    >>> found.low, round(found.span, 3), found.mappings.shape  # the 99.9th percentile of 1 to 999
    (0.0, 998.002, (1, 1, 256))
    """
    if clahe is None:
        return ()
    from .equalised import find_equalisation  # imported here: only few networks need its kernels

    spans = dict(zip(channels, ranges[:, 1], strict=True))
    return tuple(
        find_equalisation(image, used, scale, clahe) if used and span > 0 else None for used, span in spans.items()
    )


def network_view(
    image: Image,
    channels: ChannelMap,
    ranges: IntensityRanges,
    scale: float,
    equalisations: tuple[Equalisation | None, ...] = (),
) -> View:
    """Return the image at network resolution. equalisations: of `find_equalisations`; (): normalise by ``ranges``.

    >>> from flowmask.images.image import ArrayImage
    >>> image = ArrayImage(np.full((1, 4, 6), 3.0))
    >>> network_view(image, ((0,),), np.array([[1.0, 4.0]]), 0.5).read(0, 0, 2, 3).tolist()
    [[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]]
    """
    if not equalisations:
        return NormalisedView(image, channels, ranges, scale)
    from .equalised import EqualisedView

    return EqualisedView(image, channels, scale, equalisations)


def equalisation_bytes(network_shape: tuple[int, int], inputs: int, clahe: Clahe | None) -> int:
    """Return the most bytes that the mappings of a network image take: 1/32 for each pixel and input by default.

    >>> equalisation_bytes((12800, 12800), 2, Clahe()) / 2**20  # 100 x 100 regions
    9.765625
    """
    if clahe is None:
        return 0
    rows, columns = (math.ceil(length / clahe.kernel) for length in network_shape)
    return inputs * rows * columns * BINS * np.dtype(np.uint16).itemsize
