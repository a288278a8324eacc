"""A command that is run and watched from outside: wall time, peak memory, how it ended."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import psutil

POLL = 0.05
GRACE = 20.0
"""Seconds that a command has to end by itself once it was stopped; then it is killed."""
CGROUPS = Path("/sys/fs/cgroup")
PEAKS = ("memory.peak", "memory/memory.max_usage_in_bytes", "memory.max_usage_in_bytes", "memory.current")
"""Files of a memory cgroup, the best first."""
MB = 1_000_000


@dataclass(frozen=True)
class Run:
    """What a command took: wall time in s, peak memory in MB (None where nothing could be read), how it ended."""

    seconds: float
    peak_mb: float | None
    gpu_mb: float | None
    ended: str
    """Empty when it ended well; otherwise its exit code and the last line of its stderr, or that time ran out."""


def watch(
    command: Sequence[str],
    peak: Callable[[], int | None],
    stop: Callable[[], object],
    limit: float,
    gpu: str = "0",
) -> Run:
    """Run a command until it ends, or ``limit`` seconds at most, ``stop`` being called then.

    ``peak`` is asked again and again for the bytes that have been used at most so far; None when it cannot tell.
    ``gpu``: number or UUID of the GPU whose memory is watched, as nvidia-smi knows it.
    """
    begun, peaks = time.perf_counter(), [0]
    done: list[float] = []
    with TemporaryFile("w+", errors="replace") as said, _Gpu(gpu) as watched:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, text=True)

        def wait() -> None:
            process.wait()
            done.append(time.perf_counter() - begun)

        waiting = threading.Thread(target=wait)
        waiting.start()
        late = False
        while not done:
            peaks.append(peak() or 0)
            over = time.perf_counter() - begun - limit
            if over > 0 and not late:
                late = True
                stop()
            if over > GRACE:
                process.kill()
            waiting.join(POLL)
        said.seek(0)
        words = said.read().strip().splitlines()
    ended = f"stopped after {limit:g} s" if late else ""
    if process.returncode and not late:
        ended = f"exit code {process.returncode}: {(words or ['nothing on stderr'])[-1].strip()}"
    return Run(done[0], max(peaks) / MB or None, watched.peak_mb, ended)


def run_process(command: Sequence[str], limit: float) -> Run:
    """Run a plain process; its memory is the peak (VmHWM) of the largest process of its tree, Linux only."""
    peaks: dict[int, int] = {}
    us = psutil.Process()

    def tree() -> list[psutil.Process]:
        return us.children(recursive=True)

    def peak() -> int:
        for process in tree():
            try:
                found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
            except OSError:
                continue
            if found:
                peaks[process.pid] = int(found[1]) * 1024
        return max(peaks.values(), default=0)

    return watch(command, peak, lambda: [process.kill() for process in tree()], limit)


def run_container(engine: str, name: str, arguments: Sequence[str], limit: float, gpu: str = "0") -> Run:
    """Run ``engine container run --name NAME ARGUMENTS``; its memory is what its cgroup counted at most.

    Where the kernel keeps no peak (version 2 before Linux 5.19), the most of what was read while it ran.
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
    run = watch(command, peak, lambda: _ask(engine, "kill", name), limit, gpu)
    _ask(engine, "rm", "-f", name)
    return run


def _ask(engine: str, *words: str) -> str:
    """Return what an engine answers, nothing where it takes longer than `GRACE`."""
    try:
        return subprocess.run([engine, *words], capture_output=True, text=True, timeout=GRACE).stdout.strip()
    except subprocess.TimeoutExpired:
        return ""


def _cgroup(engine: str, name: str) -> list[Path]:
    """Return the folder of a running container's memory cgroup, of either version; none before it runs."""
    pid = _ask(engine, "inspect", "-f", "{{.State.Pid}}", name)
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
    """Peak of the used GPU memory in MB while the context lasts, as nvidia-smi (NVML) tells; None without it."""

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
            said = subprocess.run(query, capture_output=True, text=True).stdout.split()
            if said and said[0].isdigit():
                self.peak_mb = max(self.peak_mb or 0.0, float(said[0]) * 1.048576)
