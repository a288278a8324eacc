"""What runs in a worker of the cluster: it opens the network once, and segments one image after the other."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker
from distributed.protocol.pickle import dumps

from ..errors import Cancelled, RunError
from ..images.file_type import digest
from ..options import parse_memory
from ..runs.jobs import Job
from ..runs.process import Preparation, Segment, set_up_logging
from ..runs.record import Advanced, Opened, Outcome
from ..system.memory import keep_freed_memory
from ..version import __version__
from .address import SHARE

INTERVAL = 1.0
"""Seconds between two messages about the progress of an image."""


class ImageWorker(WorkerPlugin):
    """The open network of a worker, for the images of one run.

    A worker that starts later, or again, gets it from the scheduler. One image is segmented at a time, with all threads
    and all memory of the worker.
    """

    def __init__(self, name: str, prepare: Preparation, networks: str, threads: int) -> None:
        """name: of the run; networks: SHA-256 of the network files; threads: of an image; 0 for those of the worker."""
        self.name = name
        self._prepare, self._networks, self._threads, self._version = prepare, networks, threads, __version__

    def setup(self, worker: Worker) -> None:
        """Called when the worker starts; the network is opened with the first image."""
        self._worker, self._lock, self._sent = worker, Lock(), 0.0
        self.others_idle = False
        self._segment: Segment | None = None
        self._spoilt = self._ended = False

    def teardown(self, worker: Worker) -> None:
        """Called when the run ends: an image that is at work is given up."""
        self._ended, self._segment = True, None

    def segment(self, number: int, job: Job) -> None:
        """Segment a file, or compute maps of it, and send what happens to it, under its ``number``, to the run.

        Messages go by way of the scheduler, so that an outcome does not get lost with the worker. Raises the
        FlowmaskError of the preparation.
        """
        with self._lock:
            if self._spoilt:
                os._exit(1)  # the GPU of this process failed; Dask starts a new one and gives the image to a worker
            segment = self._segment = self._segment or self._open()
            self.others_idle = False  # the run tells again, if it is still so
            for message in segment(job, partial(self._report, number)):
                self._send(number, message)
                if isinstance(message, Outcome) and message.last:
                    self._spoilt = True
                    return

    def _open(self) -> Segment:
        """Open the network. Raises RunError if this worker does not have what the run was started with."""
        set_up_logging()
        keep_freed_memory()
        if self._version != __version__:
            raise RunError(
                f"the worker {self._worker.address} has Flowmask {__version__}, and this machine has {self._version}; "
                "install the same version on all machines."
            )
        arguments = dict(self._prepare.arguments)
        if ",".join(digest(Path(path)) for path in arguments["models"]) != self._networks:
            raise RunError(
                f"the worker {self._worker.address} has another file at {','.join(arguments['models'])} than this "
                "machine; copy the network to all machines."
            )
        arguments["options"] = {**arguments["options"], "runtime": self._runtime(arguments["options"]["runtime"])}
        return replace(self._prepare, arguments=arguments)()

    def _runtime(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the options for device, threads and memory, with this worker's share where nothing less was given."""
        limit = self._worker.memory_manager.memory_limit
        memory = given["memory"]
        if limit:
            share = int(limit * SHARE)
            memory = str(min(parse_memory(memory), share) if memory else share)
        return {**given, "threads": self._threads or self._worker.state.nthreads, "memory": memory}

    def _report(self, number: int, at: Advanced) -> bool:
        """Tell the run how far an image has come, but not too often; return whether other workers have time to help.

        Raises Cancelled when the run has ended.
        """
        if self._ended:
            raise Cancelled("the run has ended.")
        if at.share is not None or time.monotonic() - self._sent >= INTERVAL:
            self._sent = time.monotonic()
            self._send(number, at)
        return self.others_idle

    def _send(self, number: int, message: Advanced | Opened | Outcome) -> None:
        """Send a message to the run, as one of `flowmask.runs.process.KINDS`."""
        share = None
        if isinstance(message, Advanced):
            share, message = message.share, replace(message, share=None)
        packed = None if share is None else dumps(share)
        event = {"number": number, "kind": type(message).__name__, "values": asdict(message), "share": packed}
        self._worker.log_event(self.name, event)


async def tell_idle(run: str, dask_worker: Worker) -> None:
    """Tell the worker that others have time to help it; called in each worker. run: its name."""
    plugin = dask_worker.plugins.get(run)
    if isinstance(plugin, ImageWorker):
        plugin.others_idle = True


def segment_on_worker(run: str, number: int, job: Job) -> None:
    """Segment a file, or compute maps of it, in the worker that runs this task. run: its name; number: of the task."""
    plugin = get_worker().plugins[run]
    assert isinstance(plugin, ImageWorker)
    plugin.segment(number, job)
