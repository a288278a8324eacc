"""F1 of a network file on labelled images, with the diameters that it estimates and with the usual diameter given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowmask.api import load_network
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import f1_challenge
from flowmask.options import Segmentation
from flowmask.pipeline import segment_image
from retrain.images import Labelled
from retrain.progress import bar


@dataclass(frozen=True)
class Change:
    """The scores of one image that was not trained on, before and after: F1 at IoU 0.5 by the challenge's rules."""

    name: str
    before: float
    after: float
    """With the diameter that the network estimates."""
    before_given: float
    after_given: float
    """With the usual diameter of the training images."""


HEADER = ("F1 before", "F1 after", "given: before", "given: after")


def usual_diameter(images: Sequence[Labelled]) -> float:
    """Return the median, over the images with cells, of the median diameter of their cells in px.

    >>> from pathlib import Path
    >>> from flowmask.images.image import as_image
    >>> from train.data.readers import Item
    >>> item, pixels = Item(Path("a.png"), Path("a_label.png"), "lab"), as_image(np.zeros((1, 4, 5), np.uint8))
    >>> images = [Labelled(item, pixels, np.full((4, 5), label, np.int32)) for label in (0, 1)]
    >>> round(usual_diameter(images), 2)  # of a cell of 20 px: the root of 80 / pi
    5.05
    """
    return float(np.median([median_diameter(one.labels) for one in images if one.labels.any()]))


def scores_of(network: Path, images: Sequence[Labelled], phase: str, diameter: float) -> list[tuple[float, float]]:
    """Return the F1 of a network file on each image, with estimated diameters and with the diameter given in px."""
    loaded = load_network(network, device="cpu")
    options = (Segmentation(), Segmentation(diameter=diameter))
    pairs = []
    for one in bar(images, phase, "image"):
        estimated, given = (f1_challenge(one.labels, segment_image(one.image, loaded, o).labels) for o in options)
        pairs.append((estimated, given))
    return pairs


def changes_of(
    images: Sequence[Labelled], before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]
) -> list[Change]:
    """Return one record for each image from what `scores_of` returned before and after.

    >>> from pathlib import Path
    >>> from flowmask.images.image import as_image
    >>> from train.data.readers import Item
    >>> blank = np.zeros((1, 4, 5), np.uint8)
    >>> image = Labelled(Item(Path("a.png"), Path("a_label.png"), "lab"), as_image(blank), np.zeros((4, 5), np.int32))
    >>> changes_of([image], before=[(0.5, 0.6)], after=[(0.7, 0.8)])[0].name
    'a.png'
    """
    rows = zip(images, before, after, strict=True)
    return [Change(one.item.image.name, old[0], new[0], old[1], new[1]) for one, old, new in rows]


def table(changes: Sequence[Change]) -> str:
    """Return the scores as text, a line for each image and the mean.

    >>> print(table([Change("a.tif", 0.5, 0.75, 0.5, 1.0)]))
    image  F1 before  F1 after  given: before  given: after
    a.tif      0.500     0.750          0.500         1.000
    mean       0.500     0.750          0.500         1.000
    """
    rows = [*changes, mean(changes)]
    width = max(len("image"), *(len(row.name) for row in rows))
    lines = [f"{'image':<{width}}  {'  '.join(HEADER)}"]
    for row in rows:
        values = zip(HEADER, (row.before, row.after, row.before_given, row.after_given), strict=True)
        lines.append(f"{row.name:<{width}}  " + "  ".join(f"{value:{len(head)}.3f}" for head, value in values))
    return "\n".join(lines)


def mean(changes: Sequence[Change]) -> Change:
    """Return the mean of each score.

    >>> mean([Change("a", 0.0, 0.5, 0.0, 0.0), Change("b", 0.5, 1.0, 1.0, 1.0)])
    Change(name='mean', before=0.25, after=0.75, before_given=0.5, after_given=0.5)
    """
    columns = zip(*((c.before, c.after, c.before_given, c.after_given) for c in changes), strict=True)
    return Change("mean", *(float(np.mean(column)) for column in columns))
