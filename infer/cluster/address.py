"""Connect to the scheduler of a Dask cluster, or start a cluster of processes on this machine."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import RunError, SettingsError
from ..options import Runtime, parse_memory
from ..system.cpu import cores
from ..system.memory import available_memory

if TYPE_CHECKING:
    from distributed import Client as Client

LOCAL = re.compile(r"local(?::([1-9]\d{0,3}))?")
REMOTE = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+:\d+")
WORKER_MEMORY = 2 * 2**30
"""Bytes of memory that each worker of `local` has at least."""
LEAST_MEMORY = 2**29
"""Bytes of memory that each worker of `local:N` has at least: Python, the network and a small image."""
SHARE = 0.8
"""The share of a worker's memory that an image may use. The rest is for Dask, and Dask ends a worker at 0.95."""
RETRIES = 1
"""How often an image is given to another worker of this machine after its worker ended, before it is tried alone.

Dask's own value is 3. An image that ends its worker, for lack of memory for example, ends each further one too, and
each takes seconds to start again. One more try is enough for an image that was only beside the cause."""
LOST = "60s"
"""How long a worker of this machine may take to start again, before another one replaces it."""
LOCAL_SETTINGS = {
    "distributed.scheduler.allowed-failures": RETRIES,
    "distributed.deploy.lost-worker-timeout": LOST,
}
"""Dask's settings for workers of this machine that may end."""
PATIENCE = 30.0
"""Seconds to wait for a connection to a scheduler."""


@dataclass(frozen=True)
class LocalWorkers:
    """The processes of a cluster on this machine."""

    count: int
    threads: int
    """CPU threads of each."""
    memory: int
    """Bytes of memory of each."""


def check_address(text: str) -> str:
    """Return the address of a cluster if it is one. Raises SettingsError for any other text.

    >>> check_address("local:2"), check_address("tcp://scheduler:8786")
    ('local:2', 'tcp://scheduler:8786')
    """
    if LOCAL.fullmatch(text) or REMOTE.fullmatch(text):
        return text
    raise SettingsError(
        f"{text} is not the address of a cluster; give that of a Dask scheduler, such as tcp://scheduler:8786, or "
        "local or local:4 for four processes on this machine."
    )


def check_installed() -> None:
    """Raise SettingsError if the package distributed is not installed.

    >>> check_installed()
    """
    if find_spec("distributed") is None:
        raise SettingsError(
            'a cluster needs the package `distributed`, which is not installed; run: pip install "flowmask[cluster]".'
        )


def local_workers(address: str, runtime: Runtime) -> LocalWorkers | None:
    """Return how the cores and the memory of this machine are shared; None for the address of a scheduler.

    ``local`` has one worker for each core, or fewer if memory is short. `threads` and `memory` of ``runtime`` are those
    of one worker. Raises SettingsError if so many workers have too little memory.

    >>> local_workers("local:3", Runtime(threads=2, memory="4G"))
    LocalWorkers(count=3, threads=2, memory=5368709120)
    """
    match = LOCAL.fullmatch(address)
    if match is None:
        return None
    wanted = parse_memory(runtime.memory) if runtime.memory else None
    memory = available_memory()
    count = int(match[1] or min(cores() // (runtime.threads or 1), memory // (wanted or WORKER_MEMORY)) or 1)
    if count > 1 and not wanted and memory < count * LEAST_MEMORY:
        raise SettingsError(
            f"{address} leaves {memory / count / 2**20:.0f} MiB of memory to each process; give at most "
            f"local:{max(1, memory // LEAST_MEMORY)} on this machine."
        )
    return LocalWorkers(
        count, runtime.threads or max(1, cores() // count), int((wanted or SHARE * memory / count) / SHARE)
    )


@contextmanager
def connected(address: str, workers: LocalWorkers | None) -> Iterator[Client]:
    """A connection to a scheduler; with ``workers``, to a cluster that is started here and ends with the context.

    Raises SettingsError if Dask is not installed, and RunError if the scheduler cannot be reached.
    """
    check_installed()
    with _without_logs(), _local(workers) if workers else _remote(address) as client:
        yield client


def dashboard(client: Client) -> str | None:
    """Return the link of the dashboard of a cluster; None if it has none, or needs Bokeh that is not installed here."""
    services = client.scheduler_info(n_workers=0)["services"]
    if "dashboard" not in services or (client.cluster is not None and find_spec("bokeh") is None):
        return None
    link: str = client.dashboard_link
    return link


@contextmanager
def _without_logs() -> Iterator[None]:
    """A context in which Dask logs nothing here: what the user must know is an outcome or an error."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    import distributed  # noqa: F401 (sets the levels)

    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _remote(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RunError(f"there is no Dask scheduler at {address} ({error}); check the address.") from error
    with client:
        if not client.nthreads():
            logging.getLogger(__name__).warning("the scheduler at %s has no workers yet; waiting for them", address)
        yield client


@contextmanager
def _local(workers: LocalWorkers) -> Iterator[Client]:
    import dask
    from distributed import Client, LocalCluster

    # A worker holds no data of Dask's: what it uses is that of its image, which waiting does not make smaller.
    settings: dict[str, object] = {
        **{f"distributed.worker.memory.{action}": False for action in ("target", "spill", "pause")},
        **LOCAL_SETTINGS,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=0,  # the workers start below, so that a signal meanwhile closes the cluster
            threads_per_worker=1,
            memory_limit=workers.memory,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        cluster.scale(workers.count)
        yield client
