"""Which files are to be segmented, and which label file each of them becomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..images.file_type import read_kind
from ..labels.paths import FULL_SUFFIX, LABEL_SUFFIX, label_path
from .record import FAILED, Outcome

SIDE_FILES = ("thumbs.db", "desktop.ini")
"""Files that file managers leave in folders, in lower case."""


@dataclass(frozen=True)
class Job:
    """A file and the label file that it becomes."""

    path: Path
    target: Path


def find_images(path: Path, own_labels: bool = False) -> list[Path]:
    """Return the files to segment: the path itself, or the files of a folder without hidden ones, by name.

    ``own_labels``: the folder is the output folder too, so its label files are results and no images. A link that
    leads nowhere counts as a file: it is for the reader to say so. Raises InputError when there is none.
    """
    try:
        if path.is_file():
            return [path]
        exists = path.is_dir()
        found = sorted(p for p in path.iterdir() if _is_file(p)) if exists else []
    except OSError as error:
        raise InputError(
            f"{path}: it cannot be read ({error.strerror}); check its name and its permissions."
        ) from error
    if not exists:
        raise InputError(f"{path}: there is no such file or folder; give the images' folder with -i.")
    found = [p for p in found if not p.name.startswith(".") and p.name.lower() not in SIDE_FILES]
    if own_labels:
        found = [p for p in found if not p.name.endswith((LABEL_SUFFIX, FULL_SUFFIX))]
    if not found:
        raise InputError(f"{path}: there are no images in the folder; put TIFF, PNG, JPEG or BMP images into it.")
    return found


def _is_file(path: Path) -> bool:
    """Tell whether a folder's entry is a file, or a link of which that cannot be told."""
    try:
        return path.is_file() or (path.is_symlink() and not path.exists())
    except OSError:
        return True


def plan(paths: Sequence[Path], output: Path) -> tuple[list[Job], list[Outcome]]:
    """Return the jobs, and the failures of files that get none: their labels would replace those of another.

    A file that is no image by its first bytes keeps its job, to be told so, and takes the name from no other.
    """
    targets = [label_path(output, path.name) for path in paths]
    shared = Counter(targets)
    jobs: list[Job] = []
    refused: list[Outcome] = []
    taken: dict[Path, Path] = {}
    for path, target in zip(paths, targets, strict=True):
        claims = shared[target] > 1 and _is_image(path)
        if claims and target in taken:
            reason = (
                f"{path}: {taken[target].name} has the same name up to its first dot, and both would become "
                f"{target.name}; rename one of them."
            )
            refused.append(Outcome(str(path), FAILED, reason))
            continue
        if claims:
            taken[target] = path
        jobs.append(Job(path, target))
    return jobs, refused


def _is_image(path: Path) -> bool:
    try:
        return read_kind(path) is not None
    except OSError:
        return False
