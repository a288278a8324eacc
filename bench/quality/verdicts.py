"""How well the verdicts tell good labels from bad ones, on real and simulated images and on spoilt ones.

    python -m bench.quality.verdicts --data ../shared/data [--model FILE.onnx] [--each 6] [--cache FILE.jsonl]

Every image is segmented as it is and in one spoilt way, in turn: a diameter that is far too small or too large, noise,
blur, or one channel of a colour image. Verdicts are compared with F1 at IoU 0.5 by the challenge's rules. The limits of
`flowmask.labels.verdict.LIMITS` were chosen on one half of the sources; the other half only tests them. To calibrate
for another network, run this with --cache, change LIMITS until the table of the first half is right, run it again with
the same cache, which is quick, and look at the table of the second half.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain, zip_longest
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import cv2
import numpy as np
import numpy.typing as npt

from bench.images import SIMULATED, read_shared, simulated
from bench.record import Record, named, table, write_record
from flowmask.api import load_network
from flowmask.images.image import as_image
from flowmask.labels.cells import CellTable
from flowmask.labels.labels import Labels, median_diameter
from flowmask.labels.metrics import f1_challenge
from flowmask.labels.verdict import CHECK, GOOD, POOR, Evidence, evidence, judge_evidence
from flowmask.network.registry import default_network
from flowmask.network.session import Network
from flowmask.options import Runtime, Segmentation
from flowmask.pipeline import label_rows, plan_image
from train.readers import read_item

SIDE = 400
"""Largest side of an image in px; larger ones are cropped to their middle."""
SMALLER, LARGER = 0.4, 2.5
UNCHANGED, SMALL, LARGE, NOISE, BLUR, ONE_CHANNEL = (
    "as it is", "diameter x 0.4", "diameter x 2.5", "noise", "blur", "one channel",
)  # fmt: skip
SPOILT = (SMALL, LARGE, NOISE, BLUR, ONE_CHANNEL)
BAD, FAIR, FINE = "F1 below 0.5", "F1 0.5 to 0.8", "F1 above 0.8"
LEVELS = (GOOD, CHECK, POOR)
FITTED, TESTED = "sources that the limits were chosen on", "sources that only test them"
Pixels = npt.NDArray[Any]
Case = tuple[str, str, str, Pixels, Labels]
"""Source, name, how the image is spoilt, pixels (Y, X, C) and true labels (Y, X)."""
Row = dict[str, Any]


def half(source: str) -> str:
    """Return `FITTED` or `TESTED`: in which half a source is, decided by its name."""
    return FITTED if crc32(source.encode()) % 2 else TESTED


def cases(data: Path, each: int) -> Iterator[Case]:
    """Yield every image as it is and spoilt in one way, the sources in turn."""
    sources: dict[str, list[Any]] = {}
    for item in read_shared(data):
        sources.setdefault(item.source, []).append(item)
    for own in sources.values():
        Random(1).shuffle(own)
    picked: list[list[Any]] = [
        [(i.source, i.image.stem, *read_item(i)) for i in own[:each]] for own in sources.values()
    ]
    drawn: dict[str, list[Any]] = {}
    for sample in simulated(max(1, each // 2)):
        drawn.setdefault(sample[0], []).append(sample)
    turns = chain.from_iterable(zip_longest(*picked, *drawn.values()))
    for number, (source, name, image, truth) in enumerate(turn for turn in turns if turn):
        pixels = np.ascontiguousarray(image.read(0, 0, *image.shape[1:]).transpose(1, 2, 0))
        yield from _both(source, name, *_middle(pixels, truth, SIDE), number)


def _both(source: str, name: str, pixels: Pixels, truth: Labels, number: int) -> Iterator[Case]:
    if not truth.any():
        return
    yield source, name, UNCHANGED, pixels, truth
    way = SPOILT[number % len(SPOILT)]
    if way == ONE_CHANNEL and pixels.shape[2] == 1:
        way = NOISE
    if way == SMALL:
        pixels, truth = _middle(pixels, truth, SIDE // 2)
    if truth.any():
        yield source, name, way, _spoilt(pixels, truth, way, number), truth


def _middle(pixels: Pixels, truth: Labels, side: int) -> tuple[Pixels, Labels]:
    top, left = (max(0, (length - side) // 2) for length in truth.shape)
    window = np.s_[top : top + side, left : left + side]
    ids, cropped = np.unique(truth[window], return_inverse=True)
    numbered = cropped.reshape(truth[window].shape) + (0 if ids[0] == 0 else 1)
    return np.ascontiguousarray(pixels[window]), numbered.astype(np.int32)


def _spoilt(pixels: Pixels, truth: Labels, way: str, number: int) -> Pixels:
    low, high = np.percentile(pixels, (1, 99))
    if way == NOISE:
        noise = np.random.default_rng(number).normal(0, 0.5 * (high - low), pixels.shape)
        return (pixels + noise).clip(0, 255).astype(pixels.dtype)
    if way == BLUR:
        return cv2.GaussianBlur(pixels, (0, 0), median_diameter(truth) / 3).reshape(pixels.shape).astype(pixels.dtype)
    return pixels[..., number % 3 :][..., :1] if way == ONE_CHANNEL else pixels


def measured(case: Case, network: Network) -> Row:
    """Return F1, evidence and names of one case."""
    source, name, way, pixels, truth = case
    options = Segmentation()
    if way in (SMALL, LARGE):
        factor = SMALLER if way == SMALL else LARGER
        options = replace(options, diameter=max(1.0, median_diameter(truth) * factor))
    image, cells = as_image(pixels), CellTable()
    plan = plan_image(image, network, options, Runtime(threads=1))
    labels = np.concatenate(list(label_rows(image, network, plan, cells)))
    names = {"source": source, "name": name, "way": way}
    return {**names, "f1": f1_challenge(truth, labels), "evidence": asdict(evidence(cells, plan))}


def rows(data: Path, each: int, network: Network, cache: Path | None) -> list[Row]:
    """Return the rows of all cases; those in the cache are not computed again."""
    known = [json.loads(line) for line in cache.read_text().splitlines()] if cache and cache.exists() else []
    done = {(row["source"], row["name"], row["way"]): row for row in known}
    found = []
    for case in cases(data, each):
        row = done.get(case[:3]) or measured(case, network)
        found.append(row)
        if cache and case[:3] not in done:
            with cache.open("a") as file:
                file.write(json.dumps(row) + "\n")
    return found


def confusion(found: list[Row]) -> dict[str, dict[str, int]]:
    """Return how many images of each class of F1 have each verdict."""
    counts = {kind: dict.fromkeys(LEVELS, 0) for kind in (FINE, FAIR, BAD)}
    for row in found:
        kind = FINE if row["f1"] > 0.8 else BAD if row["f1"] < 0.5 else FAIR
        counts[kind][judge_evidence(Evidence(**row["evidence"])).level] += 1
    return counts


def text(record: Record) -> str:
    """Return the tables of a record as Markdown."""
    parts = [record["model"]]
    for title, counts in record["halves"].items():
        lines = []
        for kind, own in counts.items():
            total = sum(own.values())
            lines.append([kind, total, *own.values(), f"{100 * (1 - own[GOOD] / total):.0f} %" if total else ""])
        parts += [title.capitalize(), table(["images", "number", *LEVELS, "not good"], lines)]
    return "\n\n".join(parts)


def main() -> None:
    """Judge the images, print the tables and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--model", type=Path, default=default_network())
    parser.add_argument("--each", type=int, default=6, help="images of each source (default 6)")
    parser.add_argument("--cache", type=Path, help="file for the evidence, which a later run reads")
    args = parser.parse_args()
    network = load_network(args.model, device="cpu", threads=1)
    found = rows(args.data, args.each, network, args.cache)
    halves = {
        title: confusion([row for row in found if half(row["source"].removeprefix(SIMULATED)) == title])
        for title in (FITTED, TESTED)
    }
    figures = {"model": named(args.model), "halves": halves, "images": found}
    print(text(figures))
    print(write_record("verdicts", figures))


if __name__ == "__main__":
    main()
