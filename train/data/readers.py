"""Labelled images on disk: the layouts that are known, told apart by what a folder holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flowmask.errors import ImageError, InputError
from flowmask.images.image import SUFFIXES, Image, open_image
from flowmask.labels.metrics import sequential
from train.data.coco import CocoObjects, Pixels, read_objects

LIVECELL_FOLDERS = ("livecell_train_val_images", "livecell_test_images")
"""Folders in which LIVECell comes with the images of every cell type."""


@dataclass(frozen=True)
class Item:
    """One labelled image on disk; ``source`` names the laboratory or experiment it comes from."""

    image: Path
    labels: Path | CocoObjects
    """A label image, a folder of masks or the objects of an annotation file: see `read_labels`."""
    source: str

    @property
    def name(self) -> str:
        return f"{self.source}/{self.image.stem}"


def read_folder(root: Path) -> list[Item]:
    """List the images of a folder in whichever of the four layouts it has. Raises InputError where it has none."""
    if _seen(root.glob("*.json")):
        return read_coco(root)
    if (root / "images").is_dir():
        return read_challenge(root)
    if any(root.glob("*/masks")):
        return read_masks(root)
    return read_shared(root)


def read_folders(roots: Iterable[Path]) -> list[Item]:
    """List the images of several folders, each as `read_folder` does."""
    return [item for root in roots for item in read_folder(root)]


def read_shared(root: Path) -> list[Item]:
    """List ``root/SOURCE/NAME.png`` with ``NAME_label.png``: the layout of the project's own data folder."""
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; give the folder that holds one folder for each source.")
    labels = _seen(root.glob("*/*_label.png"))
    if not labels:
        raise InputError(f"{root}: it holds no SOURCE/NAME.png with SOURCE/NAME_label.png beside it; add some.")
    return [Item(path.with_name(path.name.replace("_label.png", ".png")), path, path.parent.name) for path in labels]


def read_challenge(root: Path) -> list[Item]:
    """List ``root/images/cell_00001.*`` with ``root/labels/cell_00001_label.tiff``: the challenge's layout.

    The whole folder is one source. Raises InputError when it is absent or empty, or a label file is missing.
    """
    images = root / "images"
    if not images.is_dir():
        raise InputError(f"{images}: there is no such folder; the challenge's layout is images/ beside labels/.")
    items = []
    for path in _pictures(images):
        label = root / "labels" / f"{path.name.split('.')[0]}_label.tiff"
        if not label.is_file():
            raise InputError(f"{label}: the labels of {path.name} are missing; add them or remove the image.")
        items.append(Item(path, label, root.name))
    if not items:
        raise InputError(f"{images}: it holds no image; put in some, or the JSON file beside it if this is COCO data.")
    return items


def read_masks(root: Path) -> list[Item]:
    """List ``root/ID/images/ID.png`` with one PNG for each object in ``root/ID/masks``: the Data Science Bowl's layout.

    The whole folder is one source. Raises InputError where an ID has not one image or no mask.
    """
    items = []
    for folder in _seen(path for path in root.iterdir() if path.is_dir()):
        images = _pictures(folder / "images") if (folder / "images").is_dir() else []
        if len(images) != 1:
            raise InputError(f"{folder}: it holds {len(images)} images in images/; leave one there or remove it.")
        if not _seen((folder / "masks").glob("*.png")):
            raise InputError(
                f"{folder}: it holds no PNG in masks/; add one for each object, a black one where there is none."
            )
        items.append(Item(images[0], folder / "masks", root.name))
    return items


def read_coco(root: Path) -> list[Item]:
    """List the images that COCO's annotation files ``root/*.json`` name, as LIVECell comes.

    The images lie anywhere below ``root``, under the path or else the bare name that the file gives. The folder of an
    image is its source, or ``root`` where that is images/; in LIVECell's own folders of all cell types the cell type,
    with which its names begin. Raises InputError when a file is no such file, an image is not found once, or two files
    name the same one.
    """
    below = defaultdict(list)
    for path in root.rglob("*"):
        below[path.name].append(path)
    items: dict[Path, Item] = {}
    for file in _seen(root.glob("*.json")):
        for name, objects in read_objects(file).items():
            found = [root / name] if (root / name).is_file() else below[Path(name).name]
            if len(found) != 1:
                raise InputError(f"{file}: {name} is found {len(found)} times below {root}; it must be there once.")
            image = found[0]
            if image in items:
                raise InputError(f"{file}: {name} is in another JSON file of {root} too; move one of them elsewhere.")
            items[image] = Item(image, objects, _coco_source(root, image))
    return list(items.values())


def _coco_source(root: Path, image: Path) -> str:
    if image.parent.name in LIVECELL_FOLDERS:
        return image.name.split("_")[0]
    return root.name if image.parent in (root, root / "images") else image.parent.name


def read_labels(labels: Path | CocoObjects) -> npt.NDArray[np.int32]:
    """Read labels as (Y, X) int32 with sequential ids.

    From a PNG or TIFF label image, a folder of PNG masks of one object each (not 0 inside), or the objects of an
    annotation file. An image of several equal channels, as many programs write masks, is taken for one of them. Raises
    ImageError, naming the file, for what cannot be read so.
    """
    if isinstance(labels, CocoObjects):
        return paint(labels.shape, labels.pixels())
    if labels.is_dir():
        masks = [_read_plane(path) != 0 for path in _seen(labels.glob("*.png"))]
        if len({mask.shape for mask in masks}) != 1:
            raise ImageError(f"{labels}: its masks differ in size; all must have that of the image.")
        return paint(masks[0].shape, map(np.flatnonzero, masks))
    ids = _read_plane(labels)
    if ids.min() < 0:
        raise ImageError(f"{labels}: its ids go below 0, as far as {ids.min()}; give the background 0, cells more.")
    return sequential(ids)


def read_item(item: Item) -> tuple[Image, npt.NDArray[np.int32]]:
    """Open the image and read its labels (Y, X) int32; ImageError where they differ in size."""
    image, labels = open_image(item.image), read_labels(item.labels)
    if labels.shape != image.shape[1:]:
        raise ImageError(
            f"{item.image}: it has {image.shape[1]} x {image.shape[2]} pixels and its labels have "
            f"{labels.shape[0]} x {labels.shape[1]}; label it again, or remove it."
        )
    return image, labels


def paint(shape: tuple[int, ...], objects: Iterable[Pixels]) -> npt.NDArray[np.int32]:
    """Return labels (Y, X) int32 of objects given by their pixels, numbered in their order.

    Where objects overlap a pixel belongs to the smallest of them, so that none hides another; what is hidden is lost.
    """
    every = list(objects)
    labels = np.zeros(shape, np.int32)
    for index in sorted(range(len(every)), key=lambda index: -len(every[index])):
        labels.flat[every[index]] = index + 1
    return sequential(labels)


def _read_plane(path: Path) -> npt.NDArray[np.int64]:
    image = open_image(path)
    channels, height, width = image.shape
    pixels = image.read(0, 0, height, width)
    if (pixels[1:] != pixels[0]).any():
        raise ImageError(f"{path}: a label image has one channel, or equal ones; the {channels} of this one differ.")
    return np.asarray(pixels[0], np.int64)


def _pictures(folder: Path) -> list[Path]:
    return _seen(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _seen(paths: Iterable[Path]) -> list[Path]:
    """Return the paths in order, without what a system or an editor puts beside data: hidden names and __MACOSX."""
    return sorted(path for path in paths if not path.name.startswith((".", "__")))
