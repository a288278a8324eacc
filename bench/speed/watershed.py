"""Speed of the decoders (maps to labels) as images grow: watershed, border class, flow, and the published functions.

    python -m bench.speed.watershed [--large]

The maps are made from simulated labels, with noise. The published functions of scikit-image and SciPy, without the
removal of small cells and holes, get the small maps alone. With --large, the same maps are repeated to 10,000 x
10,000 px. Seconds of the CPU are compared, because the machine is shared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from skimage.morphology import disk, h_maxima
from skimage.segmentation import watershed as skimage_watershed

from bench.images import mosaic
from bench.record import Record, table, write_record
from bench.speed.dynamics import OPTIONS, in_parts, network_like
from flowmask.families.blocks import Maps, label_rows_by_blocks
from flowmask.families.flow.strip import label_rows as flow_rows
from flowmask.families.semantic import border
from flowmask.families.watershed.decode import label_rows as watershed_rows
from flowmask.labels.labels import Labels
from flowmask.options import Segmentation
from train.families.semantic.targets import border_target
from train.families.watershed.targets import inner_distance, pixelwise

DIAMETER, TEMPLATE, LARGE = 30, 1000, 10_000
NOISE = 0.02
HEADER = ("decoder", "side, px", "cells", "CPU seconds", "ns per px")


def panoptic_like(labels: Labels, seed: int = 0) -> Maps:
    """Return maps (4, Y, X) float32 as a watershed network might give them for labels (Y, X) int32."""
    maps = np.concatenate([inner_distance(labels, 1.0, False)[None], pixelwise(labels)])
    smooth = np.stack([cv2.GaussianBlur(channel, (0, 0), 1.5) for channel in maps])
    noise = NOISE * np.random.default_rng(seed).standard_normal(smooth.shape, np.float32)
    return np.asarray(np.clip(smooth + noise * (smooth > 0.01), 0, 1), np.float32)


def flow(parts: Iterable[Maps], shape: tuple[int, int]) -> Iterator[Labels]:
    """Yield the labels of the flow family."""
    return flow_rows(parts, shape, shape, OPTIONS, threads=1)


def watershed(parts: Iterable[Maps], shape: tuple[int, int]) -> Iterator[Labels]:
    """Yield the labels of the watershed family."""
    plan: Any = SimpleNamespace(shape=shape, network_shape=shape, options=Segmentation())
    return watershed_rows(parts, plan)


def bordered_like(labels: Labels) -> Maps:
    """Return maps (3, Y, X) float32 as a network with a border class might give them for labels (Y, X) int32.

    >>> bordered_like(np.ones((20, 20), np.int32)).shape
    (3, 20, 20)
    """
    return np.stack([cv2.GaussianBlur(channel, (0, 0), 1.0) for channel in border_target(labels, 2)])


def bordered(parts: Iterable[Maps], shape: tuple[int, int]) -> Iterator[Labels]:
    """Yield the labels of the semantic family with a border class."""
    plan: Any = SimpleNamespace(shape=shape, network_shape=shape, options=Segmentation())
    return label_rows_by_blocks(parts, plan, border.label_block, border.rows_around(plan))


def published(parts: Iterable[Maps], shape: tuple[int, int]) -> Iterator[Labels]:
    """Yield the labels of the published functions, all at once."""
    maps = np.concatenate(list(parts), axis=1)
    smooth = gaussian_filter(maps[1], 2)
    markers = label(h_maxima(maps[0], 0.1, disk(2)))
    yield skimage_watershed(-smooth, markers, mask=smooth > 0.3)


Decoder = Callable[[Iterable[Maps], tuple[int, int]], Iterator[Labels]]


def timed(name: str, decoder: Decoder, template: Maps, side: int) -> tuple[object, ...]:
    """Return one row of the table."""
    wide = np.tile(template, (1, 1, side // template.shape[2]))
    begun = time.process_time()
    cells = max(int(rows.max(initial=0)) for rows in decoder(in_parts(wide, side), (side, side)))
    seconds = time.process_time() - begun
    return name, side, cells, seconds, 1e9 * seconds / side**2


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 10,000 x 10,000 px")
    large = parser.parse_args().large
    labels = mosaic(TEMPLATE, TEMPLATE, DIAMETER)[1]
    flows, maps, classes = network_like(labels), panoptic_like(labels), bordered_like(labels)
    rows = [timed("published functions", published, maps, TEMPLATE)]
    for side in (TEMPLATE, 2 * TEMPLATE, *((LARGE,) if large else ())):
        rows += [timed("watershed", watershed, maps, side), timed("flow", flow, flows, side)]
        rows.append(timed("semantic, border class", bordered, classes, side))
    record = {"runs": [dict(zip(HEADER, row, strict=True)) for row in rows]}
    print(text(record))
    print(write_record("watershed", record))


def text(record: Record) -> str:
    """Return the table of a record, and how long watershed takes in terms of flow on the largest maps, as Markdown.

    >>> each = {"watershed": 90.0, "flow": 60.0}
    >>> runs = [dict(zip(HEADER, (name, 10, 1, 1.0, time), strict=True)) for name, time in each.items()]
    >>> print(text({"runs": runs}).splitlines()[-1])
    The watershed decoder takes 1.50 times the time of the flow decoder at 10 x 10 px.
    """
    runs = record["runs"]
    side = max(run["side, px"] for run in runs)
    each = {run["decoder"]: run["ns per px"] for run in runs if run["side, px"] == side}
    ratio = each["watershed"] / each["flow"]
    rows = [[run[name] if name != "ns per px" else round(run[name]) for name in HEADER] for run in runs]
    return (
        f"{table(HEADER, rows)}\n\n"
        f"The watershed decoder takes {ratio:.2f} times the time of the flow decoder at {side:,} x {side:,} px."
    )


if __name__ == "__main__":
    main()
