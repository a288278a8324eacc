"""Executors: where the images of a run are segmented. Here; in a worker process, `flowmask.runs.worker`; on a cluster,
`flowmask.cluster`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from ..errors import RunError
from .jobs import Job
from .process import Preparation, Report
from .record import Outcome

Executor = Callable[[Preparation, Sequence[Job], Report], Generator[Outcome]]
"""(what opens the network, the images, what gets the progress) -> the outcomes, as soon as they are known.

It raises the FlowmaskError that the preparation raises. When the generator is closed, the work ends."""


class ExecutorLost(RunError):
    """The machines that segment the images cannot be reached any more; finished images are finished."""


def here(prepare: Preparation, jobs: Sequence[Job], report: Report) -> Generator[Outcome]:
    """Segment the images one after the other in this process."""
    segment = prepare()
    for job in jobs:
        yield from (message for message in segment(job, report) if isinstance(message, Outcome))
