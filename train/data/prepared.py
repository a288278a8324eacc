"""Training images prepared in memory, and the probability with which each is drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from flowmask.images.image import Image
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import sequential
from flowmask.network.contract import Clahe
from flowmask.tiles.channels import channel_map
from flowmask.tiles.normalise import intensity_ranges
from flowmask.tiles.view import find_equalisations, network_view
from train.data.readers import Item, read_item, read_nuclei

MIN_CELL = 12
"""Labels smaller than this area in px are removed: their flows are undefined and their outlines are noise."""
PERCENTILES = (1.0, 99.0)
LIMIT = 1e4
"""Normalised values are clipped to plus or minus this, the range that half precision can hold."""
SIMULATED = "simulated "
"""Prefix of the names of simulated sources."""
FieldMaker = Callable[[npt.NDArray[np.int32]], npt.NDArray[np.float32]]
"""labels (Y, X) -> field (Y, X, K), what a family computes once for each image."""


@dataclass(frozen=True)
class Prepared:
    """An image in memory, ready to be cropped."""

    source: str
    image: npt.NDArray[np.float16]
    """(Y, X, C), normalised, clipped to plus or minus `LIMIT`."""
    labels: npt.NDArray[np.int32]
    field: npt.NDArray[np.float16]
    """(Y, X, K): what the family computed from the labels, for example flows as (dy, dx)."""
    diameter: float
    """Median equivalent diameter of the cells in px; 0 for an image without cells."""
    nuclei: npt.NDArray[np.int32] | None = None
    """(Y, X), the labels of the nuclei if the image has them."""


def network_input(
    image: Image, channels: str, percentiles: tuple[float, float], clahe: Clahe | None = None
) -> npt.NDArray[np.float32]:
    """Return the whole image (C, Y, X) as a network with this channel policy gets it, at its own resolution.

    >>> from flowmask.images.image import as_image
    >>> grey = as_image(np.arange(101, dtype=np.uint8)[None])
    >>> network_input(grey, "rgb", (0.0, 100.0))[:, 0, [0, 50, 100]]  # the same in each of three channels
    array([[0. , 0.5, 1. ],
           [0. , 0.5, 1. ],
           [0. , 0.5, 1. ]], dtype=float32)
    """
    count, height, width = image.shape
    plan = channel_map(channels, count)
    ranges = intensity_ranges(image, plan, percentiles)
    equalisations = find_equalisations(image, plan, ranges, 1.0, clahe)
    return network_view(image, plan, ranges, 1.0, equalisations).read(0, 0, height, width)


def prepare(
    image: Image,
    labels: npt.NDArray[np.int32],
    source: str,
    channels: str,
    field: FieldMaker,
    clahe: Clahe | None = None,
    nuclei: npt.NDArray[np.int32] | None = None,
) -> Prepared:
    """Normalise or equalise an image, remove labels that are too small and compute the family's field."""
    labels = _large_enough(labels)
    pixels = network_input(image, channels, PERCENTILES, clahe)
    return Prepared(
        source,
        np.ascontiguousarray(pixels.transpose(1, 2, 0).clip(-LIMIT, LIMIT).astype(np.float16)),
        labels,
        np.ascontiguousarray(field(labels).astype(np.float16)),
        median_diameter(labels),
        None if nuclei is None else _large_enough(nuclei),
    )


def prepare_item(
    item: Item, channels: str, field: FieldMaker, prefix: str = "", clahe: Clahe | None = None
) -> Prepared:
    """Read and prepare one image from disk; ``prefix`` is put before the name of its source."""
    image, labels = read_item(item)
    return prepare(image, labels, prefix + item.source, channels, field, clahe, read_nuclei(item, image))


def _large_enough(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the labels of at least `MIN_CELL` px, numbered anew."""
    areas = np.bincount(labels.ravel())
    return sequential(np.where(areas[labels] >= MIN_CELL, labels, 0))


def prepare_items(
    items: Iterable[Item], channels: str, field: FieldMaker, prefix: str = "", clahe: Clahe | None = None
) -> list[Prepared]:
    """Read and prepare images from disk; ``prefix`` is put before the names of their sources."""
    return [prepare_item(item, channels, field, prefix, clahe) for item in items]


def weights_by_source(
    images: Sequence[Prepared], source_limit: int, shares: Mapping[str, float], simulated_share: float
) -> npt.NDArray[np.float64]:
    """Return the probability of drawing each image.

    A source of n images has the weight sqrt(min(n, source_limit)), times its entry in ``shares`` (default 1, or
    ``simulated_share`` for simulated images), split evenly over its images. So a large source does not crowd out the
    others: of 16 and 4 images, those of the first source are drawn twice as often, not four times.

    >>> blank = np.zeros((1, 1, 1), np.float16)
    >>> a, b = (Prepared(name, blank, np.zeros((1, 1), np.int32), blank, 0.0) for name in "ab")
    >>> weights = weights_by_source([a] * 16 + [b] * 4, 80, {}, 0.5)
    >>> round(float(weights[:16].sum()), 3), round(float(weights[16:].sum()), 3)
    (0.667, 0.333)
    """
    simulated = {image.source: simulated_share for image in images if image.source.startswith(SIMULATED)}
    factors = {**simulated, **shares}
    counts: dict[str, int] = defaultdict(int)
    for image in images:
        counts[image.source] += 1
    total = {source: np.sqrt(min(n, source_limit)) * factors.get(source, 1.0) for source, n in counts.items()}
    weights = np.array([total[image.source] / counts[image.source] for image in images])
    return np.asarray(weights / weights.sum(), np.float64)


def write_sample(folder: Path, name: str, image: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32]) -> None:
    """Write one image (Y, X) or (Y, X, 3) RGB and its labels in the layout of `readers.read_shared`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_sample(Path(folder), "a", np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.int32))
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['a.png', 'a_label.png']
    """
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), image if image.ndim == 2 else image[..., ::-1])
    cv2.imwrite(str(folder / f"{name}_label.png"), labels.astype(np.uint16))
