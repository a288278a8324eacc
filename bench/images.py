"""Images for benchmarks: real and simulated ones that no training used, and simulated ones of any size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

from flowmask.images.image import Image, as_image
from flowmask.labels.labels import Labels
from train.data.readers import Item, read_item, read_labels, read_shared
from train.recipes.held_out import HELD_OUT
from train.simulate import MODALITIES, simulate

__all__ = ["Item", "read_labels", "read_shared"]
Labelled = tuple[str, str, Image, Labels]
"""An image to score: source, name, pixels and true labels (Y, X)."""
SIMULATED = "simulated "
"""The source of a simulated image begins with this."""
FRESH = 1_000_000
"""The first seed of the simulated images; trainings use seeds from 0 on."""
MIN_CELLS = 5
FIELD = 500
"""Height and width of a field in px; cells are cut at its border."""
TEMPLATE = 1000
"""Height and width in px of the image that `repeated` repeats."""
ALTERNATING = ("dense_tissue", "fluorescence_nuclei")


def held_out(data: Path) -> Iterator[Labelled]:
    """Yield the images of a data folder that no network that ships was trained on."""
    return opened(HELD_OUT.divide(read_shared(data))[1])


def opened(items: Sequence[Item]) -> Iterator[Labelled]:
    """Yield labelled files as images to score."""
    for item in items:
        yield item.source, item.image.stem, *read_item(item)


def simulated(each: int) -> Iterator[Labelled]:
    """Yield ``each`` simulated images of every modality."""
    for modality in MODALITIES:
        for seed in range(FRESH, FRESH + each):
            sample = simulate(modality, seed=seed)
            yield SIMULATED + modality, str(seed), as_image(sample.image), sample.labels


def at_most(images: Iterable[Labelled], each: int) -> list[Labelled]:
    """Return the images with cells, at most ``each`` of a source; 0: all.

    >>> from flowmask.images.image import as_image
    >>> pixels, cell = as_image(np.zeros((1, 4, 5), np.uint8)), np.ones((4, 5), np.int32)
    >>> images = [("a", "1", pixels, cell), ("a", "2", pixels, 0 * cell), ("a", "3", pixels, cell)]
    >>> [name for _, name, *_ in at_most(images, 1)]
    ['1']
    """
    sources: dict[str, list[Labelled]] = defaultdict(list)
    for image in images:
        if image[3].any() and (not each or len(sources[image[0]]) < each):
            sources[image[0]].append(image)
    return [image for own in sources.values() for image in own]


def choose(items: Sequence[Item], count: int) -> list[Item]:
    """Return ``count`` images with at least `MIN_CELLS` cells, from all sources in turn, in a shuffled order."""
    sources: dict[str, list[Item]] = {}
    for item in items:
        sources.setdefault(item.source, []).append(item)
    for own in sources.values():
        Random(0).shuffle(own)
    turns = chain.from_iterable(zip_longest(*sources.values()))
    usable = (item for item in turns if item and read_labels(item.labels).max() >= MIN_CELLS)
    return list(islice(usable, count))


def mosaic(height: int, width: int, diameter: float, seed: int = 0) -> tuple[npt.NDArray[np.uint8], Labels]:
    """Return an image (Y, X, 3) uint8 and its labels (Y, X) int32, ids 1..n; the modalities alternate.

    diameter: of the cells, in px.
    """
    image, labels = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.int32)
    cells = 0
    for index, (top, left) in enumerate(np.ndindex(-(-height // FIELD), -(-width // FIELD))):
        sample = simulate(ALTERNATING[(top + left) % 2], (FIELD, FIELD), seed + index, diameter)
        place = np.s_[top * FIELD : (top + 1) * FIELD, left * FIELD : (left + 1) * FIELD]
        rows, columns = labels[place].shape
        colour = sample.image if sample.image.ndim == 3 else sample.image[..., None]
        image[place] = colour[:rows, :columns]
        labels[place] = np.where(sample.labels > 0, sample.labels + cells, 0)[:rows, :columns]
        cells += int(sample.labels.max())
    return image, np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def repeated(side: int, diameter: float) -> npt.NDArray[np.uint8]:
    """Return an image (side, side, 3) uint8 that shows the same `TEMPLATE` px again and again; ``diameter`` in px."""
    field = mosaic(TEMPLATE, TEMPLATE, diameter)[0]
    times = -(-side // TEMPLATE)
    return np.tile(field, (times, times, 1))[:side, :side]
