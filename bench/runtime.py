"""How ONNX Runtime is set up on the CPU, chosen by time and memory: threads, spinning, arena, tiles at once.

    python -m bench.runtime [--model models/cyto-small.onnx] [--side 1024] [--repeats 5]

Each set-up segments the same simulated image at scale 1, from the array to the labels, in a process of its own; in
each repeat all of them take turns, and one counts by the median of its time over that of the engine's own set-up in
the same repeat: ONNX Runtime's defaults, a thread for each core that may be
used, one tile at once. Each differs from it in one thing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from flowmask.api import load_network, segment
from flowmask.cli import MODEL
from flowmask.network.session import network_threads
from flowmask.options import Settings
from flowmask.system.cpu import cores

from bench.mosaic import mosaic
from bench.overhead import WARM_UP, clocks
from bench.record import ROOT, named, print_table, write_record
from bench.resident import forget_peak, peak, resident


@dataclass(frozen=True)
class SetUp:
    """What ONNX Runtime is told on the CPU; the defaults are the engine's."""

    threads: int = 0
    spinning: bool = True
    arena: bool = True
    pattern: bool = True
    fused: str = "ORT_ENABLE_ALL"
    batch: int = 1

    def options(self) -> onnxruntime.SessionOptions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = network_threads(self.threads)
        options.enable_cpu_mem_arena = self.arena
        options.enable_mem_pattern = self.pattern
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, self.fused)
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.spinning)))
        return options


def set_ups() -> dict[str, SetUp]:
    """Return the set-ups with their names, the engine's own first."""
    threads = sorted({1, max(1, cores() // 2), cores()})
    return {
        "as the engine has it": SetUp(),
        **{f"{n} thread{'s' * (n > 1)}": SetUp(threads=n) for n in threads},
        "threads that sleep while they wait": SetUp(spinning=False),
        "no arena": SetUp(arena=False),
        "arena without a plan of the memory": SetUp(pattern=False),
        "only basic fusions": SetUp(fused="ORT_ENABLE_BASIC"),
        **{f"{n} tiles at once": SetUp(batch=n) for n in (2, 4)},
    }


def measured(model: Path, image: Path, set_up: SetUp) -> dict[str, float]:
    """Return seconds, processor seconds and MiB above the idle runtime that a set-up takes, in a new process."""
    job = json.dumps({"model": str(model), "image": str(image), "set_up": asdict(set_up)})
    done = subprocess.run(
        [sys.executable, "-m", "bench.runtime", "--job", job], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def run(job: str) -> None:
    """Measure one set-up in this process and print its figures."""
    told = json.loads(job)
    set_up, image = SetUp(**told["set_up"]), np.load(told["image"])
    network = load_network(told["model"], "cpu")
    settings = Settings(diameter=network.contract.mean_diameter, batch=set_up.batch)
    network.session = onnxruntime.InferenceSession(told["model"], set_up.options(), ["CPUExecutionProvider"])
    forget_peak()
    idle = resident()
    segment(image[:WARM_UP, :WARM_UP], network, settings)
    begun = clocks()
    segment(image, network, settings)
    seconds, processor = (clocks() - begun).tolist()
    print(json.dumps({"seconds": seconds, "processor": processor, "above_idle": peak() - idle}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--side", type=int, default=1024, help="height and width of the image in px")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        run(args.job)
        return
    model, diameter = args.model.resolve(), load_network(args.model, "cpu").contract.mean_diameter
    turns = list(set_ups().items())
    runs: dict[str, list[dict[str, float]]] = {name: [] for name, _ in turns}
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.npy"
        np.save(image, mosaic(args.side, args.side, diameter)[0])
        for _ in range(args.repeats):
            for name, set_up in turns:
                runs[name].append(measured(model, image, set_up))
            turns = turns[1:] + turns[:1]
    own = next(iter(runs.values()))
    rows = []
    for name, figures in runs.items():
        ratios = [f["seconds"] / o["seconds"] for f, o in zip(figures, own, strict=True)]
        seconds, processor, above = (np.median([f[key] for f in figures]) for key in figures[0])
        rows.append([name, float(np.median(ratios)), min(ratios), max(ratios), seconds, processor, round(above)])
    print_table(["set-up", "time, ratio", "least", "most", "s", "processor, s", "MiB above idle"], rows)
    print(write_record("runtime", {"model": named(args.model), "side": args.side, "runs": runs}))


if __name__ == "__main__":
    main()
