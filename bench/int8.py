"""A light network with int8 convolutions: make the file, and compare speed and maps with float32.

    python -m bench.int8 models/small.pt --data DATA --pool POOL -o small-int8.onnx
    python -m bench.quality.scores --data DATA --model small-int8.onnx --simulated 4

Static quantisation (QDQ): activations of 8 bits, weights of 7 bits for each channel, because without VNNI instructions
products of 8 bits overflow; depthwise weights of 8 bits, whose products ONNX Runtime adds in 32 bits. Ranges and means
come from crops of training images. The mean error that rounded weights cause is taken off each bias (after Nagel et al.
2019, arXiv:1906.04721). The first layers, the size regression and the last layer stay in float32.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType  # type: ignore[import-untyped]
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData  # type: ignore[import-untyped]
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer  # type: ignore[import-untyped]
from onnxruntime.quantization.shape_inference import quant_pre_process  # type: ignore[import-untyped]

from export.families import find_family
from export.fold import folded
from export.onnx_file import to_onnx
from export.source import read_checkpoint
from train.data.augment import Augmentation
from train.data.batches import crop_and_target
from train.data.prepared import prepare_item
from train.data.readers import Item, read_shared
from train.families.base import no_field
from train.recipes.held_out import HELD_OUT

Array = npt.NDArray[np.float32]
FLOAT = ("_conv_stem", "_blocks.0/", "/encoder/Clip", "/fine/", "/output/", "/style/", "/regression/", "/network/Conv")
FLOAT_TYPES = ("Mul", "Sub", "ReduceMean", "Sqrt", "Div", "Flatten", "Squeeze", "Unsqueeze", "Exp")
"""Parts of the names, and operators, of nodes that stay in float32."""
QUANTISED = ("Conv", "Add", "Clip", "Relu", "Resize")
BITS_7, BITS_8 = 64, 127
"""The largest quantised weight."""
EACH = 4
"""Images of each source."""
REPEATS = 60


def crops(data: Path, pool: Path, diameter: float) -> Array:
    """Return crops (N, 3, 224, 224) of training images, `EACH` of each source, cells 0.6 to 1.7 times the diameter."""
    names = ("shuffle", "drop", "invert", "by_channel", "offset", "blur", "noise", "illumination", "misfit", "specks")
    unchanged = dict.fromkeys((*names, "jpeg", "dim", "holes", "mix", "empty", "hue"), 0.0)
    scaled = Augmentation(crop=224, scale=(0.6, 1.7), gain=(1.0, 1.0), gamma=(1.0, 1.0), **unchanged)
    rng = np.random.default_rng(0)
    found = []
    for item in (item for root in (data, pool) for item in _chosen(HELD_OUT.divide(read_shared(root))[0])):
        image = prepare_item(item, "rgb", no_field)
        found.append(crop_and_target(image, diameter, scaled, _no_target, rng)[0])
    return np.stack(found).astype(np.float16).astype(np.float32)


def _no_target(labels: npt.NDArray[np.int32], _image: object, _matrix: object) -> Array:
    return labels.astype(np.float32)


def _chosen(items: list[Item]) -> Iterator[Item]:
    sources: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        sources[item.source].append(item)
    for _, own in sorted(sources.items()):
        for index in np.linspace(0, len(own) - 1, min(EACH, len(own))).astype(int):
            yield own[index]


def reordered(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the style added before the features are enlarged, and batch-norms as convolutions."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = {node.name: node for node in model.graph.node}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    order = []
    for node in model.graph.node:
        scale = node.name.rpartition("/")[0]
        if node.name.endswith("/Resize"):
            style = nodes[f"{scale}/style/Conv"]
            order += [style, helper.make_node("Add", [node.input[0], style.output[0]], [f"{scale}/styled"])]
            order[-1].name, node.input[0] = f"{scale}/styled", f"{scale}/styled"
        elif node.op_type == "Add" and node.name.endswith("/Add") and "/up." in scale:
            node.output[0] = nodes[f"{scale}/Add_1"].output[0]
        elif node.op_type == "BatchNormalization":
            node = _as_convolution(node, weights, model.graph)
        if not node.name.endswith("style/Conv") and not (node.name.endswith("/Add_1") and "/up." in scale):
            order.append(node)
    del model.graph.node[:]
    model.graph.node.extend(order)
    onnx.checker.check_model(model, full_check=True)
    return model


def _as_convolution(node: onnx.NodeProto, weights: dict[str, Array], graph: onnx.GraphProto) -> onnx.NodeProto:
    gain, offset, mean, variance = (weights[name] for name in node.input[1:])
    factor = gain / np.sqrt(variance + next(a.f for a in node.attribute if a.name == "epsilon"))
    names = [f"{node.name}_{part}" for part in ("weight", "bias")]
    for name, values in zip(names, (factor.reshape(-1, 1, 1, 1), offset - mean * factor), strict=True):
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    result: onnx.NodeProto = helper.make_node(
        "Conv", [node.input[0], *names], node.output, name=f"{node.name}_as_conv", group=len(gain), kernel_shape=[1, 1]
    )
    return result


@dataclass(frozen=True)
class Observed:
    """What the crops showed of the tensors of a model."""

    ranges: dict[str, tuple[np.float32, np.float32]]
    """5th percentile of the crops' minima and 95th of their maxima, with 0 between them."""
    means: dict[str, Array]
    """Mean of each channel."""


def observe(model: onnx.ModelProto, images: Array) -> Observed:
    """Run the model on every image, with all tensors (1, K, Y, X) as outputs."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    known = {tensor.name for tensor in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if node.op_type != "Constant"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    run = _session(model.SerializeToString(), optimise=False)
    values = defaultdict(list)
    for image in images:
        for name, tensor in zip(names, run.run(names, {"image": image[None]}), strict=True):
            if tensor.ndim == 4:
                values[name].append((tensor.min(), tensor.max(), tensor.mean((0, 2, 3))))
    ranges, means = {}, {}
    for name, seen in values.items():
        low, high, mean = zip(*seen, strict=True)
        ranges[name] = (np.float32(min(0, np.percentile(low, 5))), np.float32(max(0, np.percentile(high, 95))))
        means[name] = np.mean(mean, 0)
    return Observed(ranges, means)


def quantised(model: onnx.ModelProto, observed: Observed) -> onnx.ModelProto:
    """Return the model with int8 convolutions."""
    skipped = [n.name for n in model.graph.node if n.op_type in FLOAT_TYPES or any(part in n.name for part in FLOAT)]
    convolutions = [n for n in model.graph.node if n.op_type == "Conv" and n.name not in skipped]
    depthwise = [n.input[1] for n in convolutions if next((a.i for a in n.attribute if a.name == "group"), 1) > 1]
    _correct_biases(model, convolutions, depthwise, observed.means)
    own = {name: [{"axis": 0, "quant_type": QuantType.QInt8, "reduce_range": False}] for name in depthwise}
    ranges = TensorsData(CalibrationMethod.MinMax, observed.ranges)
    options: dict[str, Any] = {"TensorQuantOverrides": own}
    kinds = QuantType.QInt8, QuantType.QUInt8
    quantiser = QDQQuantizer(model, True, True, *kinds, ranges, [], skipped, list(QUANTISED), options)
    quantiser.quantize_model()
    result: onnx.ModelProto = quantiser.model.model
    return result


def _correct_biases(
    model: onnx.ModelProto, convolutions: list[onnx.NodeProto], depthwise: list[str], means: dict[str, Array]
) -> None:
    """Take the mean error that the rounded weights cause off each bias, in place."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in convolutions:
        weight, bias = (numpy_helper.to_array(tensors[name]) for name in node.input[1:])
        step = np.abs(weight).max((1, 2, 3), keepdims=True) / (BITS_8 if node.input[1] in depthwise else BITS_7)
        step[step == 0] = 1
        error, mean = (np.round(weight / step) * step - weight).sum((2, 3)), means[node.input[0]]
        shift = error[:, 0] * mean if node.input[1] in depthwise else error @ mean
        tensors[node.input[2]].CopyFrom(numpy_helper.from_array((bias - shift).astype(np.float32), node.input[2]))


def _session(model: str | bytes, optimise: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compare(models: dict[str, onnx.ModelProto], images: Array) -> None:
    """Print for each model the least processor time of a tile, one thread, and the error of its flows in cells."""
    sessions = {name: _session(model.SerializeToString()) for name, model in models.items()}
    least = dict.fromkeys(models, np.inf)
    for _ in range(2 * REPEATS):
        for name, session in sessions.items():
            start = time.thread_time()
            session.run(["maps"], {"image": images[:1]})
            least[name] = min(least[name], time.thread_time() - start)
    maps = {
        name: np.concatenate([session.run(["maps"], {"image": image[None]})[0] for image in images])
        for name, session in sessions.items()
    }
    first = next(iter(models))
    flows, inside = maps[first][:, :2], maps[first][:, 2] > 0
    for name, own in maps.items():
        error = np.sqrt(((own[:, :2] - flows) ** 2).sum(1)[inside].mean() / (flows**2).sum(1)[inside].mean())
        print(
            f"{name:20} {1e3 * least[name]:6.2f} ms, {least[first] / least[name]:.2f} times; error of flows {error:.4f}"
        )


def main() -> None:
    """Make the file and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--pool", type=Path, required=True, help="simulated images of `python -m train.simulate`")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.onnx")
    args = parser.parse_args()
    source = read_checkpoint(args.checkpoint)
    contract = source.contract(args.output.stem)
    images = crops(args.data, args.pool, source.mean_diameter)
    shipped = to_onnx(find_family(contract.family).module(folded(source.network), source.size), contract)
    style_first = reordered(shipped)
    with tempfile.TemporaryDirectory() as folder:
        draft, ready = Path(folder, "draft.onnx"), Path(folder, "ready.onnx")
        onnx.save(style_first, draft)
        quant_pre_process(draft, ready, skip_symbolic_shape=True)
        result = quantised(onnx.load(ready), observe(style_first, images))
    del result.metadata_props[:]
    helper.set_model_props(result, contract.to_metadata())
    onnx.save(result, args.output)
    compare({"float32": shipped, "float32, style first": style_first, "int8": result}, images[2::5])


if __name__ == "__main__":
    main()
