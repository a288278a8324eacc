"""Trace the outlines of labelled cells into the bank that `traced` draws from.

Command:   python -m train.simulate.trace --data DATA
Writes:    train/simulate/outlines.npz, one array per source, named GROUP/SOURCE: float16 (N, POINTS, 2), x and y of
           closed outlines about their mean, each with the area of a disc of diameter 1. All runs write the same bytes.

Only shapes are stored, no pixel of an image. The images that `train.recipes.held_out.HELD_OUT` holds out or leaves out
are not read, so that no simulated cell has the shape of a cell that networks are scored on. Rods are not traced: there
are few, and their masks are loose.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours
from skimage.segmentation import clear_border

from train.data.readers import read_labels, read_shared
from train.recipes.held_out import HELD_OUT
from train.simulate.fields import Labels, Mask
from train.simulate.shapes import sized
from train.simulate.traced import BANK

SOURCES = {
    "dsb2018_fluo_nuclei_256": ("nuclei", "CC0"),
    "dsb2018_fluo_nuclei_360": ("nuclei", "CC0"),
    "dsb2018_fluo_nuclei_520x696crop": ("nuclei", "CC0"),
    "dsb2018_fluo_nuclei_tissue": ("nuclei", "CC0"),
    "dsb2018_brightfield_stained_nuclei_rgb": ("nuclei", "CC0"),
    "usiigaci_phase_T98G": ("spread", "MIT"),
    "baby_brightfield_yeast": ("round", "MIT"),
}
"""Group and licence of each source: 2018 Data Science Bowl (BBBC038), oist/Usiigaci and julianpietsch/baby."""
POINTS = 64
LIMIT = 60
"""Largest number of outlines per source, evenly spaced in its list of cells.

Equal masks, for example of one scene in several focal planes, count once.
"""
LEAST_AREA = 150
"""Smallest area in px of a cell that is traced; the outlines of smaller ones show the pixel grid."""
SMOOTHING = 1.2
"""Standard deviation in px of the blur that removes the steps of the pixels from a mask before it is traced."""


def trace(mask: Mask) -> NDArray[np.float64]:
    """Return the outline (POINTS, 2) of a mask (Y, X): x and y about their mean, evenly spaced, of diameter 1.

    >>> outline = trace(np.ones((40, 40), bool))
    >>> outline.shape == (POINTS, 2), np.allclose(outline.mean(axis=0), 0, atol=1e-3)
    (True, True)
    """
    soft = ndimage.gaussian_filter(np.pad(mask, 6).astype(np.float32), SMOOTHING)
    loop = max(find_contours(soft, 0.5), key=len)[:, ::-1]
    way = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(loop, axis=0).T))])
    at = np.linspace(0, way[-1], POINTS, endpoint=False)
    points = np.stack([np.interp(at, way, loop[:, axis]) for axis in (0, 1)], 1)
    return sized(points - points.mean(0), 1).astype(np.float64)


def whole_cells(labels: Labels) -> list[Mask]:
    """Return the masks, cut to their boxes, of the cells of at least LEAST_AREA px that do not touch the border.

    >>> labels = np.zeros((60, 60), np.int32)
    >>> labels[10:50, 10:50], labels[:5, :5] = 1, 2  # the second cell touches the border
    >>> [mask.shape for mask in whole_cells(labels)]
    [(40, 40)]
    """
    inner = clear_border(labels)
    masks = [inner[box] == index for index, box in enumerate(ndimage.find_objects(inner), 1) if box]
    return [mask for mask in masks if np.count_nonzero(mask) >= LEAST_AREA]


def main() -> None:
    """Write the bank and print the number of outlines of each source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled images: SOURCE/NAME_label.png")
    args = parser.parse_args()
    items, _ = HELD_OUT.divide(read_shared(args.data))
    cells: dict[str, list[Mask]] = defaultdict(list)
    for item in items:
        if item.source in SOURCES:
            cells[item.source] += whole_cells(read_labels(item.labels))
    bank: dict[str, Any] = {}
    for source, (group, licence) in SOURCES.items():
        masks = list({(mask.shape, mask.tobytes()): mask for mask in cells[source]}.values())
        chosen = np.unique(np.linspace(0, len(masks) - 1, min(LIMIT, len(masks))).astype(int))
        bank[f"{group}/{source}"] = np.array([trace(masks[index]) for index in chosen], np.float16)
        print(f"{source}: {len(chosen)} of {len(masks)} cells, {licence}")
    np.savez_compressed(BANK, **bank)


if __name__ == "__main__":
    main()
