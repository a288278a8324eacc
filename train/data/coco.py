"""COCO's annotation files, as LIVECell has them: the objects of an image as polygons or as run lengths."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon

from flowmask.errors import ImageError, InputError

Pixels = npt.NDArray[np.int64]
"""(n,) positions of an object's pixels in the flattened image, row by row."""


@dataclass(frozen=True)
class CocoObjects:
    """The objects of one image as in the annotation file, not yet drawn."""

    file: Path
    shape: tuple[int, int]
    """(Y, X) of the image according to the file."""
    segmentations: tuple[Any, ...]

    def pixels(self) -> Iterator[Pixels]:
        """Yield the pixels of each object; objects may overlap. Raises ImageError if one cannot be drawn."""
        for number, segmentation in enumerate(self.segmentations, 1):
            try:
                yield draw(segmentation, self.shape)
            except (ValueError, TypeError, KeyError) as error:
                raise ImageError(
                    f"{self.file}: object {number} of an image has neither polygons nor run lengths that fit it "
                    f"({error}); export the file again."
                ) from error


def read_objects(path: Path) -> dict[str, CocoObjects]:
    """Return the objects of each image of an annotation file, by the image's file name.

    The annotations may be a list, as in COCO's files, or a mapping, as in LIVECell's. Crowds (``iscrowd``) are not
    single objects and are skipped. Raises InputError if the file is not of this kind.

    >>> from tempfile import TemporaryDirectory
    >>> image = {"id": 1, "file_name": "a.png", "height": 4, "width": 5}
    >>> square = {"image_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.json")
    ...     _ = path.write_text(json.dumps({"images": [image], "annotations": [square]}))
    ...     found = read_objects(path)
    >>> found["a.png"].shape, len(found["a.png"].segmentations)
    ((4, 5), 1)
    """
    try:
        content = json.loads(path.read_bytes())
        annotations = content["annotations"]
        objects = defaultdict(list)
        for annotation in annotations.values() if isinstance(annotations, dict) else annotations:
            if not annotation.get("iscrowd"):
                objects[annotation["image_id"]].append(annotation["segmentation"])
        images = content["images"]
        found = {
            image["file_name"]: CocoObjects(path, (image["height"], image["width"]), tuple(objects[image["id"]]))
            for image in images
        }
    except OSError as error:
        raise InputError(f"{path}: it cannot be read ({error.strerror}); check its permissions.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: it is not a COCO file with images and segmented annotations ({type(error).__name__}: {error}); "
            "export it again, or move it elsewhere."
        ) from error
    if len(found) < len(images):
        raise InputError(
            f"{path}: two of its images have the same file_name; merge them into one entry with the objects of both."
        )
    return found


def draw(segmentation: Any, shape: tuple[int, int]) -> Pixels:
    """Return the pixels of one object given as polygons, run lengths or compressed run lengths.

    The polygons [x, y, x, y, ...] of a list are united; x = 0 is the left edge of the first pixel. A pixel belongs to a
    polygon if its centre is inside or on the edge; polygons with fewer than three corners are empty. Run lengths
    {"size": [Y, X], "counts"} go down the columns and start with the background. Raises ValueError, TypeError or
    KeyError for anything else.

    >>> draw([[0, 0, 2, 0, 2, 1, 0, 1]], (2, 3))  # the first two pixels of the first row
    array([0, 1])
    >>> draw({"size": [2, 3], "counts": [2, 3, 1]}, (2, 3))  # the second column and the top of the third
    array([1, 2, 4])
    """
    if isinstance(segmentation, list):
        if not segmentation:
            raise ValueError("it has no polygon")
        parts = [np.reshape(np.asarray(part, float), (-1, 2)) - 0.5 for part in segmentation]
        inside = [polygon(part[:, 1], part[:, 0], shape) for part in parts if len(part) > 2]
        pixels = [rows.astype(np.int64) * shape[1] + columns for rows, columns in inside]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *pixels]))
    counts = segmentation["counts"]
    runs = np.asarray(run_lengths(counts) if isinstance(counts, str) else counts, np.int64)
    if tuple(segmentation["size"]) != shape or runs.sum() != shape[0] * shape[1]:
        raise ValueError(f"its run lengths do not fit an image of {shape[0]} x {shape[1]} pixels")
    mask = np.repeat(np.arange(len(runs)) % 2, runs).reshape(shape[::-1]).T
    return np.flatnonzero(mask)


def run_lengths(text: str) -> list[int]:
    """Decode COCO's compressed run lengths.

    Each character, minus 48, holds five bits of a number, the lowest first. Bit 5 is set if another character follows;
    bit 4 of the last character is the sign. From the fourth number on, the difference to the run two before is stored.

    >>> run_lengths("231")
    [2, 3, 1]
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts
