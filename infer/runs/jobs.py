"""The jobs of a run: the image files to segment and the label file of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..images.file_type import image_name, is_meant_as_image, is_zarr, read_kind
from ..labels.paths import label_path
from .folders import files_of, where_images_are
from .record import FAILED, Outcome

if TYPE_CHECKING:
    from ..sharing.counts import CountShare
    from ..sharing.share import Share


@dataclass(frozen=True)
class Job:
    """One image file to segment."""

    path: Path
    """The image file."""
    target: Path
    """The label file; of a file with several label images, that of a file with one: each adds its suffix."""
    frame: int = 0
    """The first label image to make, counted from 0: one for each frame, or several (`flowmask.runs.parts`)."""
    share: Share | CountShare | None = None
    """If this job only helps the process that segments the frame: its `Advanced.share`."""


def find_images(inputs: Sequence[Path], output: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Return the files to segment, each once, and the files in folders that are not read.

    Input files come as they are given, files of input folders sorted by name. In folders, hidden files, the files of
    file managers and outputs beside labels that Flowmask wrote are left out. If the folder ``output`` is
    one of the inputs, everything in it that is named as an output is left out. A broken link counts as an image, so
    that it is reported when it is opened. A Zarr folder is one image. Raises InputError for an input that does not
    exist or cannot be read, and for a folder without images.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a.png", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     images, others = find_images([Path(folder)])
    >>> [path.name for path in images], [path.name for path in others]
    (['a.png'], ['notes.txt'])
    """
    images: dict[Path, None] = {}
    others: list[Path] = []
    for path in inputs:
        found = files_of(path, output)
        meant = [file for file in found if file == path or is_zarr(file) or is_meant_as_image(file)]
        if not meant:
            raise InputError(
                f"{path}: there are no images in the folder, and its subfolders are not searched; "
                f"{where_images_are(path)}"
            )
        images |= dict.fromkeys(meant)
        others += [file for file in found if file not in images]
    return list(images), others


def plan(paths: Sequence[Path], output: Path, challenge: bool = False) -> tuple[list[Job], list[Outcome]]:
    """Return the jobs, and failed outcomes for images that would overwrite the label file of another image.

    ``challenge``: label files are named as the challenge's evaluation reads them.

    A file that is not an image, judged by its first bytes, always gets a job, which reports the error, and does not
    reserve the name of a label file.

    >>> jobs, conflicts = plan([Path("in/a.png"), Path("in/b.png")], Path("out"))
    >>> [job.target.as_posix() for job in jobs], conflicts
    (['out/a_label.tiff', 'out/b_label.tiff'], [])
    """
    targets = [label_path(output, image_name(path), challenge) for path in paths]
    count = Counter(targets)
    jobs: list[Job] = []
    conflicts: list[Outcome] = []
    image_of: dict[Path, Path] = {}
    for path, target in zip(paths, targets, strict=True):
        reserves = count[target] > 1 and _is_image(path)
        if reserves and target in image_of:
            end = "first dot" if challenge else "suffix"
            reason = (
                f"{path}: {image_name(image_of[target])} has the same name up to its {end}, so both would be written "
                f"to {target.name}; rename one of them."
            )
            conflicts.append(Outcome(str(path), FAILED, reason))
            continue
        if reserves:
            image_of[target] = path
        jobs.append(Job(path, target))
    return jobs, conflicts


def _is_image(path: Path) -> bool:
    try:
        return is_zarr(path) or read_kind(path) is not None
    except OSError:
        return False
