"""Where the time of one image goes: the whole run against the bare network, each stage, the settings of ONNX Runtime.

    python -m bench.speed.profile [--only whole stages setups] [--model NAME] [--side 4096]
                                [--stage-side 1024] [--repeats 5]

Simulated images at scale 1: the diameter is the network's own.

* whole: the command line, from file to label file and with the network loaded, against the ONNX session alone on the
  same tiles in the same batches. They take turns, beginning and ending with the session, and each run of the command
  line is compared with the mean of the sessions before and after it, because the speed of a shared machine drifts. The
  median over the runs counts.
* stages: wall clock and processor time of each stage without anything beside it, on four kinds of images of
  --stage-side px (`bench.speed.stages`). In a run, threads overlap the stages.
* setups: other settings of ONNX Runtime on the CPU. Each setting segments the same image of --setup-side px in a
  process of its own. In each repeat all of them take turns, and the time of each is divided by that of the engine's own
  setting in the same repeat: ONNX Runtime's defaults, a thread for each physical core, one tile per run. Each of the
  others differs in one setting.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from bench.images import mosaic
from bench.record import ROOT, Record, named, table, write_record
from bench.resident import forget_peak, peak, resident
from bench.speed.stages import Times, clocks, measure_stages, stages_text
from flowmask import cli
from flowmask.api import load_network, segment
from flowmask.families import family_of
from flowmask.images.image import Image
from flowmask.images.readers import open_image
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.labels.store import LabelStore
from flowmask.labels.writers import write_labels
from flowmask.network.registry import default_network, find_network
from flowmask.network.session import Network, OnnxNetwork, network_threads
from flowmask.options import Runtime, Segmentation, parse_device
from flowmask.pipeline import plan_image, run_tiles
from flowmask.runs.batch import ALL_DONE
from flowmask.system.cpu import cores
from flowmask.tiles.blend import finished_rows, groups
from flowmask.tiles.grid import tile_grid
from flowmask.tiles.normalise import intensity_ranges
from flowmask.tiles.plan import ImagePlan
from flowmask.tiles.rescale import View
from flowmask.tiles.view import network_view

Array = npt.NDArray[np.float32]
Seconds = dict[str, float]
PARTS = ("whole", "stages", "setups")
WARM_UP = 300
"""Height and width in px of the image that runs first, so that no time includes a first call."""


def plan_at_scale_1(image: Image, network: Network, batch: int) -> ImagePlan:
    """Return the plan of an image whose cells have the network's own diameter; ``batch``: tiles per run."""
    options = Segmentation(diameter=network.contract.mean_diameter)
    return plan_image(image, network, options, Runtime(batch=batch))


def _view(image: Image, plan: ImagePlan) -> View:
    return network_view(image, plan.channels, plan.ranges, plan.scale, plan.equalisations)


# whole


def bare(path: Path, network: Network, batch: int) -> tuple[Times, int]:
    """Return the times inside the network for all tiles of an image at scale 1, and the number of tiles."""
    image = open_image(path)
    plan = plan_at_scale_1(image, network, batch)
    view, rows, columns = _view(image, plan), plan.rows, plan.columns
    times = np.zeros(2)
    for top in rows.starts:
        tiles = np.stack([view.read(top, left, top + rows.tile, left + columns.tile) for left in columns.starts])
        begun = clocks()
        for first in range(0, len(tiles), batch):
            network.maps(tiles[first : first + batch])
        times += clocks() - begun
    return times, len(rows.starts) * len(columns.starts)


def whole(path: Path, model: Path, diameter: float, batch: int, folder: Path) -> Times:
    """Return the times of the command line for an image; ``folder`` gets the labels."""
    begun = clocks()
    words = ["-i", path, "-o", folder, "-m", model, "--diameter", diameter, "--batch", batch]
    if cli.main([str(word) for word in words]) != ALL_DONE:
        raise SystemExit("the image could not be segmented; see the error above")
    return clocks() - begun


def measure_whole(model: Path, folder: Path, side: int, batch: int, repeats: int) -> Record:
    """Return the figures of the command line against the bare session; ``folder`` holds small.png and image.png."""
    network = load_network(model)
    diameter = network.contract.mean_diameter
    whole(folder / "small.png", model, diameter, batch, folder / "labels")
    bare(folder / "small.png", network, batch)
    after, tiles = bare(folder / "image.png", network, batch)
    runs: list[tuple[Times, Times]] = []
    for _ in range(repeats):
        run = whole(folder / "image.png", model, diameter, batch, folder / "labels")
        before, (after, _) = after, bare(folder / "image.png", network, batch)
        runs.append(((before + after) / 2, run))
    added = np.median([100 * (run / alone - 1) for alone, run in runs], axis=0)
    return {
        "side": side,
        "tiles": tiles,
        "batch": batch,
        "runs": [{"bare_s": alone.tolist(), "whole_s": run.tolist()} for alone, run in runs],
        "added_percent": float(added[0]),
        "added_cpu_percent": float(added[1]),
    }


def whole_text(figures: Record) -> str:
    """Return the table of `measure_whole` as Markdown."""
    rows = []
    for number, run in enumerate(figures["runs"], 1):
        clock = [
            [alone, all_, 100 * (all_ / alone - 1)] for alone, all_ in zip(run["bare_s"], run["whole_s"], strict=True)
        ]
        rows.append([number, *clock[0], *clock[1]])
    header = ["s, bare session", "s, whole run", "added, %"]
    return (
        table(["run", *header, *(f"CPU {name}" for name in header)], rows)
        + f"\n\nEverything besides the network adds {figures['added_percent']:.1f} % "
        f"({figures['added_cpu_percent']:.1f} % of CPU time) to {figures['tiles']} tiles, {figures['batch']} per run."
    )


# stages


def on_device(network: OnnxNetwork, tiles: Array) -> Callable[[], None]:
    """Return a function that runs a network on tiles (B, C, Y, X) on its device and leaves the maps there."""
    kind, index = parse_device(network.device)
    place = ("cpu", 0) if kind == "cpu" else ("cuda", index)
    binding = network.session.io_binding()
    binding.bind_ortvalue_input("image", onnxruntime.OrtValue.ortvalue_from_numpy(tiles, *place))
    for head in network.contract.heads:
        binding.bind_output(head.name, *place)

    def run() -> None:
        network.session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run


class _SameTile:
    """A view (Y, X) that gives the same tile wherever it is read."""

    def __init__(self, shape: tuple[int, int], tile: Array) -> None:
        self.shape, self._tile = shape, tile

    def read(self, top: int, left: int, bottom: int, right: int) -> Array:
        return self._tile


def stages(path: Path, network: OnnxNetwork, batch: int, share: float) -> Seconds:
    """Return the seconds of each stage for an image at scale 1, measured on the first ``share`` of its rows.

    The percentiles are those of the whole image. The bare network copies nothing to or from its device.
    """
    image, contract = open_image(path), network.contract
    whole_plan = plan_at_scale_1(image, network, batch)
    height, width = whole_plan.shape
    some = min(height, max(contract.tile * 2, round(share * height)))
    plan = replace(whole_plan, shape=(some, width), rows=tile_grid(some, contract.tile, contract.grain))
    scale = height / some
    seconds: Seconds = {}
    with _timed(seconds, "percentiles"):
        intensity_ranges(image, plan.channels, contract.percentiles)
    with _timed(seconds, "reading and tiles", scale):
        for tile in _tiles(image, plan):
            last = tile
    maps = _time_network(seconds, network, plan, last, scale)
    with _timed(seconds, "blending", scale):
        _blend(plan, last, maps)
    parts = list(run_tiles(image, network, plan))
    with _timed(seconds, "labelling", scale):
        labels = list(family_of(contract).label_rows(parts, plan, CellTableBuilder()))
    with (
        tempfile.TemporaryDirectory() as folder,
        _timed(seconds, "label file", scale),
        LabelStore(Path(folder), plan.shape) as store,
    ):
        for rows in labels:
            store.append(rows)
        write_labels(Path(folder) / "a_label.tiff", store, "int32")
    return seconds


def _time_network(seconds: Seconds, network: OnnxNetwork, plan: ImagePlan, tile: Array, scale: float) -> Array:
    """Time the network on as many tiles as the plan has, with and without copies; return maps (B, channels, Y, X)."""
    counts = [len(group) for group in groups(plan.columns.starts, plan.batch)]
    tiles = np.stack([tile] * max(counts))
    maps = network.maps(tiles)
    with _timed(seconds, "network", scale):
        for _ in plan.rows.starts:
            for count in counts:
                network.maps(tiles[:count])
    run = on_device(network, tiles)
    run()
    with _timed(seconds, "bare network", scale):
        for _ in range(len(plan.rows.starts) * len(counts)):
            run()
    return maps


def _blend(plan: ImagePlan, tile: Array, maps: Array) -> None:
    """Blend the maps of all tiles; each tile gets the same maps."""
    view = _SameTile(plan.network_shape, tile)
    contract = plan.contract
    blended = finished_rows(
        view,
        lambda tiles: maps[: len(tiles)],
        contract.map_channels,
        plan.rows,
        plan.columns,
        contract.tile,
        plan.batch,
    )
    for _ in blended:
        pass


def _tiles(image: Image, plan: ImagePlan) -> Iterator[Array]:
    view = _view(image, plan)
    for top in plan.rows.starts:
        for left in plan.columns.starts:
            yield view.read(top, left, top + plan.rows.tile, left + plan.columns.tile)


@contextmanager
def _timed(seconds: Seconds, stage: str, scale: float = 1.0) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[stage] = scale * (time.perf_counter() - begun)


# setups


@dataclass(frozen=True)
class Setup:
    """Settings of ONNX Runtime on the CPU; the defaults are the engine's."""

    threads: int = 0
    spinning: bool = True
    arena: bool = True
    pattern: bool = True
    fused: str = "ORT_ENABLE_ALL"
    batch: int = 1

    def options(self) -> onnxruntime.SessionOptions:
        """Return ONNX Runtime's record of these settings."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = network_threads(self.threads)
        options.enable_cpu_mem_arena = self.arena
        options.enable_mem_pattern = self.pattern
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, self.fused)
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.spinning)))
        return options


def setups() -> dict[str, Setup]:
    """Return the settings by name, the engine's own first.

    >>> next(iter(setups()))
    "the engine's own"
    """
    threads = sorted({1, max(1, cores() // 2), cores()})
    return {
        "the engine's own": Setup(),
        **{f"{n} thread{'s' * (n > 1)}": Setup(threads=n) for n in threads},
        "threads sleep while they wait": Setup(spinning=False),
        "no memory arena": Setup(arena=False),
        "arena without a memory plan": Setup(pattern=False),
        "only basic fusions": Setup(fused="ORT_ENABLE_BASIC"),
        **{f"{n} tiles per run": Setup(batch=n) for n in (2, 4)},
    }


def measure_setup(model: Path, image: Path, setup: Setup) -> Record:
    """Return seconds, CPU seconds and MiB above the idle runtime of a setting, measured in a new process."""
    job = json.dumps({"model": str(model), "image": str(image), "setup": asdict(setup)})
    command = [sys.executable, "-m", "bench.speed.profile", "--job", job]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def run_setup(job: str) -> None:
    """Measure one setting in this process and print its figures as JSON."""
    values = json.loads(job)
    setup, image = Setup(**values["setup"]), np.load(values["image"])
    network = OnnxNetwork(Path(values["model"]), "cpu")
    diameter, runtime = network.contract.mean_diameter, Runtime(batch=setup.batch)
    network.session = onnxruntime.InferenceSession(values["model"], setup.options(), ["CPUExecutionProvider"])
    forget_peak()
    idle = resident()
    segment(image[:WARM_UP, :WARM_UP], network, runtime=runtime, diameter=diameter)
    begun = clocks()
    segment(image, network, runtime=runtime, diameter=diameter)
    seconds, processor = (clocks() - begun).tolist()
    print(json.dumps({"seconds": seconds, "processor": processor, "above_idle": peak() - idle}))


def measure_setups(model: Path, folder: Path, side: int, repeats: int) -> Record:
    """Return the figures of all settings, each measured ``repeats`` times in turn."""
    image = folder / "image.npy"
    np.save(image, mosaic(side, side, load_network(model, "cpu").contract.mean_diameter)[0])
    turns = list(setups().items())
    runs: dict[str, list[Record]] = {name: [] for name, _ in turns}
    for _ in range(repeats):
        for name, setup in turns:
            runs[name].append(measure_setup(model, image, setup))
        turns = turns[1:] + turns[:1]
    return {"side": side, "runs": runs}


def setups_text(figures: Record) -> str:
    """Return the table of the settings as Markdown."""
    own = next(iter(figures["runs"].values()))
    rows = []
    for name, runs in figures["runs"].items():
        ratios = [run["seconds"] / base["seconds"] for run, base in zip(runs, own, strict=True)]
        seconds, processor, above = (float(np.median([run[key] for run in runs])) for key in runs[0])
        rows.append([name, float(np.median(ratios)), min(ratios), max(ratios), seconds, processor, round(above)])
    header = ["setting", "time, ratio", "smallest", "largest", "s", "CPU s", "MiB above idle"]
    return f"{table(header, rows)}\n\nOne image of {figures['side']:,} x {figures['side']:,} px."


SECTIONS = {
    "whole": ("The whole run against the bare network", whole_text),
    "stages": ("Each stage by itself", stages_text),
    "setups": ("Settings of ONNX Runtime on the CPU", setups_text),
}


def text(record: Record) -> str:
    """Return the tables of a record as Markdown, a section for each part."""
    sections = [f"### {title}\n\n{show(record[part])}" for part, (title, show) in SECTIONS.items() if part in record]
    return "\n\n".join([record["model"], *sections])


def measured(args: argparse.Namespace) -> Record:
    """Return the figures of the parts that were chosen."""
    model = args.model.resolve()
    figures: Record = {"model": named(model)}
    diameter = load_network(model).contract.mean_diameter
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "whole" in args.only:
            for stem, side in (("small", WARM_UP), ("image", args.side)):
                cv2.imwrite(str(folder / f"{stem}.png"), mosaic(side, side, diameter)[0])
            figures["whole"] = measure_whole(model, folder, args.side, args.batch, args.repeats)
        if "stages" in args.only:
            figures["stages"] = measure_stages(load_network(model, "cpu"), args.stage_side, args.repeats)
        if "setups" in args.only:
            figures["setups"] = measure_setups(model, folder, args.setup_side, args.repeats)
    return figures


def main() -> None:
    """Measure, print the tables and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the parts to measure; default: all")
    parser.add_argument("--model", type=find_network, default=default_network())
    parser.add_argument("--side", type=int, default=4096, help="height and width of the image in px")
    parser.add_argument("--stage-side", type=int, default=1024, help="the same for the part stages")
    parser.add_argument("--setup-side", type=int, default=1024, help="the same for the part setups")
    parser.add_argument("--batch", type=int, default=1, help="tiles per run of the network")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        run_setup(args.job)
        return
    figures = measured(args)
    print(text(figures))
    print(write_record("profile", figures))


if __name__ == "__main__":
    main()
