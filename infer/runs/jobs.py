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


def find_images(inputs: Sequence[Path], output: Path | None = None) -> list[Path]:
    """Return the files to segment: the files among the inputs and the files in the folders among them, each once.

    Hidden files and the files of file managers are skipped; in ``output``, if it is one of the folders, also label
    files. A link to nothing counts as a file, so that the reader reports it. Raises InputError for an input that does
    not exist or cannot be read, and for a folder without images.
    """
    return list(dict.fromkeys(path for given in inputs for path in _files_of(given, output)))


def _files_of(path: Path, output: Path | None) -> list[Path]:
    """Return the path itself, or the files of a folder by name."""
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
        raise InputError(f"{path}: there is no such file or folder; give the folder of the images.")
    found = [p for p in found if not p.name.startswith(".") and p.name.lower() not in SIDE_FILES]
    if output is not None and path.resolve() == output.resolve():
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
