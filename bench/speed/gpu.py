"""All GPU measurements in one run of less than eight minutes: labels, speed, memory, and cellpose.

    sh bench/gpu.sh [--smoke] [--data DATA] [--side 10000] [--limit 450]

* labels: those of the CPU against those of the GPU in single and in half precision, on simulated and, if there are any,
  on real images; also the maps in single precision, which would differ by some 0.001 if they were computed in TF32;
* tiles per second, with tiles and maps copied, and with both left on the GPU;
* the command line on a slide at scale 1: seconds, host and device memory; each stage by itself;
* cellpose 3.1 with the same weights on the same GPU, if its package is installed (FLOWMASK_CELLPOSE_PYTHON); it
  computes as PyTorch does by default, with convolutions in TF32, and Flowmask computes in single precision.

The network is that of models/cyto-small.pt, which cellpose can run too, without its size regression. What cannot be
measured is listed with the reason, and a part does not start if too little time is left for it. The share of the
network is the time of the bare network, extrapolated from a part of the slide, divided by that of the whole run.
Without a GPU the same runs on the CPU at small sizes, as with --smoke. The script writes results/gpu.json after each
part and prints one table at the end, also if it is stopped earlier. The targets apply only to an H100 and the slide
that they are set for. Exit code 1: a part failed; 2: no part failed, but there was no GPU to measure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import onnxruntime
import tifffile
import torch

from bench.cellpose import CHECKPOINT, cellpose_state, environment_of, load_checkpoint
from bench.images import choose, mosaic, read_labels, read_shared, repeated
from bench.record import ROOT, Record, table, write_record
from bench.speed.against_cellpose import Engine, measure
from bench.speed.profile import on_device, stages
from export.cellpose import read_cellpose
from export.onnx_file import write_onnx
from export.parity import ParityError
from export.precision import simulated_tiles
from flowmask.api import AnyImage, segment
from flowmask.labels.labels import Labels, median_diameter
from flowmask.labels.metrics import matches
from flowmask.network.gpu import CUDA
from flowmask.network.session import OnnxNetwork
from flowmask.system.nvml import gpu_count, gpu_name

CELLPOSE = "from importlib.metadata import version; import cellpose; assert version('cellpose').startswith('3.1.')"
IOU = 0.9
SIDE, GPU = 10_000, "H100"
"""Height and width in px of the slide, and the GPU, that `TARGETS` are meant for."""
TARGETS = {
    "labels fp32, real images, F1 at IoU 0.9": (0.999, "at least"),
    "labels fp32, simulated images, F1 at IoU 0.9": (0.999, "at least"),
    "labels fp16, real images, F1 at IoU 0.9": (0.995, "at least"),
    "labels fp16, simulated images, F1 at IoU 0.9": (0.995, "at least"),
    "largest difference of maps, fp32": (0.0005, "at most"),
    "slide fp32, s": (30.0, "at most"),
    "slide fp32, GPU memory, GB": (6.0, "at most"),
    "slide fp32, share of the network": (0.5, "at least"),
    "times faster than cellpose": (10.0, "at least"),
}
"""Set before there was a GPU to measure. The one for the maps would be missed if they were computed in TF32."""
Figures = dict[str, float | int | None]


class TimeUp(BaseException):
    """The run must end. It is not an Exception, so that no code on the way handles it as an error."""


class Bench:
    """The device, the sizes, the time that is left, and the figures so far."""

    def __init__(self, device: str, small: bool, side: int, limit: float, data: Path, folder: Path) -> None:
        self.device, self.small, self.data, self.folder = device, small, data, folder
        self.side = min(side, 900) if small else side
        self.figures: Figures = {}
        self.details: Record = {}
        self.left_out: dict[str, str] = {}
        """Name of a part or figure that is missing, and the reason."""
        self.failed = False
        self._end, self._ended = time.monotonic() + limit, False
        self.networks: dict[str, Path] = {}
        """The network file in each precision."""
        self.weights = folder / "cellpose_weights"
        self.diameter = 30.0
        """Of the simulated cells, in px: the network's own."""

    @property
    def has_targets(self) -> bool:
        """Whether `TARGETS` apply to this GPU and this slide."""
        return not self.small and self.side == SIDE and GPU in (gpu_name(0) or "")

    def part(self, name: str, seconds: float, work: Callable[[Bench], None]) -> None:
        """Measure a part, unless less time is left than the ``seconds`` it may take."""
        if self._ended:
            self.left_out[name] = "the run was stopped before"
            return
        left = self._end - time.monotonic()
        if left < seconds and not self.small:
            self.left_out[name] = f"{left:.0f} s were left, and it may take {seconds:.0f} s"
            return
        begun = time.monotonic()
        try:
            work(self)
        except TimeUp as error:
            self._ended = True
            self.left_out[name] = f"it was not finished: {error}"
        except Exception as error:  # ONNX Runtime's errors share no base; the other parts are still measured
            self.failed = True
            self.left_out[name] = f"it failed: {type(error).__name__}: {error}"
        self.details[f"seconds of the part: {name}"] = time.monotonic() - begun
        print(f"{name}: {self.left_out.get(name, 'done')} ({time.monotonic() - begun:.0f} s)", flush=True)
        self.write()

    @property
    def left(self) -> float:
        """Seconds until the run must end, at least 1."""
        return max(1.0, self._end - time.monotonic())

    def record(self) -> Record:
        """Return the figures so far, with device and versions."""
        about = {"device": self.device, "gpu": gpu_name(0), "small": self.small, "torch": torch.__version__}
        about |= {"onnxruntime": onnxruntime.get_build_info(), "providers": onnxruntime.get_available_providers()}
        about |= {"has_targets": self.has_targets}
        return {**about, "figures": self.figures, "left_out": self.left_out, "details": self.details}

    def write(self) -> Path:
        """Write the record of the figures so far."""
        return write_record("gpu", self.record())

    def open(self, precision: str, device: str | None = None) -> OnnxNetwork:
        """Return the network in a precision, opened on the device of the run or another one."""
        return OnnxNetwork(self.networks[precision], device or self.device)


def make_networks(bench: Bench) -> None:
    """Write the network in cellpose's format and, from there, as ONNX files in both precisions."""
    network, bench.diameter = load_checkpoint(CHECKPOINT)
    torch.save(cellpose_state(network, bench.diameter), bench.weights)
    for precision in ("fp32", "fp16"):
        path = bench.folder / f"{precision}.onnx"
        try:
            differences = write_onnx(str(path), read_cellpose(str(bench.weights)), precision, precision)
        except ParityError as error:
            bench.failed = True
            bench.left_out[precision] = str(error)
            continue
        bench.networks[precision] = path
        bench.details[f"{precision}: relative difference from PyTorch"] = differences


def measure_tiles(bench: Bench) -> None:
    """Tiles per second of the network for each batch size; the best with copies and the best without count."""
    side, batches = (64, (1, 2)) if bench.small else (224, (1, 4, 8, 16, 32))
    random = np.random.default_rng(0)
    for precision in bench.networks:
        network = bench.open(precision)
        rates: dict[int, dict[str, float]] = {}
        for batch in batches:
            tiles = random.normal(0.5, 0.3, (batch, network.contract.inputs, side, side)).astype(np.float32)
            rates[batch] = {
                "copied": batch / _median(partial(network.maps, tiles)),
                "resident": batch / _median(on_device(network, tiles)),
            }
        bench.details[f"tiles of {side} px a second, {precision}"] = rates
        best = {way: max(rate[way] for rate in rates.values()) for way in ("copied", "resident")}
        for way, rate in best.items():
            bench.figures[f"tiles a second, {precision}, {way}"] = rate


def _median(work: Callable[[], object], repeats: int = 15) -> float:
    """Return the median seconds of some work, after three runs that do not count."""
    times = []
    for _ in range(repeats + 3):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return float(np.median(times[3:]))


def compare_labels(bench: Bench) -> None:
    """F1 of the device's labels against the CPU's in single precision; all cells of a kind of images together."""
    pictures = list(_pictures(bench))
    kinds = np.array([kind for kind, *_ in pictures])
    names = [name for _, name, _, _ in pictures]
    on_cpu = bench.open("fp32", "cpu")
    tiles = simulated_tiles(on_cpu.contract)
    maps = on_cpu.maps(tiles)
    expected = [_segmented(on_cpu, image, diameter) for _, _, image, diameter in pictures]
    for precision in bench.networks:
        network = bench.open(precision)
        difference = np.abs(network.maps(tiles) - maps).max()
        bench.figures[f"largest difference of maps, {precision}"] = float(difference)
        bench.details[f"options of the providers, {precision}"] = network.session.get_provider_options()
        found = [_segmented(network, image, diameter) for _, _, image, diameter in pictures]
        counts = np.array([matches(one, two, IOU) for one, two in zip(expected, found, strict=True)])
        each = 2 * counts[:, 0] / np.maximum(1, counts[:, 1] + counts[:, 2])
        for kind in dict.fromkeys(kinds.tolist()):
            total = counts[kinds == kind].sum(axis=0)
            bench.figures[f"labels {precision}, {kind}, F1 at IoU 0.9"] = float(2 * total[0] / (total[1] + total[2]))
        bench.details[f"labels {precision}, F1 of each image"] = dict(zip(names, each.tolist(), strict=True))
    bench.details["cells that the labels are compared by"] = int(sum(labels.max() for labels in expected))


def _pictures(bench: Bench) -> Iterable[tuple[str, str, AnyImage, float]]:
    """Yield kind, name, image and diameter in px of simulated and of real images."""
    for seed in range(1 if bench.small else 3):
        side = 400 if bench.small else 1024
        image = mosaic(side, side, bench.diameter, 1000 * seed)[0]
        yield "simulated images", f"simulated {seed}", image, bench.diameter
    if not bench.data.is_dir():
        bench.left_out["labels of real images"] = f"there is no folder {bench.data}; name one with --data"
        return
    for item in choose(read_shared(bench.data), 2 if bench.small else 16):
        yield "real images", item.name, item.image, median_diameter(read_labels(item.labels))


def _segmented(network: OnnxNetwork, image: AnyImage, diameter: float) -> Labels:
    return segment(image, network, diameter=diameter).labels


def slide(bench: Bench) -> Path:
    """Write a slide of simulated cells, the same field again and again, uncompressed and tiled; return its path.

    ``folder``/small.png shows its first 300 x 300 px.
    """
    path, small = bench.folder / "slide.tif", bench.folder / "small.png"
    pixels = repeated(bench.side, bench.diameter)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(512, 512))
    cv2.imwrite(str(small), pixels[:300, :300])
    return path


def run_slide(bench: Bench) -> None:
    """The command line on a slide in both precisions, then every stage by itself."""
    path = slide(bench)
    _infer(bench, bench.folder / "small.png", "fp32")  # so that no time includes Numba's first compilation
    for precision in bench.networks:
        begun = time.perf_counter()
        file = _infer(bench, path, precision)
        bench.figures[f"slide {precision}, s"] = time.perf_counter() - begun
        bench.figures[f"slide {precision}, host memory, GB"] = file["peak_memory"] / 1e9
        if file["peak_gpu_memory"] is not None:
            bench.figures[f"slide {precision}, GPU memory, GB"] = file["peak_gpu_memory"] / 1e9
        bench.details[f"slide {precision}"] = {"side": bench.side, **file}
    batch = 1 if bench.device == "cpu" else 16
    for precision in bench.networks:
        found = stages(path, bench.open(precision), batch, 1.0 if bench.small else 0.2)
        bench.details[f"seconds of each stage by itself, {precision}"] = found
        for stage, seconds in found.items():
            if precision == "fp32" or stage.endswith("network"):
                bench.figures[f"stage {stage}, {precision}, s"] = seconds
        whole = bench.figures[f"slide {precision}, s"]
        bench.figures[f"slide {precision}, share of the network"] = found["bare network"] / (whole or np.inf)


def _infer(bench: Bench, image: Path, precision: str) -> Record:
    """Segment an image with the command line and return its entry in the record of the run."""
    report = bench.folder / "run.json"
    report.unlink(missing_ok=True)
    words = ["-i", image, "-o", bench.folder / "labels", "--report", report, "-m", bench.networks[precision]]
    words += ["--device", bench.device, "--diameter", f"{bench.diameter:g}", "--gpu-memory", "10G"]
    command = [sys.executable, "-m", "infer", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=bench.left)
    files: list[Record] = json.loads(report.read_text())["files"] if report.exists() else []
    if not files:
        raise RuntimeError(f"the command line failed: {done.stderr.strip()}")
    (file,) = files
    if file["status"] != "done":
        raise RuntimeError(file["reason"])
    return file


def run_cellpose(bench: Bench) -> None:
    """The same weights, image and device in cellpose and in Flowmask, each in a process of its own."""
    python, reason = _cellpose_python()
    if python is None:
        bench.left_out["cellpose"] = f"no Python with cellpose 3.1 ({reason}); name one with FLOWMASK_CELLPOSE_PYTHON"
        return
    side = 500 if bench.small else 4096
    for stem, length in (("small", 300), ("image", side)):
        cv2.imwrite(str(bench.folder / f"{stem}.png"), repeated(length, bench.diameter))
    engines: dict[str, Engine] = {
        "cellpose": (python, "cellpose", bench.weights),
        "Flowmask": (sys.executable, "ours", bench.networks["fp32"]),
    }
    runs = {
        name: measure(engine, bench.folder, bench.diameter, bench.device, bench.left)
        for name, engine in engines.items()
    }
    bench.details[f"cellpose and Flowmask, {side} x {side} px"] = runs
    bench.figures["times faster than cellpose"] = runs["cellpose"]["seconds"] / runs["Flowmask"]["seconds"]


def _cellpose_python() -> tuple[str | None, str]:
    """Return a Python that has cellpose 3.1: the one named, that of `make`, or this one; None, and the reason."""
    reasons = []
    for python in (os.environ.get("FLOWMASK_CELLPOSE_PYTHON"), str(ROOT / ".venv-cellpose/bin/python"), sys.executable):
        if not python:
            continue
        command = [python, "-c", CELLPOSE]
        try:
            done = subprocess.run(command, env=environment_of(python), capture_output=True, text=True)
        except OSError as error:
            reasons.append(f"{python}: {error.strerror}")
            continue
        if done.returncode == 0:
            return python, ""
        *_, last = ["no message", *done.stderr.splitlines()]
        reasons.append(f"{python}: {last}")
    return None, "; ".join(reasons)


def device_to_measure(bench_device: str, left_out: dict[str, str]) -> str:
    """Return ``bench_device``, or cpu if there is no GPU; the reason is then added to ``left_out``."""
    if CUDA not in onnxruntime.get_available_providers():
        left_out["everything on a GPU"] = "this ONNX Runtime is built without CUDA; install onnxruntime-gpu"
    elif gpu_count() == 0 and not torch.cuda.is_available():
        left_out["everything on a GPU"] = "the driver shows no NVIDIA GPU"
    return "cpu" if left_out else bench_device


def _end(*_: object) -> None:
    """Stop the part that is being measured, and start no other."""
    raise TimeUp("the run was stopped")


def _data() -> Path:
    """Return the folder of real images: beside this repository, or copied into it."""
    beside, inside = (root / "shared" / "data" for root in (ROOT.parent, ROOT))
    return inside if inside.is_dir() else beside


def main() -> int:
    """Measure all parts, print the table, write the record and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="the first GPU, or none")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see whether all parts run")
    parser.add_argument("--data", type=Path, default=_data(), help="folder of real images")
    parser.add_argument("--side", type=int, default=SIDE, help="height and width of the slide in px")
    parser.add_argument("--limit", type=float, default=450, help="seconds for all parts together")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    left_out: dict[str, str] = {}
    device = device_to_measure(args.device, left_out)
    with TemporaryDirectory() as name:
        bench = Bench(device, args.smoke or device == "cpu", args.side, args.limit, args.data, Path(name))
        bench.left_out |= left_out
        bench.part("networks", 60, make_networks)
        if "fp32" in bench.networks:
            bench.part("tiles", 40, measure_tiles)
            bench.part("labels", 60, compare_labels)
            bench.part("slide", 120, run_slide)
            bench.part("cellpose", 90, run_cellpose)
    code = report(bench)
    return code or (2 if left_out and not args.smoke else 0)


def text(record: Record) -> str:
    """Return the table of a record as Markdown, and what was left out; targets only where they apply."""
    rows = []
    for name, value in record["figures"].items():
        limit, direction = TARGETS.get(name, (None, ""))
        met = ""
        if record["has_targets"] and limit is not None and value is not None:
            met = "yes" if (value >= limit if direction == "at least" else value <= limit) else "no"
        rows.append([name, "" if value is None else f"{value:.4g}", f"{direction} {limit:g}" if limit else "", met])
    for name in (name for name in TARGETS if name not in record["figures"]):
        rows.append([name, "not measured", f"{TARGETS[name][1]} {TARGETS[name][0]:g}", ""])
    header = ["figure", "value", f"target, {SIDE:,} x {SIDE:,} px on an {GPU}", "met"]
    left_out = [f"left out: {name}: {reason}" for name, reason in record["left_out"].items()]
    return table(header, rows) + "\n\n" + "  \n".join(left_out)


def report(bench: Bench) -> int:
    """Print the table and what was left out, write the record, and return the exit code."""
    print(text(bench.record()))
    print(bench.write())
    return int(bench.failed)


if __name__ == "__main__":
    sys.exit(main())
