"""All that a GPU is to be measured by, in one run of under eight minutes: labels, speed, memory, and cellpose.

    sh bench/gpu.sh [--smoke] [--data ../shared/data] [--side 10000] [--limit 450]

* labels: the CPU's against the GPU's in single and in half precision, on simulated images and, apart from them, on real
  ones, if they are there; maps in single precision, which differ by some 0.001 where they were computed in TF32;
* tiles a second, with tiles and maps copied and with both left on the GPU;
* the command line on a slide at scale 1: seconds, host and device memory; each stage by itself;
* cellpose 3.1 with the same weights on the same GPU, if its package is there (FLOWMASK_CELLPOSE_PYTHON); it computes as
  PyTorch does by default, its convolutions in TF32, and ours in single precision.

The network is the one of full width that ships, without its size regression. What cannot be measured is listed with
the reason; a part for which there is no time left is not begun. The share of the network is the time of the bare
network, extrapolated from a part of the slide, in that of the whole run. Without a GPU the same is done on the CPU,
with small sizes, as with --smoke. Writes results/gpu.json, after each part anew, and prints one table, of what there is
by then where it is told to end. Targets are held against nothing but an H100 and the slide that they are meant for.
Exit code 1: a part failed; 2: there was no GPU to measure.
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
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import tifffile
import torch
from flowmask.cli import MODEL
from flowmask.families.flow.targets import Labels
from flowmask.images.image import open_image
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import matches
from flowmask.network.session import CUDA, OnnxNetwork
from flowmask.options import Settings
from flowmask.pipeline import segment_image
from flowmask.system.nvml import gpu_count, gpu_name

from bench.agreement import cellpose_state, choose
from bench.mosaic import mosaic
from bench.record import ROOT, print_table, write_record
from bench.speed import environment_of, measure
from bench.stages import resident, stages
from export.cellpose import read_cellpose
from export.onnx_file import write_onnx
from export.parity import ParityError
from export.precision import simulated_tiles
from train.checkpoint import load
from train.data.readers import read_labels, read_shared

CELLPOSE = "from importlib.metadata import version; import cellpose; assert version('cellpose').startswith('3.1.')"
FULL = MODEL.with_name("cyto.pt")
"""The weights of full width that ship."""
IOU = 0.9
TEMPLATE = 1000
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
"""As issue 7 sets them, and one by which TF32 would show."""
Figures = dict[str, float | int | None]


class TimeUp(BaseException):
    """The run is to end: no error, so that nothing on the way takes it for one."""


class Bench:
    """The device, the sizes, the clock, and what came of each part."""

    def __init__(self, device: str, small: bool, side: int, limit: float, data: Path, folder: Path) -> None:
        self.device, self.small, self.data, self.folder = device, small, data, folder
        self.side = min(side, 900) if small else side
        self.figures: Figures = {}
        self.details: dict[str, Any] = {}
        self.left_out: dict[str, str] = {}
        self.failed = False
        self._end, self._ended = time.monotonic() + limit, False
        self.networks: dict[str, Path] = {}
        """The network's file in each precision."""
        self.weights = folder / "cellpose_weights"
        self.diameter = 30.0

    @property
    def meant(self) -> bool:
        """Whether this is what `TARGETS` are meant for."""
        return not self.small and self.side == SIDE and GPU in (gpu_name(0) or "")

    def part(self, name: str, seconds: float, work: Callable[[Bench], None]) -> None:
        """Do a part, unless less time is left than the ``seconds`` it may take."""
        if self._ended:
            self.left_out[name] = "the run was told to end before"
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
        except Exception as error:  # ONNX Runtime's errors share no base; the other parts are to be measured
            self.failed = True
            self.left_out[name] = f"it failed: {type(error).__name__}: {error}"
        self.details[f"seconds of the part: {name}"] = time.monotonic() - begun
        print(f"{name}: {self.left_out.get(name, 'done')} ({time.monotonic() - begun:.0f} s)", flush=True)
        self.write()

    @property
    def left(self) -> float:
        """Seconds until no part is begun any more that may not end."""
        return max(1.0, self._end - time.monotonic())

    def write(self) -> Path:
        """Write the record of what has been measured so far."""
        about = {"device": self.device, "gpu": gpu_name(0), "small": self.small, "torch": torch.__version__}
        about |= {"onnxruntime": onnxruntime.get_build_info(), "providers": onnxruntime.get_available_providers()}
        record = {**about, "figures": self.figures, "left_out": self.left_out, "details": self.details}
        return write_record("gpu", record)

    def open(self, precision: str, device: str | None = None) -> OnnxNetwork:
        return OnnxNetwork(self.networks[precision], device or self.device)


def make_networks(bench: Bench) -> None:
    """Write the network in cellpose's format and, from there, as ONNX files in both precisions."""
    network, extras = load(FULL)
    bench.diameter = float(extras["about"]["mean_diameter"])  # type: ignore[index]
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
    """Tiles a second of the bare network for each batch; the best with copies and the best without count."""
    side, batches = (64, (1, 2)) if bench.small else (224, (1, 4, 8, 16, 32))
    random = np.random.default_rng(0)
    for precision in bench.networks:
        network = bench.open(precision)
        rates: dict[int, dict[str, float]] = {}
        for batch in batches:
            tiles = random.normal(0.5, 0.3, (batch, network.contract.inputs, side, side)).astype(np.float32)
            rates[batch] = {
                "copied": batch / _median(partial(network.maps, tiles)),
                "resident": batch / _median(resident(network, tiles)),
            }
        bench.details[f"tiles of {side} px a second, {precision}"] = rates
        best = {way: max(rate[way] for rate in rates.values()) for way in ("copied", "resident")}
        for way, rate in best.items():
            bench.figures[f"tiles a second, {precision}, {way}"] = rate


def _median(work: Callable[[], object], repeats: int = 15) -> float:
    """Return the median of the seconds that some work takes, after three times that do not count."""
    times = []
    for _ in range(repeats + 3):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return float(np.median(times[3:]))


def compare_labels(bench: Bench) -> None:
    """F1 of the device's labels against the CPU's in single precision, all cells of a kind of images together."""
    pictures = list(_pictures(bench))
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
        kinds = np.array([kind for kind, *_ in pictures])
        for kind in dict.fromkeys(kinds.tolist()):
            total = counts[kinds == kind].sum(axis=0)
            bench.figures[f"labels {precision}, {kind}, F1 at IoU 0.9"] = float(2 * total[0] / (total[1] + total[2]))
        names = [name for _, name, _, _ in pictures]
        bench.details[f"labels {precision}, F1 of each image"] = dict(zip(names, each.tolist(), strict=True))
    bench.details["cells that the labels are compared by"] = int(sum(labels.max() for labels in expected))


def _pictures(bench: Bench) -> Iterable[tuple[str, str, Any, float]]:
    """Yield kind, name, image and diameter in px of simulated and of real images."""
    for seed in range(1 if bench.small else 3):
        side = 400 if bench.small else 1024
        image = mosaic(side, side, bench.diameter, 1000 * seed)[0]
        yield "simulated images", f"simulated {seed}", image, bench.diameter
    if not bench.data.is_dir():
        bench.left_out["labels of real images"] = f"{bench.data} is not there; name a folder with --data"
        return
    for item in choose(read_shared(bench.data), 2 if bench.small else 16):
        yield "real images", item.name, item.image, median_diameter(read_labels(item.labels))


def _segmented(network: OnnxNetwork, image: Any, diameter: float) -> Labels:
    from flowmask.images.image import as_image

    opened = open_image(image) if isinstance(image, Path) else as_image(image)
    return segment_image(opened, network, Settings(diameter=diameter)).labels


def slide(bench: Bench) -> Path:
    """Write a slide of simulated cells, the same field over and over, uncompressed and in tiles; return its path."""
    path, small = bench.folder / "slide.tif", bench.folder / "small.png"
    pixels = _tiled(bench.diameter, bench.side)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(512, 512))
    cv2.imwrite(str(small), pixels[:300, :300])
    return path


def run_slide(bench: Bench) -> None:
    """The command line on a slide in both precisions, then every stage by itself."""
    path = slide(bench)
    _infer(bench, bench.folder / "small.png", "fp32")  # so that no time holds Numba's first compilation
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


def _infer(bench: Bench, image: Path, precision: str) -> Any:
    """Segment an image by the command line and return what the record of the run says of it."""
    report = bench.folder / "run.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "infer", "-i", image, "-o", bench.folder / "labels", "--report", report]
    command += ["-m", bench.networks[precision], "--device", bench.device, "--diameter", f"{bench.diameter:g}"]
    command += ["--gpu-memory", "10G"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=bench.left)
    files = json.loads(report.read_text())["files"] if report.exists() else []
    if not files:
        raise RuntimeError(f"the command line says: {done.stderr.strip()}")
    (file,) = files
    if file["status"] != "done":
        raise RuntimeError(file["reason"])
    return file


def run_cellpose(bench: Bench) -> None:
    """The same weights, image and device in cellpose and here, each in a process of its own."""
    python, why = _cellpose_python()
    if python is None:
        bench.left_out["cellpose"] = f"no Python with cellpose 3.1 ({why}); name one with FLOWMASK_CELLPOSE_PYTHON"
        return
    side = 500 if bench.small else 4096
    for stem, length in (("small", 300), ("image", side)):
        cv2.imwrite(str(bench.folder / f"{stem}.png"), _tiled(bench.diameter, length))
    runs = {
        engine: measure(*how, bench.folder, bench.diameter, bench.device, bench.left)
        for engine, how in (
            ("cellpose", (python, "cellpose", bench.weights)),
            ("ours", (sys.executable, "ours", bench.networks["fp32"])),
        )
    }
    bench.details[f"cellpose and ours, {side} x {side} px"] = runs
    bench.figures["times faster than cellpose"] = runs["cellpose"]["seconds"] / runs["ours"]["seconds"]


def _tiled(diameter: float, side: int) -> npt.NDArray[np.uint8]:
    field = mosaic(TEMPLATE, TEMPLATE, diameter)[0]
    times = -(-side // TEMPLATE)
    return np.tile(field, (times, times, 1))[:side, :side]


def _cellpose_python() -> tuple[str | None, str]:
    """Return a Python that has cellpose 3.1: the one that is named, that of `make`, or this one; None, and why none."""
    said = []
    for python in (os.environ.get("FLOWMASK_CELLPOSE_PYTHON"), str(ROOT / ".venv-cellpose/bin/python"), sys.executable):
        if not python:
            continue
        command = [python, "-c", CELLPOSE]
        try:
            asked = subprocess.run(command, env=environment_of(python), capture_output=True, text=True)
        except OSError as error:
            said.append(f"{python}: {error.strerror}")
            continue
        if asked.returncode == 0:
            return python, ""
        *_, last = ["it says nothing", *asked.stderr.splitlines()]
        said.append(f"{python}: {last}")
    return None, "; ".join(said)


def device_to_measure(bench_device: str, left_out: dict[str, str]) -> str:
    """Return the device asked for, or cpu, with what is left out then and why."""
    if CUDA not in onnxruntime.get_available_providers():
        left_out["everything on a GPU"] = "this ONNX Runtime is built without CUDA; install onnxruntime-gpu"
    elif gpu_count() == 0 and not torch.cuda.is_available():
        left_out["everything on a GPU"] = "the driver shows no NVIDIA GPU"
    return "cpu" if left_out else bench_device


def _end(*_: object) -> None:
    """Give up the part that is being measured, and begin no other."""
    raise TimeUp("the run was told to end")


def _data() -> Path:
    """Return the folder of real images: beside this repository, or copied into it."""
    beside, inside = (root / "shared" / "data" for root in (ROOT.parent, ROOT))
    return inside if inside.is_dir() else beside


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="the first GPU, or none")
    parser.add_argument("--smoke", action="store_true", help="small sizes: whether it runs, not how fast")
    parser.add_argument("--data", type=Path, default=_data(), help="folder of real images")
    parser.add_argument("--side", type=int, default=SIDE, help="height and width of the slide in px")
    parser.add_argument(
        "--limit", type=float, default=450, help="seconds, after which no part is begun that may not end"
    )
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
    return 2 if left_out and not args.smoke else code


def report(bench: Bench) -> int:
    """Print the table and what was left out, write the record, and return the exit code.

    Only what the targets are meant for is held against them.
    """
    rows = []
    for name, value in bench.figures.items():
        limit, direction = TARGETS.get(name, (None, ""))
        met = ""
        if bench.meant and limit is not None and value is not None:
            met = "yes" if (value >= limit if direction == "at least" else value <= limit) else "no"
        rows.append([name, "" if value is None else f"{value:.4g}", f"{direction} {limit:g}" if limit else "", met])
    for name in TARGETS.keys() - bench.figures.keys():
        rows.append([name, "not measured", f"{TARGETS[name][1]} {TARGETS[name][0]:g}", ""])
    print_table(["figure", "value", f"target, {SIDE:,} x {SIDE:,} px on an {GPU}", "met"], rows)
    for name, reason in bench.left_out.items():
        print(f"left out: {name}: {reason}")
    print(bench.write())
    return int(bench.failed)


if __name__ == "__main__":
    sys.exit(main())
