"""The images of a fine-tuning: those of the user, split into two parts, and simulated ones of every other kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from flowmask.errors import ImageError, InputError, SettingsError
from flowmask.images.image import Image, as_image
from flowmask.network.contract import Clahe
from retrain.progress import bar
from train.data.pairs import find_pairs
from train.data.prepared import SIMULATED, FieldMaker, Prepared, prepare
from train.data.readers import Item, read_item
from train.simulate import MODALITIES, simulate

REPLAY = 80
"""Number of simulated images."""
REPLAY_SEED = 5_000_000
"""Seed of the first of them. Images of other seeds were used to train and to score the networks that ship."""
HELD_BACK = 5
"""One image of so many is held back."""


@dataclass(frozen=True)
class Labelled:
    """One image of the user with its labels, in memory."""

    item: Item
    image: Image
    labels: npt.NDArray[np.int32]
    """(Y, X), ids 1..n."""


def read_pairs(folders: Sequence[Path]) -> tuple[list[Labelled], list[Path]]:
    """Return the images of the folders with their labels, and the images without labels.

    Raises InputError if there are no pairs or no labels have a cell, ImageError if an image cannot be used.
    """
    pairs = [find_pairs(folder) for folder in folders]
    items = [item for found in pairs for item in found.items]
    images = [_read(item) for item in bar(items, "reading", "image")]
    if not any(one.labels.any() for one in images):
        raise InputError(f"{folders[0]}: none of the {len(images)} label files has a cell; draw some cells first.")
    return images, [path for found in pairs for path in found.without_labels]


def _read(item: Item) -> Labelled:
    image, labels = read_item(item)
    if labels.max() == 1 and (pieces := ndimage.label(labels)[1]) > 1:
        raise ImageError(
            f"{item.labels}: its {pieces} separate objects have the same number; give each cell its own number."
        )
    return Labelled(item, image, labels)


def hold_back(images: Sequence[Labelled], count: int | None) -> tuple[list[Labelled], list[Labelled]]:
    """Return the images to train on and those held back to score the network; only images with cells are held back.

    They are spread evenly over the list. count: how many; None: one of `HELD_BACK`, at least one. Raises SettingsError
    if no image with cells remains to train on.

    >>> from flowmask.images.image import as_image
    >>> pixels, cell = as_image(np.zeros((1, 4, 5), np.uint8)), np.ones((4, 5), np.int32)
    >>> images = [Labelled(Item(Path(name), Path(), "lab"), pixels, cell) for name in "abcde"]
    >>> training, held = hold_back(images, 1)
    >>> len(training), len(held)
    (4, 1)
    """
    candidates = [number for number, one in enumerate(images) if one.labels.any()]
    chosen = spread(len(candidates), max(1, round(len(images) / HELD_BACK)) if count is None else count)
    held = {candidates[place] for place in chosen}
    if len(held) == len(candidates):
        raise SettingsError(
            f"{len(candidates)} of the images have cells and {len(held)} would be held back, so none is left to train "
            "on; label more images."
        )
    return (
        [one for number, one in enumerate(images) if number not in held],
        [one for number, one in enumerate(images) if number in held],
    )


def spread(length: int, count: int) -> list[int]:
    """Return ``count`` places (at most ``length``), spread evenly over a list of this length.

    >>> spread(10, 2), spread(1, 2)
    ([2, 7], [0])
    """
    count = min(length, count)
    return [(2 * number + 1) * length // (2 * count) for number in range(count)]


def prepared(
    images: Sequence[Labelled], channels: str, field: FieldMaker, clahe: Clahe | None = None
) -> list[Prepared]:
    """Return the images ready for training."""
    return [
        prepare(one.image, one.labels, f"own {one.item.source}", channels, field, clahe)
        for one in bar(images, "preparing", "image")
    ]


def replay(channels: str, field: FieldMaker, clahe: Clahe | None = None) -> list[Prepared]:
    """Return simulated images, the same at every call, so that the network does not forget other kinds of images.

    The modalities take turns. Method: rehearsal of old examples, Robins 1995, doi:10.1080/09540099550039318.
    """
    images = []
    for number in bar(range(REPLAY), "simulating", "image"):
        seed, modality = divmod(number, len(MODALITIES))
        sample = simulate(MODALITIES[modality], seed=REPLAY_SEED + seed)
        source = SIMULATED + sample.modality
        images.append(prepare(as_image(sample.image), sample.labels, source, channels, field, clahe))
    return images
