"""What `test_workers.py` lets the workers of a cluster do; they import it by name."""

import os
import signal
import time
from pathlib import Path

from flowmask.errors import NetworkError
from flowmask.runs.record import DONE, FAILED, Advanced, Opened, Outcome


def dying(at, times, marks, **_):
    """Segment files; at those in ``at`` the process kills itself, ``times`` times. Each try leaves a file in marks."""

    def segment(job, report):
        name = job.path.name
        tries = len(list(Path(marks).glob(f"{name}-*")))
        Path(marks, f"{name}-{tries}").touch()
        if name in at and tries < times:
            time.sleep(4)  # Dask gives up a worker that ends while it starts, which takes long on a busy machine
            os.kill(os.getpid(), signal.SIGKILL)
        yield Outcome(str(job.path), DONE, labels=(str(job.target),), cells=os.getpid())

    return segment


def refused(**_):
    """Not be able to open the network."""
    raise NetworkError("n.onnx: no")


def raising(**_):
    """Raise an error at b that no one expects."""

    def segment(job, report):
        if job.path.name == "b":
            raise ZeroDivisionError("of a library")
        yield Outcome(str(job.path), DONE)

    return segment


def asked(options, **_):
    """Tell the options for threads and memory, and the progress."""

    def segment(job, report):
        report(Advanced(str(job.path), None, 0.5))
        reason = f"{options['runtime']['threads']} {options['runtime']['memory']}"
        yield Outcome(str(job.path), DONE, reason=reason)

    return segment


def named(**_):
    """Tell the name of the worker."""
    from distributed import get_worker

    def segment(job, report):
        yield Outcome(str(job.path), DONE, reason=str(get_worker().name))

    return segment


def counting(marks, **_):
    """Tell in a file how often the network is opened, and whether two images are at work at once in a process."""
    Path(marks, f"opened-{os.getpid()}-{time.monotonic_ns()}").touch()
    at_work = []

    def segment(job, report):
        at_work.append(job)
        time.sleep(0.05)
        yield Outcome(str(job.path), DONE, cells=len(at_work))
        at_work.remove(job)

    return segment


def series(killed, **_):
    """Segment files as series of three frames; at the second the process is killed, or its GPU fails for good."""
    suffixes = ("_t001", "_t002", "_t003")

    def segment(job, report):
        yield Opened(suffixes)
        for number in range(job.frame, 3):
            about = {"frame": suffixes[number].strip("_"), "frames": 3}
            if number == 1 and killed:
                time.sleep(4)
                os.kill(os.getpid(), signal.SIGKILL)
            status = FAILED if number == 1 else DONE
            yield Outcome(str(job.path), status, "the GPU failed", cells=os.getpid(), last=number == 1, **about)

    return segment
