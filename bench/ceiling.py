"""What a device does at most, as PyTorch reaches it, and what a network asks of it: floating-point operations."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import torch

REPEATS = 20
Rates = dict[str, float]


def tile_operations(path: Path, tile: int) -> float:
    """Return the operations, two for a multiplication and addition, of all convolutions for one tile (Y = X)."""
    model = onnx.load(path)
    for axis, size in ((0, 1), (2, tile), (3, tile)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    known = (*inferred.value_info, *inferred.output)
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in known}
    shapes |= {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    convolutions = [node for node in inferred.node if node.op_type == "Conv"]
    return float(sum(2 * np.prod(shapes[n.input[1]]) * np.prod(shapes[n.output[0]][2:]) for n in convolutions))


def ceilings(device: str, side: int, channels: int) -> Rates:
    """Return operations a second of a matrix product and a 3 x 3 convolution, in single and half precision.

    On random numbers; ``side``: of the matrices and, an eighth of it, of the feature maps. Single precision is without
    TF32, as in `flowmask.network.session`. The median of `REPEATS` after three runs that do not count.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rates: Rates = {}
    for name, kind in (("fp32", torch.float32), ("fp16", torch.float16)):
        one, two = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
        rates[f"matrix product, {name}"] = 2 * side**3 / _seconds(device, lambda a=one, b=two: a @ b)  # type: ignore[misc]
        size = side // 8
        image = torch.randn(1, channels, size, size, device=device, dtype=kind)
        convolution = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device, kind)
        with torch.inference_mode():
            seconds = _seconds(device, lambda c=convolution, x=image: c(x))  # type: ignore[misc]
        rates[f"convolution, {name}"] = 2 * 9 * channels**2 * size**2 / seconds
    torch.cuda.empty_cache()  # does nothing without a GPU
    return rates


def _seconds(device: str, work) -> float:  # type: ignore[no-untyped-def]
    times = []
    for _ in range(REPEATS + 3):
        begun = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return float(np.median(times[3:]))
