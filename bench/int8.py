"""Static int8 of a network (QDQ): how much faster it runs, and what it costs in F1 on the held-out sources.

    python -m bench.int8 --data ../shared/data [--model models/cyto-small.onnx models/cyto.onnx] [--images 3]

Weights per channel in 7 bits (without VNNI instructions 8 overflow), activations in 8, calibrated with training crops.
Two variants: every convolution, and all but the first and the last one. One would ship if F1 dropped by no more than
0.005 and it ran at least 1.4 times faster with one thread and with all, for one tile and for four.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from bench.ablation import TRUE, Use, held_images, mean, score
from bench.record import print_table, write_record
from flowmask.api import load_network
from flowmask.cli import MODEL
from flowmask.system.cpu import cores
from train.batches import batch_maker
from train.config import load_config, split
from train.data import prepare_items
from train.readers import read_shared

DROP, FASTER = 0.005, 1.4
BATCHES = 12
RUNS = 15
TILES = (1, 4)
USE = Use(diameter=TRUE)


class Crops(CalibrationDataReader):  # type: ignore[misc]
    """Training crops, a batch at a time."""

    def __init__(self, batches: list[npt.NDArray[np.float32]]) -> None:
        self._left: Iterator[npt.NDArray[np.float32]] = iter(batches)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        batch = next(self._left, None)
        return None if batch is None else {"image": batch}


def quantised(model: Path, folder: Path, batches: list[npt.NDArray[np.float32]], ends: bool) -> Path:
    """Write the int8 network and return its path; with ``ends`` its first and last convolution are int8 too."""
    prepared, path = folder / "prepared.onnx", folder / f"int8_{'all' if ends else 'inner'}.onnx"
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
    quantize_static(
        str(prepared),
        str(path),
        Crops(batches),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Add", "Relu", "MaxPool", "Resize"],
        nodes_to_exclude=[] if ends else [convolutions[0], convolutions[-1]],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )
    contract = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    final = onnx.load(path)
    onnx.helper.set_model_props(final, contract)
    onnx.save(final, path)
    return path


def times(networks: dict[str, Path], tiles: int, threads: int) -> dict[str, float]:
    """Return the median seconds of a run of each network, in turns."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    sessions = {
        name: onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for name, path in networks.items()
    }
    image = np.random.default_rng(0).random((tiles, 3, 224, 224), np.float32)
    taken: dict[str, list[float]] = defaultdict(list)
    for turn in range(RUNS + 1):
        for name, session in sessions.items():
            begun = time.perf_counter()
            session.run(["maps"], {"image": image})
            if turn:
                taken[name].append(time.perf_counter() - begun)
    return {name: float(np.median(each)) for name, each in taken.items()}


def variants(model: Path, folder: Path, batches: list[npt.NDArray[np.float32]]) -> dict[str, Path]:
    """Return the files of a network and of its int8 variants, which are written into the folder, made for them."""
    folder.mkdir()
    both = {"all": True, "all but first and last": False}
    return {"float32": model} | {
        f"int8, {name}": quantised(model, folder, batches, ends) for name, ends in both.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, nargs="+", default=[MODEL])
    parser.add_argument("--images", type=int, default=0, help="of each held-out source; 0: all")
    args = parser.parse_args()
    config = replace(load_config("wider"), seed=1000)
    training, _ = split(read_shared(args.data), config)
    held = held_images(args.data, config, args.images)
    make = batch_maker(prepare_items(training[::4], config.policy), config)
    batches = [make(step)[0].numpy() for step in range(BATCHES)]
    ways = [(threads, tiles) for threads in sorted({1, cores()}) for tiles in TILES]
    with tempfile.TemporaryDirectory() as name:
        files = {model.stem: variants(model, Path(name) / model.stem, batches) for model in args.model}
        taken = {model: [times(each, tiles, threads) for threads, tiles in ways] for model, each in files.items()}
        print("the times are taken", file=sys.stderr)
        f1 = {
            model: {variant: mean(score(held, load_network(path, "cpu"), USE)) for variant, path in each.items()}
            for model, each in files.items()
        }
    rows = [
        [model, variant, reached, *(seconds["float32"] / seconds[variant] for seconds in taken[model])]
        for model, each in f1.items()
        for variant, reached in each.items()
    ]
    columns = [f"times faster, {tiles} tile(s), {threads} thread(s)" for threads, tiles in ways]
    print_table(["network", "variant", "F1, true diameter", *columns], rows)
    ships = [
        f"{variant} of {model}"
        for model, variant, reached, *faster in rows
        if f1[model]["float32"] - reached <= DROP and min(faster) >= FASTER
    ]
    print(f"{' and '.join(ships) or 'None'} would ship.")
    print(write_record("int8", {"f1": f1, "seconds": taken, "ways": ways, "images": len(held)}))


if __name__ == "__main__":
    main()
