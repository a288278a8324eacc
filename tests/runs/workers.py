"""What `test_worker.py` lets a worker process do: a process that is started afresh imports it by name."""

import faulthandler
import os
import resource
import signal
import sys
import time
from pathlib import Path

from flowmask.errors import NetworkError
from flowmask.runs.record import DONE, FAILED, Advanced, Opened, Outcome


def crash(number=signal.SIGABRT):
    """End this process as a crash does, without the tests' own traceback and a core file."""
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), number)


def dying(how):
    """Segment all files but b, at which the process ends."""

    def segment(job, report):
        if job.path.name == "b":
            if how.startswith("SIG"):
                crash(signal.Signals[how])
            os._exit(3) if how == "os._exit" else sys.exit()
        yield Outcome(str(job.path), DONE, labels=(str(os.getpid()),))

    return segment


def series(dies_at, frames):
    """Segment each file as a series; at the frame ``dies_at`` (file, number) the process is killed."""

    def segment(job, report):
        suffixes = [f"_t{number:03}" for number in range(1, frames + 1)]
        yield Opened(suffixes)
        for number in range(job.frame, frames):
            if [job.path.name, number] == dies_at:
                crash(signal.SIGKILL)
            yield Outcome(str(job.path), DONE, frame=suffixes[number].strip("_"), frames=frames)

    return segment


def last_at_b():
    """Segment all files but b, which fails as the last of its process."""

    def segment(job, report):
        failed = job.path.name == "b"
        yield Outcome(str(job.path), FAILED if failed else DONE, labels=(str(os.getpid()),), last=failed)

    return segment


def refused():
    raise NetworkError("n.onnx: no")


def talking():
    """Segment all files and print on standard output, as a library may."""

    def segment(job, report):
        os.write(1, b"of a library\n")
        yield Outcome(str(job.path), DONE)

    return segment


def advancing():
    """Segment all files and report two steps of each."""

    def segment(job, report):
        for fraction in (0.0, 0.5):
            report(Advanced(str(job.path), None, fraction))
        yield Outcome(str(job.path), DONE)

    return segment


def sleeping_at_b(partial):
    """Segment all files but b, at which a partial file is written and nothing goes on."""

    def segment(job, report):
        if job.path.name == "b":
            Path(partial).write_bytes(b"half of the labels")
            time.sleep(600)
        yield Outcome(str(job.path), DONE)

    return segment
