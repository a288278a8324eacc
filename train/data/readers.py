"""Labelled images on disk in four layouts, which are recognised by the content of a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flowmask.errors import ImageError, InputError
from flowmask.images.image import Image
from flowmask.images.readers import SUFFIXES, open_single
from flowmask.labels.metrics import sequential
from train.data.coco import CocoObjects, Pixels, read_objects
from train.data.seg_npy import read_seg

LABEL_ENDING, NUCLEI_ENDING = "_label.png", "_nuclear_label.png"
"""What follows NAME in the names of its label images in the project's own layout: cells, and their nuclei."""
LIVECELL_FOLDERS = ("livecell_train_val_images", "livecell_test_images")
"""Folders of the LIVECell download that hold images of all cell types."""


@dataclass(frozen=True)
class Item:
    """One labelled image on disk; ``source`` names its laboratory or experiment.

    >>> Item(Path("data/lab/one.png"), Path("data/lab/one_label.png"), "lab").name
    'lab/one'
    """

    image: Path
    labels: Path | CocoObjects
    """A label image, a folder of masks or the objects of an annotation file: see `read_labels`."""
    source: str
    nuclei: Path | None = None
    """A label image of the nuclei of the same image, if there is one."""

    @property
    def name(self) -> str:
        return f"{self.source}/{self.image.stem}"


def read_folder(root: Path) -> list[Item]:
    """List the images of a folder in whichever of the four layouts it has. Raises InputError if it has none."""
    if _visible(root.glob("*.json")):
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
    """List ``root/SOURCE/NAME.png`` with ``NAME_label.png``: the layout of the project's own data folder.

    ``NAME_nuclear_label.png`` beside them has the nuclei, unless there is an image ``NAME_nuclear.png``.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "lab").mkdir()
    ...     Path(folder, "lab", "a_label.png").touch()
    ...     [item.name for item in read_shared(Path(folder))]
    ['lab/a']
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; give the folder that holds one folder for each source.")
    files = _visible(root.glob(f"*/*{LABEL_ENDING}"))
    nuclei = {path for path in files if path.name.endswith(NUCLEI_ENDING) and not _beside(path, ".png").is_file()}
    labels = [path for path in files if path not in nuclei]
    if not labels:
        raise InputError(f"{root}: it holds no SOURCE/NAME.png with SOURCE/NAME_label.png beside it; add some.")
    pairs = {path: _beside(path, NUCLEI_ENDING) for path in labels}
    if alone := sorted(nuclei - {*pairs.values()}):
        raise InputError(f"{alone[0]}: there is no label image of the whole cells beside it; add NAME{LABEL_ENDING}.")
    return [
        Item(_beside(path, ".png"), path, path.parent.name, other if other in nuclei else None)
        for path, other in pairs.items()
    ]


def _beside(labels: Path, ending: str) -> Path:
    """Return the file whose name has another ending than a label file NAME_label.png."""
    return labels.with_name(labels.name.removesuffix(LABEL_ENDING) + ending)


def read_challenge(root: Path) -> list[Item]:
    """List ``root/images/cell_00001.*`` with ``root/labels/cell_00001_label.tiff``: the challenge's layout.

    The whole folder is one source. Raises InputError when it is absent or empty, or a label file is missing.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("images/cell_1.png", "labels/cell_1_label.tiff"):
    ...         Path(folder, name).parent.mkdir()
    ...         Path(folder, name).touch()
    ...     [item.image.name for item in read_challenge(Path(folder))]
    ['cell_1.png']
    """
    images = root / "images"
    if not images.is_dir():
        raise InputError(f"{images}: there is no such folder; the challenge's layout is images/ beside labels/.")
    items = []
    for path in _image_files(images):
        label = root / "labels" / f"{path.name.split('.')[0]}_label.tiff"
        if not label.is_file():
            raise InputError(f"{label}: the labels of {path.name} are missing; add them or remove the image.")
        items.append(Item(path, label, root.name))
    if not items:
        raise InputError(f"{images}: it holds no image; put in some, or the JSON file beside it if this is COCO data.")
    return items


def read_masks(root: Path) -> list[Item]:
    """List ``root/ID/images/ID.png`` with one PNG for each object in ``root/ID/masks``: the Data Science Bowl's layout.

    The whole folder is one source. Raises InputError if an ID has no mask, or not exactly one image.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a/images/a.png", "a/masks/1.png"):
    ...         Path(folder, name).parent.mkdir(parents=True)
    ...         Path(folder, name).touch()
    ...     [item.image.name for item in read_masks(Path(folder))]
    ['a.png']
    """
    items = []
    for folder in _visible(path for path in root.iterdir() if path.is_dir()):
        images = _image_files(folder / "images") if (folder / "images").is_dir() else []
        if len(images) != 1:
            raise InputError(
                f"{folder}: its folder images/ has {len(images)} images instead of one; keep one, or remove it."
            )
        if not _visible((folder / "masks").glob("*.png")):
            raise InputError(f"{folder}: its folder masks/ has no PNG; add one mask for each object, or a black one.")
        items.append(Item(images[0], folder / "masks", root.name))
    return items


def read_coco(root: Path) -> list[Item]:
    """List the images of COCO's annotation files ``root/*.json``, for example of LIVECell.

    The images are anywhere below ``root``, under the path or the bare name in the file. The source of an image is its
    folder, or ``root`` if that folder is images/; in LIVECell's folders of all cell types it is the cell type, with
    which the names start. Raises InputError if a file is not of this kind, if an image is not found exactly once, or if
    two files name the same image.
    """
    below = defaultdict(list)
    for path in root.rglob("*"):
        below[path.name].append(path)
    items: dict[Path, Item] = {}
    for file in _visible(root.glob("*.json")):
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

    ``labels`` is a PNG or TIFF label image, cellpose's NAME_seg.npy, a folder of PNG masks with one object each (not 0
    inside), or the objects of an annotation file. Of an image with several equal channels, as many programs write
    masks, one is read. Raises ImageError, naming the file, if labels cannot be read.

    >>> read_labels(CocoObjects(Path("a.json"), (2, 4), ([[0, 0, 2, 0, 2, 1, 0, 1]],)))
    array([[1, 1, 0, 0],
           [0, 0, 0, 0]], dtype=int32)
    """
    if isinstance(labels, CocoObjects):
        return paint(labels.shape, labels.pixels())
    if labels.is_dir():
        masks = [_read_plane(path) != 0 for path in _visible(labels.glob("*.png"))]
        if len({mask.shape for mask in masks}) != 1:
            raise ImageError(f"{labels}: its masks differ in size; all must have that of the image.")
        return paint(masks[0].shape, map(np.flatnonzero, masks))
    ids = read_seg(labels) if labels.suffix == ".npy" else _read_plane(labels)
    if ids.min() < 0:
        raise ImageError(f"{labels}: its smallest id is {ids.min()}; the background must be 0 and cells 1 or more.")
    return sequential(ids)


def read_item(item: Item) -> tuple[Image, npt.NDArray[np.int32]]:
    """Open the image and read its labels (Y, X) int32; ImageError if they differ in size."""
    image = open_single(item.image)
    return image, _read_labels_of(image, item, item.labels)


def read_nuclei(item: Item, image: Image) -> npt.NDArray[np.int32] | None:
    """Read the labels of the nuclei (Y, X) int32 of ``image``, which is that of ``item``; None if it has none.

    Raises ImageError if they differ in size.
    """
    return None if item.nuclei is None else _read_labels_of(image, item, item.nuclei)


def _read_labels_of(image: Image, item: Item, labels: Path | CocoObjects) -> npt.NDArray[np.int32]:
    ids = read_labels(labels)
    if ids.shape != image.shape[1:]:
        raise ImageError(
            f"{item.image}: it has {image.shape[1]} x {image.shape[2]} pixels and its labels have "
            f"{ids.shape[0]} x {ids.shape[1]}; label it again, or remove it."
        )
    return ids


def paint(shape: tuple[int, ...], objects: Iterable[Pixels]) -> npt.NDArray[np.int32]:
    """Return labels (Y, X) int32 of objects given by their pixels, numbered in their order.

    Where objects overlap, a pixel belongs to the smallest of them. An object that is hidden completely is dropped.

    >>> paint((1, 4), [np.array([1]), np.array([0, 1, 2])])
    array([[2, 1, 2, 0]], dtype=int32)
    """
    pixels = list(objects)
    labels = np.zeros(shape, np.int32)
    for index in sorted(range(len(pixels)), key=lambda index: -len(pixels[index])):
        labels.flat[pixels[index]] = index + 1
    return sequential(labels)


def _read_plane(path: Path) -> npt.NDArray[np.int64]:
    image = open_single(path)
    channels, height, width = image.shape
    pixels = image.read(0, 0, height, width)
    if (pixels[1:] != pixels[0]).any():
        raise ImageError(f"{path}: a label image has one channel, or equal ones; the {channels} of this one differ.")
    return np.asarray(pixels[0], np.int64)


def _image_files(folder: Path) -> list[Path]:
    return _visible(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _visible(paths: Iterable[Path]) -> list[Path]:
    """Return the paths in order, without hidden files and __MACOSX, which operating systems and editors add."""
    return sorted(path for path in paths if not path.name.startswith((".", "__")))
