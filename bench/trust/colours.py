"""Pictures of one stain that were stored in colour as JPEG: are they recognised, and what does it cost?

    python -m bench.trust.colours --data DATA [--scores N]

Grey images of every source are stored as JPEG in several hues. A second table has pairs of them as two stains, in
which the second one is dimmed: neither stain may be taken as empty. With --scores, F1 of the blue JPEG is compared
with that of the grey image on N images of nuclei and of yeast, at the true diameter.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from bench.record import Record, table, write_record
from flowmask.api import load_network, segment
from flowmask.images.image import ArrayImage
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import f1_challenge
from flowmask.tiles.signal import Signal, find_signal
from flowmask.tiles.survey import survey
from train.data.readers import Item, read_labels, read_shared

Pixels = npt.NDArray[np.uint8]
HUES = {
    "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "cyan": (0, 1, 1), "magenta": (1, 0, 1),
    "yellow": (1, 1, 0), "orange": (1, 0.5, 0), "azure": (0, 0.5, 1),
}  # fmt: skip
QUALITIES = (60, 75, 85, 95)
DIMMED = (0.1, 0.2, 0.4)
EACH = 2
"""Images of every source."""
SIDE = 512
SMALLEST = 96
"""Smallest side of an image in px."""
SCORED = ("bbbc039_fluo_nuclei_u2os", "yeastvision_phase_yeast_pos13")


def coloured(grey: Pixels, hue: tuple[float, ...], quality: int) -> Pixels:
    """Return (Y, X, 3) uint8, RGB: a grey image (Y, X) in one hue, after JPEG compression."""
    return compressed(np.dstack([(grey * part).astype(np.uint8) for part in hue]), quality)


def compressed(rgb: Pixels, quality: int) -> Pixels:
    """Return an image (Y, X, 3) after JPEG compression with halved colours."""
    data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(decoded[..., ::-1], np.uint8)


def stored(item: Item) -> Pixels:
    """Return the pixels of an image file (Y, X) or (Y, X, 3)."""
    pixels: Any = cv2.imread(str(item.image), cv2.IMREAD_UNCHANGED)
    return np.asarray(pixels, np.uint8)


def signal(rgb: Pixels) -> Signal:
    """Return what the engine decides about a picture (Y, X, 3)."""
    image = ArrayImage(rgb.transpose(2, 0, 1))
    return find_signal(image, survey(image, range(3), (1.0, 99.0)))


def grey_images(items: list[Item]) -> Iterator[Pixels]:
    """Yield `EACH` grey images of every source, at most `SIDE` px wide."""
    count: dict[str, int] = defaultdict(int)
    for item in items:
        grey = stored(item)
        if grey.ndim == 2 and min(grey.shape) >= SMALLEST and count[item.source] < EACH:
            count[item.source] += 1
            yield np.asarray(grey[:SIDE, :SIDE], np.uint8)


def recognised(images: list[Pixels]) -> list[Record]:
    """Return for each quality the share of pictures of one hue that are taken as such, by hue."""
    return [
        {"quality": quality}
        | {
            name: np.mean([signal(coloured(grey, hue, quality)).one_hue for grey in images])
            for name, hue in HUES.items()
        }
        for quality in QUALITIES
    ]


def found_both(images: list[Pixels]) -> list[Record]:
    """Return for each strength of the second stain and quality the share of pairs in which both stains are used."""
    rows = []
    for strength in DIMMED:
        found: Record = {"second stain": strength}
        for quality in QUALITIES:
            pairs = []
            for first, second in pairwise(images):
                height, width = (min(lengths) for lengths in zip(first.shape, second.shape, strict=True))
                one, two = stretched(first[:height, :width]), stretched(second[:height, :width])
                rgb = np.dstack([one, (two * strength).astype(np.uint8), np.zeros_like(one)])
                pairs.append(not {0, 1} & set(signal(compressed(rgb, quality)).empty))
            found[f"quality {quality}"] = np.mean(pairs)
        rows.append(found)
    return rows


def stretched(grey: Pixels) -> Pixels:
    """Return an image whose values between the percentiles 0.1 and 99.9 are stretched to 0 to 200.

    >>> grey = np.arange(101, dtype=np.uint8)[None]
    >>> stretched(grey)[0, [0, 25, 100]]  # (25 - 0.1) * 200 / 99.8 is 49.9
    array([  0,  49, 200], dtype=uint8)
    """
    low, high = np.percentile(grey, (0.1, 99.9))
    return np.asarray(((grey - low) * (200 / max(high - low, 1))).clip(0, 255), np.uint8)


def scores(items: list[Item], count: int) -> list[Record]:
    """Return for each source and quality the mean F1 of the grey image and of its blue JPEG."""
    network, rows = load_network(device="cpu"), []
    for source in SCORED:
        own = [item for item in items if item.source == source]
        found: dict[str, list[float]] = defaultdict(list)
        for item in own[:: max(1, len(own) // count)][:count]:
            grey, truth = stored(item), read_labels(item.labels)
            for quality in (None, *QUALITIES):
                pixels = grey if quality is None else coloured(grey, HUES["blue"], quality)
                labels = segment(pixels, network, diameter=median_diameter(truth)).labels
                found["grey" if quality is None else f"quality {quality}"].append(f1_challenge(truth, labels))
        rows.append({"source": source, "images": len(found["grey"])} | {k: np.mean(v) for k, v in found.items()})
    return rows


def text(rows: list[Record]) -> str:
    """Return rows with the same keys as a Markdown table."""
    shown = [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    return table(list(rows[0]), shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of labelled images")
    parser.add_argument("--scores", type=int, default=0, metavar="N", help="score N images of each source")
    args = parser.parse_args()
    items = list(read_shared(args.data))
    images = list(grey_images(items))
    figures: Record = {"images": len(images), "recognised": recognised(images), "both stains used": found_both(images)}
    if args.scores:
        figures["scores"] = scores(items, args.scores)
    for key in ("recognised", "both stains used", *(["scores"] if args.scores else [])):
        print(f"{key}\n\n{text(figures[key])}\n", flush=True)
    write_record("colours", figures)


if __name__ == "__main__":
    main()
