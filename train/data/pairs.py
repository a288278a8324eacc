"""Find images and their labels in the layouts in which people keep them: beside each other, in two folders, COCO."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flowmask.errors import InputError
from flowmask.images.readers import SUFFIXES
from train.data.readers import Item, read_coco, read_masks

ENDINGS = ("_label", "_labels", "_mask", "_masks", "_cp_masks", "_seg")
"""What stands between the name of an image and the suffix of its label file."""
NUCLEI = "_nuclear"
"""What ends the name, without `ENDINGS`, of the labels of the nuclei beside those of the whole cells."""
FOLDERS = ("labels", "label", "masks", "mask")
"""Names of the folder of labels beside images/."""


@dataclass(frozen=True)
class Pairs:
    """Images with labels, and what was left out."""

    items: list[Item]
    without_labels: list[Path]
    """Images for which there is no label file."""


def find_pairs(root: Path) -> Pairs:
    """Return the images of a folder with their labels. The layout is recognised by the files.

    Beside each other, in ``root`` or its subfolders: NAME.tif with NAME_label.tif, NAME_masks.png, NAME_cp_masks.png or
    cellpose's NAME_seg.npy (all `ENDINGS`, any image format). Labels of nuclei, NAME_nuclear_label.tif, are not used.
    Two folders: images/NAME.tif with labels/NAME.tif or masks/NAME_mask.png. One mask for each object: ID/images/ID.png
    with ID/masks/*.png. COCO files ``root/*.json``.
    Raises InputError if there are no pairs or an image has two label files.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a.tif", "a_label.tif", "b.tif"):
    ...         _ = Path(folder, name).write_bytes(b"")
    ...     found = find_pairs(Path(folder))
    >>> [item.labels.name for item in found.items], [path.name for path in found.without_labels]
    (['a_label.tif'], ['b.tif'])
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; give the folder that holds the images and their labels.")
    labels = next((root / name for name in FOLDERS if (root / name).is_dir()), None)
    if (root / "images").is_dir() and labels is not None:
        found = _matched(_files(root / "images"), _files(labels), root.name)
    elif any(root.glob("*/masks")) and any(root.glob("*/images")):
        found = Pairs(read_masks(root), [])
    else:
        found = _beside(root)
    if not found.items and any(root.glob("*.json")):
        found = Pairs(read_coco(root), [])
    if not found.items:
        raise InputError(
            f"{root}: no image has a label file; put NAME_label.tif or cellpose's NAME_seg.npy beside NAME.tif, or use "
            "the folders images/ and labels/ with the same names."
        )
    return found


def _beside(root: Path) -> Pairs:
    """Return the pairs in which both files are in one folder: ``root`` or one below it."""
    folders = [root, *_visible(path for path in root.rglob("*") if path.is_dir())]
    parts = []
    for folder in folders:
        files = _files(folder)
        labels = [path for path in files if _image_name(path) is not None]
        images = [path for path in files if path not in labels]
        names = {path.stem for path in images}
        for path in labels:
            name = _image_name(path) or ""
            if not names & {name, name.removesuffix(NUCLEI)}:
                raise InputError(f"{path}: the image {name} is not beside this label file; put it there.")
        parts.append(_matched(images, labels, folder.name))
    return Pairs([i for part in parts for i in part.items], [p for part in parts for p in part.without_labels])


def _matched(images: list[Path], labels: list[Path], source: str) -> Pairs:
    """Return each image with the label file of its name."""
    items, without = [], []
    for image in images:
        found = [path for path in labels if image.stem in (path.stem, _image_name(path))]
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            raise InputError(f"{image}: it has two label files, {names}; keep the corrected one and move the other.")
        if found:
            items.append(Item(image, found[0], source))
        else:
            without.append(image)
    return Pairs(items, without)


def _image_name(labels: Path) -> str | None:
    """Return the name of the image to which a label file belongs, judged by the ending of its own name.

    >>> _image_name(Path("a_cp_masks.png")), _image_name(Path("a.png"))
    ('a', None)
    """
    ending = max((ending for ending in ENDINGS if labels.stem.endswith(ending)), key=len, default=None)
    return None if ending is None else labels.stem.removesuffix(ending)


def _files(folder: Path) -> list[Path]:
    return _visible(
        path
        for path in folder.iterdir()
        if path.is_file() and (path.suffix.lower() in SUFFIXES or path.name.endswith("_seg.npy"))
    )


def _visible(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if not path.name.startswith((".", "__")))
