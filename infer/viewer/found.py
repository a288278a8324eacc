"""The label files of a run and the images that belong to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, OutputError
from ..images.file_type import image_name, is_zarr
from ..labels.paths import LABEL_SUFFIX, full_path, label_path, may_be_frame
from ..labels.provenance import Provenance, read_provenance
from ..outputs.report.card import ENDING as CARD_ENDING
from ..outputs.report.card import read_card
from ..outputs.table import ENDING as TABLE_ENDING
from ..runs.jobs import find_images


@dataclass(frozen=True)
class Found:
    """A label file and what belongs to it."""

    image: Path
    """The image file."""
    suffix: str
    """Which frame of the image file, and which of its label images, such as "_t001_nuclear"; empty for the only one."""
    labels: Path
    """The label file in which every cell has its own number."""
    cells: int
    """Number of cells."""
    table: Path | None
    """The measurements of the cells as CSV, if they were saved."""

    @property
    def name(self) -> str:
        """The name of the image file, and which frame of it."""
        return " ".join(filter(None, (image_name(self.image), self.suffix.strip("_"))))


def find_results(folder: Path, images: Sequence[Path]) -> tuple[list[Found], list[str]]:
    """Return the label files in a folder with their images, sorted by name, and a sentence for each one without image.

    images: image files and folders of images. If there are none, the images are those that the run named on the cards
    of its report. Raises InputError if there are no label files, or no image of any of them.

    >>> find_results(Path("missing"), [])
    Traceback (most recent call last):
    ...
    flowmask.errors.InputError: missing: there is no such folder; give the folder that `flowmask segment -o` wrote.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give the folder that `flowmask segment -o` wrote.")
    ours = {path: read_provenance(path) for path in sorted(folder.glob(f"*{LABEL_SUFFIX}"))}
    labels = {path: provenance for path, provenance in ours.items() if provenance is not None}
    if not labels:
        raise InputError(
            f"{folder}: it contains no label files by Flowmask; give the folder that `flowmask segment -o` wrote."
        )
    image_of = _by_label_file(folder, find_images(images, folder)[0] if images else _on_cards(labels))
    found, missing = [], []
    for path, provenance in labels.items():
        base = path if path in image_of else next((one for one in image_of if may_be_frame(path, one)), None)
        if base is None:
            missing.append(f"{path}: its image was not found; name it: flowmask view {folder} IMAGE")
            continue
        suffix = path.name.removesuffix(LABEL_SUFFIX)[len(base.name.removesuffix(LABEL_SUFFIX)) :]
        found.append(_found(path, provenance, image_of[base], suffix))
    if not found:
        raise InputError(
            f"{folder}: the images of its labels were not found; name them: flowmask view {folder} IMAGES, where "
            "IMAGES are the image files or their folder."
        )
    return found, missing


def _by_label_file(folder: Path, images: Iterable[Path]) -> dict[Path, Path]:
    """Return the images by the label files that they have, under the names of the challenge too."""
    found: dict[Path, Path] = {}
    for challenge in (False, True):
        for image in images:
            found.setdefault(label_path(folder, image_name(image), challenge), image)
    return found


def _on_cards(labels: dict[Path, Provenance]) -> list[Path]:
    """Return the image files that are named on the cards of these very labels, as far as they are still there."""
    images = []
    for path, provenance in labels.items():
        try:
            card = read_card(path.with_name(path.name.removesuffix(LABEL_SUFFIX) + CARD_ENDING))
        except OutputError:  # without --save report there is no card
            continue
        image = Path(str(card["outcome"].get("file")))
        if card["provenance"].get("flowmask") == provenance.flowmask and (image.is_file() or is_zarr(image)):
            images.append(image)
    return images


def _found(path: Path, provenance: Provenance, image: Path, suffix: str) -> Found:
    full = full_path(path)
    table = path.with_name(path.name.removesuffix(LABEL_SUFFIX) + TABLE_ENDING)
    return Found(
        image,
        suffix,
        full if read_provenance(full) == provenance else path,
        provenance.cells,
        table if table.is_file() else None,
    )
