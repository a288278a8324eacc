"""Images to score: real ones that no training used, and simulated ones with seeds that no training used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from random import Random

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
