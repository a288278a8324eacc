"""Run a command and measure it from outside: wall time, peak memory, how it ended."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import psutil

POLL = 0.05
GRACE = 20.0
"""Seconds in which a command that was stopped can end by itself; after them it is killed."""
CGROUPS = Path("/sys/fs/cgroup")
PEAKS = ("memory.peak", "memory/memory.max_usage_in_bytes", "memory.max_usage_in_bytes", "memory.current")
"""Files of a memory cgroup that hold a peak, or at least the present use; the best first."""
MB = 1_000_000


@dataclass(frozen=True)
class Run:
    """Wall time in s and peak memory in MB of a command (None where it could not be read), and how it ended."""

    seconds: float
    peak_mb: float | None
    gpu_mb: float | None
    ended: str
    """Empty if it ended well; otherwise its exit code and the last line on stderr, or which limit it passed."""


def watch(
    command: Sequence[str],
    peak: Callable[[], int | None],
    stop: Callable[[], object],
    limit: float,
    gpu: str = "0",
    memory: float = math.inf,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run a command until it ends; after ``limit`` seconds, or above ``memory`` bytes, call ``stop``.

    peak: called again and again, returns the peak memory in bytes so far, or None if it is unknown. gpu: number or
    UUID, for nvidia-smi, of the GPU whose memory is watched. environment: the variables of the command; None: all of
    this process.
    """
    begun, peaks = time.perf_counter(), [0]
    done: list[float] = []
    with TemporaryFile("w+", errors="replace") as stderr, _Gpu(gpu) as watched:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, text=True, env=environment)

        def wait() -> None:
            process.wait()
            done.append(time.perf_counter() - begun)

        waiting = threading.Thread(target=wait)
        waiting.start()
        ended = ""
        while not done:
            peaks.append(peak() or 0)
            over = time.perf_counter() - begun - limit
            if not ended and (over > 0 or peaks[-1] > memory):
                ended = f"stopped after {limit:g} s" if over > 0 else f"stopped above {memory / 1e9:g} GB"
                stop()
            if over > GRACE:
                process.kill()
            waiting.join(POLL)
        stderr.seek(0)
        lines = stderr.read().strip().splitlines()
    if process.returncode and not ended:
        ended = f"exit code {process.returncode}: {(lines or ['nothing on stderr'])[-1].strip()}"
    return Run(done[0], max(peaks) / MB or None, watched.peak_mb, ended)


def run_process(
    command: Sequence[str], limit: float, memory: float = math.inf, environment: Mapping[str, str] | None = None
) -> Run:
    """Run a plain process; its memory is the peak (VmHWM, Linux only) of the largest process of its tree.

    ``limit``, ``memory`` and ``environment`` are those of `watch`.
    """
    peaks: dict[int, int] = {}
    own = psutil.Process()

    def tree() -> list[psutil.Process]:
        return list(own.children(recursive=True))

    def peak() -> int:
        for process in tree():
            try:
                found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
            except OSError:
                continue
            if found:
                peaks[process.pid] = int(found[1]) * 1024
        return max(peaks.values(), default=0)

    def stop() -> None:
        for process in tree():
            process.kill()

    return watch(command, peak, stop, limit, memory=memory, environment=environment)


def run_container(engine: str, name: str, arguments: Sequence[str], limit: float, gpu: str = "0") -> Run:
    """Run ``engine container run --name NAME ARGUMENTS``; its memory is the peak of its cgroup.

    Where the kernel keeps no peak (version 2 before Linux 5.19), it is the largest use that was read during the run.
    """
    group: list[Path] = []

    def peak() -> int | None:
        if not group:
            group.extend(_cgroup(engine, name))
        for folder in group:
            for file in PEAKS:
                try:
                    return int((folder / file).read_text())
                except OSError:
                    continue
        return None

    command = [engine, "container", "run", "--name", name, *arguments]
    run = watch(command, peak, lambda: _call(engine, "kill", name), limit, gpu)
    _call(engine, "rm", "-f", name)
    return run


def _call(engine: str, *words: str) -> str:
    """Return what a container engine prints; empty if it takes longer than `GRACE`."""
    try:
        return subprocess.run([engine, *words], capture_output=True, text=True, timeout=GRACE).stdout.strip()
    except subprocess.TimeoutExpired:
        return ""


def _cgroup(engine: str, name: str) -> list[Path]:
    """Return the folder of a running container's memory cgroup, version 1 or 2; empty before it runs."""
    pid = _call(engine, "inspect", "-f", "{{.State.Pid}}", name)
    if not pid.isdigit() or pid == "0":
        return []
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return [CGROUPS / "memory" / path.lstrip("/")]
        if not controllers and (CGROUPS / "cgroup.controllers").exists():
            return [CGROUPS / path.lstrip("/")]
    return []


class _Gpu:
    """Peak of the used GPU memory in MB during the context, from nvidia-smi; None without it."""

    def __init__(self, gpu: str) -> None:
        self.peak_mb: float | None = None
        self._gpu = gpu
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> _Gpu:
        if shutil.which("nvidia-smi"):
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        query = ["nvidia-smi", "-i", self._gpu, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        while not self._done.wait(0.2):
            used = subprocess.run(query, capture_output=True, text=True).stdout.split()
            if used and used[0].isdigit():
                self.peak_mb = max(self.peak_mb or 0.0, float(used[0]) * 1.048576)
