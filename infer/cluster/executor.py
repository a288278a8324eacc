"""Segment the images of a run on a Dask cluster, and yield their outcomes as soon as they are known."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..errors import FlowmaskError, RunError, one_line
from ..images.file_type import digest
from ..options import options_from
from ..runs.executor import ExecutorLost
from ..runs.jobs import Job
from ..runs.process import KINDS, Preparation, Report
from ..runs.record import Advanced, Opened, Outcome
from ..runs.remaining import Remaining
from ..runs.screen import say
from .address import check_installed, connected, dashboard, local_workers

if TYPE_CHECKING:
    from distributed import Client, Future

    from .worker import ImageWorker
EACH = 2
"""Images that are submitted at a time for each worker, so that it never waits, until few are left."""
KILLED = (
    "each worker that segmented this image ended, probably because memory ran out; use workers with more memory, or "
    "fewer of them."
)
UNREACHABLE = (
    "the scheduler of the cluster cannot be reached any more; finished images are kept, so start the cluster and this "
    "run again."
)
RESTARTED = (
    "the scheduler of the cluster was started again and does not know this run; finished images are kept, so start the "
    "run again."
)
LEFT = (
    "the worker %s ended while it started, so the others do its work; check that its machine has the same Flowmask and "
    "the packages that it needs."
)
STARTING = 5.0
"""A worker that ends so many seconds after it came, or sooner, could not start."""
UNEXPECTED = "the cluster could not run this image ({}); the logs of its workers say more."
PATIENCE = 300.0
"""Seconds without any worker until a run on this machine ends: a new worker takes seconds to start."""
TRIES = 5
"""How often a run tries to reach all workers at its start: a worker may end just then."""
PARTING = 5.0
"""Seconds that the workers have at the end of a run to forget it: one of them may be frozen."""
LOOK = 2.0
"""Seconds between two looks at the number of workers."""
ALL = "all"
"""Dask's topic for what happens to workers."""
GPU = "GPU"
"""The name under which a Dask worker offers its GPU: `dask worker --resources GPU=1`."""
LEAST_SHARED = 8_000_000
"""Network pixels of an image that must be left so that other workers help: about ten seconds of one core."""


def on_cluster(
    address: str, prepare: Preparation, jobs: Sequence[Job], report: Report, quiet: bool = False
) -> Generator[Outcome]:
    """Segment images on the cluster with this address, as `flowmask.runs.executor.Executor`.

    address: as in `flowmask.cluster.address.check_address`. quiet: do not print the link of its dashboard. Raises the
    errors of `over_workers`, and RunError if the cluster cannot be reached.
    """
    runtime = options_from(prepare.arguments["options"]).runtime
    workers = local_workers(address, runtime)
    with connected(address, workers) as client:
        link = None if quiet else dashboard(client)
        if link:
            say(f"the dashboard of the cluster is {link}", sys.stderr)
        if workers:
            yield from over_workers(client, prepare, jobs, report, workers.threads, workers.count)
        else:
            yield from over_workers(client, prepare, jobs, report, runtime.threads)


def over_workers(
    client: Client,
    prepare: Preparation,
    jobs: Sequence[Job],
    report: Report,
    threads: int = 0,
    local: int = 0,
) -> Generator[Outcome]:
    """Segment images on the workers of a Dask client, as `flowmask.runs.executor.Executor`.

    threads: for each image; 0 for the threads of the worker. local: number of workers of the client's own cluster:
    lost ones are replaced, and the run ends if there is none for `PATIENCE` seconds. 0: others see to the workers.
    If a worker ends during an image, Dask gives the image to another one. An image at which several workers ended is
    tried again when no other image is at work, and fails if that happens again. If the run asks for a GPU and some
    workers offer the resource `GPU`, only these workers get images. Raises SettingsError if Dask is not installed,
    ExecutorLost if the scheduler cannot be reached any more, and the FlowmaskError that a worker raises in ``prepare``.
    """
    check_installed()
    run = _Run(client, report, local, options_from(prepare.arguments["options"]).runtime.device)
    with run.prepared(prepare, threads):
        yield from run.outcomes(Remaining([job]) for job in jobs)
        while run.suspects:
            yield from run.outcomes([run.suspects.popleft()], alone=True)


def _for_workers(prepare: Preparation) -> Preparation:
    """Return a preparation whose paths do not depend on the working folder, and whose large images are shared."""
    paths = {name: [str(Path(path).absolute()) for path in prepare.arguments[name]] for name in ("models", "targets")}
    return replace(prepare, arguments={**prepare.arguments, **paths, "least_shared": LEAST_SHARED})


def _as_given(outcome: Outcome, job: Job) -> Outcome:
    """Return an outcome with the paths of the job, which may be relative to the working folder of the run."""
    absolute, given = str(job.path.absolute()), str(job.path)
    labels, outputs = (
        tuple(str(job.target.with_name(Path(path).name)) for path in paths)
        for paths in (outcome.labels, outcome.outputs)
    )
    reason = outcome.reason and outcome.reason.replace(absolute, given)
    return replace(outcome, file=given, reason=reason, labels=labels, outputs=outputs)


class _Run:
    """One run on a cluster: what is at work, and what comes back."""

    def __init__(self, client: Client, report: Report, local: int, device: str) -> None:
        self._client, self._report, self._local = client, report, local
        self._on_gpu = device not in ("auto", "cpu")
        self._resources: dict[str, float] = {}
        """What each task asks of its worker: one GPU, if the run asks for GPUs and workers offer them."""
        self._name = f"flowmask-{uuid4().hex}"
        self._messages: SimpleQueue[tuple[int, Advanced | Opened | Outcome | Future[None]]] = SimpleQueue()
        self._at_work: dict[int, Remaining] = {}
        """The images whose outcomes are not all known, by their numbers."""
        self._futures: dict[int, Future[None]] = {}
        """The tasks that have not ended. A task ends after the last outcome of its image."""
        self._shares: dict[int, Job] = {}
        """The images with which other workers can help, by their numbers, with the jobs for these workers."""
        self._helpers: dict[int, tuple[int, Job]] = {}
        """The tasks that help with an image, with the number of the image and the job."""
        self._scheduler: str | None = None
        """The identifier of the scheduler, which changes if it is started again."""
        self._submitted = self._workers = 0
        self._looked, self._last_idle, self._seen = float("-inf"), float("-inf"), time.monotonic()
        self._came: dict[str, float] = {}
        """When workers came, by their addresses, since the run began."""
        self._left: set[str] = set()
        """The machines on which a worker could not start."""
        self.suspects: deque[Remaining] = deque()
        """Images that were at work when a worker ended, several times; at least one of them is the reason."""

    @contextmanager
    def prepared(self, prepare: Preparation, threads: int) -> Iterator[None]:
        """A context in which each worker can open the network, and after which no image is at work."""
        from .worker import ImageWorker

        networks = ",".join(digest(Path(path)) for path in prepare.arguments["models"])
        plugin = ImageWorker(self._name, _for_workers(prepare), networks, threads)
        self._register(plugin)
        self._client.subscribe_topic(self._name, self._received)
        if not self._local:
            self._client.subscribe_topic(ALL, self._seen_at_scheduler)
        try:
            yield
        finally:
            # Without a scheduler nothing is at work, and one that was started again does not know the plugin.
            with suppress(ExecutorLost, ValueError), _reachable():
                self._client.unsubscribe_topic(self._name)
                if not self._local:
                    self._client.unsubscribe_topic(ALL)
                self._client.cancel(list(self._futures.values()), force=True)
                scheduler: Any = self._client.scheduler
                self._client.sync(scheduler.unregister_worker_plugin, name=self._name, callback_timeout=PARTING)

    def _register(self, plugin: ImageWorker) -> None:
        """Give the plugin to all workers, again if a worker ends just then."""
        for left in reversed(range(TRIES)):
            try:
                self._client.register_plugin(plugin, self._name)
                return
            except OSError as error:
                if not left:
                    raise ExecutorLost(UNREACHABLE) from error
                time.sleep(LOOK)
            except Exception as error:  # Dask gives the text of a worker's error in an Exception of no other class
                if "No module named" not in str(error):
                    raise
                raise RunError(
                    f"a worker of the cluster cannot import Flowmask ({one_line(error)}); install it on all machines."
                ) from error

    def outcomes(self, images: Iterable[Remaining], alone: bool = False) -> Iterator[Outcome]:
        """Yield the outcomes of images; alone: no other image is at work, so one at which a worker ends fails."""
        waiting = deque(images)
        while waiting or self._futures:
            self._look()
            if not waiting:
                self._share_out()
                self._tell_idle()
            while waiting and len(self._futures) < self._limit(len(waiting)):
                self._submit(waiting.popleft())
            try:
                number, message = self._messages.get(timeout=LOOK)
            except Empty:
                continue
            if isinstance(message, Advanced | Opened | Outcome):
                yield from self._handle(number, message)
            else:
                yield from self._ended(number, alone)

    def _look(self) -> None:
        """Count the workers from time to time, and replace lost ones. Raises ExecutorLost if there is none for long."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        with _reachable():
            self._workers = self._count_workers()
        self._seen = now if self._workers else self._seen
        if self._workers < self._local and self._client.cluster is not None:
            self._client.cluster.scale(self._local)  # Dask gives up a process that ends while it starts
        if self._local and now - self._seen > PATIENCE:
            raise ExecutorLost(
                "the workers of the cluster ended and do not start again; use fewer workers with more memory each."
            )

    def _count_workers(self) -> int:
        """Return how many workers can get tasks. Once some of them offer a GPU, a run on GPUs uses only these.

        Raises ExecutorLost if the scheduler cannot be reached, or was started again: it has lost the tasks then.
        """
        scheduler: Any = self._client.scheduler
        if scheduler is None:  # the client has lost it, and may reach it again later
            raise ExecutorLost(UNREACHABLE)
        about = self._client.sync(scheduler.identity, n_workers=-1 if self._on_gpu else 0)
        self._scheduler = self._scheduler or about["id"]
        if about["id"] != self._scheduler:
            raise ExecutorLost(RESTARTED)
        if not self._on_gpu:
            return len(self._client.sync(scheduler.ncores, workers=None))
        known = about["workers"].values()
        offering = sum(GPU in worker["resources"] for worker in known)
        if offering:
            self._resources = {GPU: 1}
        return offering if self._resources else len(known)

    def _limit(self, waiting: int) -> int:
        """Return how many images are submitted at a time, if so many others wait.

        Dask gives an image to a worker before it is free. When few images are left, it must not wait there while
        other workers are idle. One more than there are workers lets a cluster grow that adapts to its tasks, also if
        it has none at the start.
        """
        return max(1, EACH * self._workers) if waiting > EACH * self._workers else self._workers + 1

    def _share_out(self) -> None:
        """Give the images with which others can help to workers without an image, one image to each."""
        idle = self._workers - len(self._at_work) - len(self._helpers)
        for number, job in [*self._shares.items()]:
            if idle > 0 and [image for image, _ in self._helpers.values()].count(number) < self._workers - 1:
                self._helpers[self._send("maps", job)] = number, job
                idle -= 1

    def _tell_idle(self) -> None:
        """Tell the workers of unshared images, again and again as workers come and go, that others have no image."""
        now = time.monotonic()
        if now - self._last_idle >= LOOK and self._workers > len(self._at_work) > len(self._shares):
            from .worker import tell_idle

            self._last_idle = now
            with _reachable():
                self._client.run(tell_idle, self._name, wait=False, on_error="ignore")

    def _submit(self, image: Remaining) -> None:
        job = image.jobs[0]
        self._at_work[self._send("segment", job)] = image

    def _send(self, stage: str, job: Job) -> int:
        """Submit a job as a task and return its number. stage: what Dask's dashboard calls the task."""
        from .worker import segment_on_worker

        number = self._submitted = self._submitted + 1
        sent = replace(job, path=job.path.absolute(), target=job.target.absolute())
        key = f"{stage}-{self._name.removeprefix('flowmask-')}-{number}"
        with _reachable():
            future = self._client.submit(
                segment_on_worker, self._name, number, sent, key=key, pure=False, resources=self._resources
            )
        self._futures[number] = future
        future.add_done_callback(lambda done: self._messages.put((number, done)))
        return number

    def _received(self, event: tuple[float, Any]) -> None:
        """Take a message of a worker; called in a thread of the client with the time and the message."""
        from distributed.protocol.pickle import loads

        sent = event[1]
        message = KINDS[sent["kind"]](**sent["values"])
        if sent["share"] is not None:
            message = replace(message, share=loads(sent["share"]))
        self._messages.put((sent["number"], message))

    def _seen_at_scheduler(self, event: tuple[float, Any]) -> None:
        """Say once for each machine that a worker could not start; called in a thread of the client, as `_received`.

        A worker without Flowmask ends as soon as it gets the plugin of the run.
        """
        when, what = event
        if not isinstance(what, dict) or "worker" not in what:
            return
        action, address = what.get("action"), what["worker"]
        if action == "add-worker":
            self._came[address] = when
        elif action == "remove-worker" and when - self._came.pop(address, float("-inf")) <= STARTING:
            machine = address.rpartition(":")[0]
            if machine not in self._left:
                self._left.add(machine)
                logging.getLogger(__name__).warning(LEFT, address)

    def _handle(self, number: int, message: Advanced | Opened | Outcome) -> Iterator[Outcome]:
        """Yield the outcome in a message of a worker, unless it is known: an image may have been done twice."""
        image = self._at_work.get(number)
        if image is None:
            return
        if isinstance(message, Opened):
            image.suffixes = message.suffixes
        elif isinstance(message, Advanced):
            if message.share is not None:
                if message.frame == image.frame:
                    self._shares[number] = replace(image.jobs[0], share=message.share)
            elif number == next(iter(self._at_work)):  # the bar shows one image: the one that takes longest
                self._report(replace(message, file=str(image.jobs[0].path)))
        elif message.frame == image.frame:
            yield _as_given(message, image.jobs[0])
            image.advance()
            self._shares.pop(number, None)
            if not image.jobs:
                del self._at_work[number]

    def _ended(self, number: int, alone: bool) -> Iterator[Outcome]:
        """Yield the outcome of a task that ended before the last outcome of its image was sent, if it is known."""
        future, image = self._futures.pop(number), self._at_work.pop(number, None)
        shared, job = self._helpers.pop(number, (number, None))
        if job is None or self._shares.get(shared) is job:  # everything is done, or at work
            self._shares.pop(shared, None)
        if image is None:
            return
        reason, trace = _cause(future)
        if not alone and trace is None:
            self.suspects.append(image)
            return
        yield replace(image.failed(reason), trace=trace)
        image.advance()
        if image.jobs:
            self.suspects.append(image)


@contextmanager
def _reachable() -> Iterator[None]:
    """Turn the errors of a connection into ExecutorLost."""
    from distributed.client import ClosedClientError

    try:
        yield
    except (OSError, RuntimeError, CancelledError, ClosedClientError) as error:  # RuntimeError: its pool is closed
        raise ExecutorLost(UNREACHABLE) from error


def _cause(future: Future[None]) -> tuple[str, str | None]:
    """Return why a task ended too early, and the traceback of an unexpected error.

    Raises the FlowmaskError of a worker, and ExecutorLost if the scheduler cannot be reached.
    """
    from distributed import KilledWorker

    if future.status == "finished":
        return UNEXPECTED.format("its outcome was lost"), None
    if future.status != "error":
        raise ExecutorLost(UNREACHABLE)
    error = future.exception()
    if isinstance(error, KilledWorker):
        return KILLED, None
    if isinstance(error, FlowmaskError):
        raise error
    return UNEXPECTED.format(one_line(error)), "".join(traceback.format_exception(error))
