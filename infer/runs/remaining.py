"""What remains of the jobs of a worker, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..labels.paths import frame_path
from .jobs import Job
from .record import Outcome, failure


class Remaining:
    """The jobs that are not done, of which the first may be a series that is partly done.

    >>> remaining = Remaining([Job(Path("a.tif"), Path("out/a_label.tiff"))])
    >>> remaining.suffixes = ("_t001", "_t002")
    >>> remaining.advance()
    >>> remaining.target.as_posix(), remaining.failed("it is damaged.").reason
    ('out/a_t002_label.tiff', 'a.tif: frame t002: it is damaged.')
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs = deque(jobs)
        self.suffixes: Sequence[str] = ("",)
        """Those of the frames of the first job, once its file is opened."""

    @property
    def _suffix(self) -> str:
        return self.suffixes[self.jobs[0].frame] if len(self.suffixes) > 1 else self.suffixes[0]

    @property
    def frame(self) -> str | None:
        """The name of the present frame; None for a file of one image."""
        return self._suffix.strip("_") or None

    @property
    def target(self) -> Path:
        """The label file of the present frame."""
        return frame_path(self.jobs[0].target, self._suffix)

    def failed(self, reason: str) -> Outcome:
        """Return the outcome of the present frame, which failed."""
        return failure(self.jobs[0].path, reason, self.frame, len(self.suffixes))

    def advance(self) -> None:
        """Go on to the next frame, or to the next job."""
        job = self.jobs.popleft()
        if job.frame + 1 < len(self.suffixes):
            self.jobs.appendleft(replace(job, frame=job.frame + 1))
        else:
            self.suffixes = ("",)
