"""What --resume skips: images whose labels, and the other outputs that are asked for, are finished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..labels.paths import full_path
from ..labels.provenance import Origin, Provenance, finished, has_provenance
from .jobs import Job
from .record import SKIPPED, Outcome


def skipped(job: Job, origin: Origin, others: Sequence[str]) -> Outcome | None:
    """Return the outcome of an image that need not be segmented; otherwise None.

    origin: what determines the labels that the run would write. others: the outputs beside the labels, by their names.

    >>> skipped(Job(Path("a.tif"), Path("missing_label.tiff")), {"image": "a1"}, ()) is None
    True
    """
    provenance = finished(job.target, origin)
    if provenance is None:
        return None
    paths = output_paths(others, job.target, provenance.cells)
    if not _are_there(others, paths, provenance):
        return None
    return Outcome(
        str(job.path),
        SKIPPED,
        labels=tuple(str(path) for path in (job.target, full_path(job.target)) if has_provenance(path, provenance)),
        outputs=tuple(map(str, paths)),
        cells=provenance.cells,
        diameter=provenance.diameter,
        verdict=provenance.verdict,
        reasons=provenance.reasons,
    )


def output_paths(others: Sequence[str], target: Path, cells: int) -> list[Path]:
    """Return the files of the outputs ``others`` beside a label file; some are named after the number of cells.

    >>> output_paths(["overlay"], Path("out/a_label.tiff"), 7)[0].as_posix()
    'out/a_overlay.jpg'
    """
    if not others:
        return []
    from ..outputs import output_path  # importing it takes longer than segmenting a small image

    return [output_path(name, target, cells) for name in others]


def _are_there(others: Sequence[str], paths: Sequence[Path], provenance: Provenance) -> bool:
    """Return whether the files of the outputs were made from labels with this provenance and exist."""
    if not others:
        return True
    from ..outputs import exists

    return set(others) <= set(provenance.outputs) and all(map(exists, paths))
